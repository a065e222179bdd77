"""What the commands print: results, progress, warnings, and errors without tracebacks."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

FAILED, SOME_IMAGES_FAILED, INTERRUPTED = 1, 3, 130

# The index that the package gives for X is that of a list which the user never saw.
_INDEX = re.compile(r"X\[\d+\] \(('.*?'|\".*?\")\)")


class Terminal:
    """Where a command prints.

    Parameters
    ----------
    quiet : bool
        Print errors only.

    Attributes
    ----------
    out, err : rich.console.Console
        Results go to standard output, all else to standard error.
    """

    def __init__(self, quiet: bool = False) -> None:
        plain: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
        self.quiet = quiet
        self.out = Console(quiet=quiet, **plain)
        self.err = Console(stderr=True, **plain)

    def say(self, text: str) -> None:
        """Print a line of the result, however wide the terminal is."""
        self.out.print(_encodable(text), soft_wrap=True)

    def note(self, text: str) -> None:
        """Print a line that is no part of the result."""
        if not self.quiet:
            self.err.print(_encodable(text), soft_wrap=True)

    def complain(self, error: BaseException | str) -> None:
        """Print an error in one line, quiet or not."""
        self.err.print(f"error: {_encodable(one_line(error))}", soft_wrap=True)

    def progress(self, *, counted: bool = True) -> Progress:
        """Make a progress bar; without a terminal it prints nothing.

        Parameters
        ----------
        counted : bool, default=True
            Show how many of how many, instead of a percentage.
        """
        return Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn() if counted else TaskProgressColumn(),
            TimeRemainingColumn(),
            console=self.err,
            disable=self.quiet or not self.err.is_terminal,
        )


@contextmanager
def reporting(quiet: bool = False) -> Iterator[Terminal]:
    """Turn what is wrong with files, images and parameters into one line and an exit code.

    Parameters
    ----------
    quiet : bool, default=False
        Print errors only.

    Yields
    ------
    Terminal
        Where to print.
    """
    terminal = Terminal(quiet)
    with warnings.catch_warnings():
        if quiet:
            warnings.simplefilter("ignore")
        warnings.showwarning = lambda message, *_: terminal.note(f"warning: {one_line(message)}")
        try:
            yield terminal
        except KeyboardInterrupt:
            terminal.complain("interrupted.")
            raise typer.Exit(INTERRUPTED) from None
        # What the package raises for what it was given; anything else is a fault of the program.
        except (ValueError, TypeError, OSError, ImportError) as error:
            terminal.complain(error)
            raise typer.Exit(FAILED) from None
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            terminal.complain(f"memory is full ({one_line(error)}).")
            raise typer.Exit(FAILED) from None


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error, or what caused it, is that memory ran out, here or on a GPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # Torch's.
        return True
    if isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error):
        return True
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)


def one_line(error: Any) -> str:
    """Give the text of an error in one line, and name a file as the user did."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return _INDEX.sub(r"\1", text)


def _encodable(text: str) -> str:
    """Escape what is no text: names of files may hold any bytes."""
    return text.encode(errors="backslashreplace").decode()
