"""Absolute error, the L1 distance of two images pixel by pixel."""

from typing import Any


def absolute_error(x: Any, y: Any) -> Any:
    """Compute the absolute difference of two arrays, element by element."""
    return abs(x - y)
