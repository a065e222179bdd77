"""Output of the commands: results, progress, warnings, and errors without tracebacks."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from sk_ssimae._atomic import naming
from sk_ssimae._out_of_memory import is_out_of_memory
from sk_ssimae.cli._signals import INTERRUPTED, interruptible
from sk_ssimae.cli._text import one_line, printable

FAILED, SOME_IMAGES_FAILED = 1, 3


class Terminal:
    """Standard output and standard error of a command.

    Parameters
    ----------
    quiet : bool
        Print errors only.

    Attributes
    ----------
    out, err : rich.console.Console
        Standard output, for results, and standard error, for everything else.
    """

    def __init__(self, quiet: bool = False) -> None:
        plain: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
        self.quiet = quiet
        self.out = Console(quiet=quiet, **plain)
        self.err = Console(stderr=True, **plain)

    def say(self, text: str) -> None:
        """Print a line of the result without wrapping it to the terminal."""
        self.show(printable(text), soft_wrap=True)

    def show(self, content: Any, **options: Any) -> None:
        """Print a part of the result, such as a table whose cells are printable."""
        with naming("standard output"):
            self.out.print(content, **options)

    def note(self, text: str) -> None:
        """Print a line that is not part of the result."""
        if not self.quiet:
            self.err.print(printable(text), soft_wrap=True)

    def complain(self, error: BaseException | str) -> None:
        """Print an error in one line, even when quiet."""
        self.err.print(f"error: {one_line(error)}", soft_wrap=True)

    def progress(
        self, *, counted: bool = True, columns: Sequence[ProgressColumn] | None = None
    ) -> Progress:
        """Make a progress bar, which prints nothing unless there is a terminal.

        Parameters
        ----------
        counted : bool, default=True
            Show counts, such as 3/10, instead of a percentage.
        columns : sequence of ProgressColumn or None
            Columns after the description, instead of a bar, the count and the time.
        """
        if columns is None:
            count = MofNCompleteColumn() if counted else TaskProgressColumn()
            columns = [BarColumn(), count, TimeRemainingColumn()]
        return Progress(
            TextColumn("{task.description}", markup=False),
            *columns,
            console=self.err,
            disable=self.quiet or not self.err.is_terminal,
        )


@contextmanager
def reporting(quiet: bool = False) -> Iterator[Terminal]:
    """Report invalid files, images and parameters in one line and an exit code.

    Parameters
    ----------
    quiet : bool, default=False
        Print errors only.

    Yields
    ------
    Terminal
        Output of the command.
    """
    terminal = Terminal(quiet)
    with interruptible(), warnings.catch_warnings():
        if quiet:
            warnings.simplefilter("ignore")
        warnings.showwarning = lambda message, *_: terminal.note(f"warning: {one_line(message)}")
        try:
            yield terminal
        except KeyboardInterrupt:
            terminal.complain("interrupted.")
            raise typer.Exit(INTERRUPTED) from None
        # Raised by the package for invalid input; any other exception is a bug.
        except (ValueError, TypeError, OSError, ImportError) as error:
            terminal.complain(error)
            raise typer.Exit(FAILED) from None
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            terminal.complain(f"out of memory ({one_line(error)}).")
            raise typer.Exit(FAILED) from None
