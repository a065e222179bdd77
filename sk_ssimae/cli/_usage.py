"""Values of options, and errors of usage."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from sk_ssimae.cli._text import printable

# That of typer or of click, depending on the version of typer.
_UsageError: Any = typer.BadParameter.__base__


class Commands(TyperGroup):
    """The commands, with printable errors of usage."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the options before the command."""
        with _printable_usage_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Parse the options of the command and run it."""
        with _printable_usage_errors():
            return super().invoke(ctx)


@contextmanager
def _printable_usage_errors() -> Iterator[None]:
    """Escape control characters, because a pattern such as ``*`` may expand to any file name."""
    try:
        yield
    except _UsageError as error:
        error.message = printable(error.message)
        raise


def parse_image_size(text: str | None) -> int | tuple[int, int] | None:
    """Return one side, or height and width.

    Raises
    ------
    ValueError
        If the text is neither.
    """
    if text is None:
        return None
    try:
        sides = [int(side) for side in text.split("x")]
    except ValueError:
        sides = []
    match sides:
        case [side]:
            return side
        case [height, width]:
            return height, width
    raise ValueError(
        f"--image-size must be SIDE or HEIGHTxWIDTH, such as 256x320, got {text!r} instead."
    )


def parse_intensity_range(text: str) -> str | tuple[float, float]:
    """Return the name of a rule, or the lowest and highest intensity.

    Raises
    ------
    ValueError
        If the text is neither.
    """
    if text in ("auto", "dtype"):
        return text
    low, _, high = text.partition(":")
    try:
        return float(low), float(high)
    except ValueError:
        raise ValueError(
            "--intensity-range must be auto, dtype or LOW:HIGH, such as 0:4095, got "
            f"{text!r} instead."
        ) from None


def parse_threshold(text: str) -> str | float:
    """Return the name of a rule, or a number.

    Raises
    ------
    ValueError
        If the text is neither.
    """
    if text in ("image_fpr", "pixel_fpr"):
        return text
    try:
        return float(text)
    except ValueError:
        raise ValueError(
            f"--threshold must be image_fpr, pixel_fpr or a number, got {text!r} instead."
        ) from None


def parse_level(text: str | None) -> float | None:
    """Return a level of the verdict, or None for that of the model.

    Raises
    ------
    ValueError
        If the text is not a finite number.
    """
    if text is None:
        return None
    try:
        level = float(text)
    except ValueError:
        level = math.nan
    if not math.isfinite(level):
        raise ValueError(
            f"--threshold must be a finite number, such as 0.25, got {text!r} instead. To find a "
            "threshold on good images, use sk-ssimae calibrate."
        )
    return level
