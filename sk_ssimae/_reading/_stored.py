"""Pixels as they are stored, before intensities are scaled."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Most pixels of an image file that are read without being asked for: 268 million.
MAX_IMAGE_PIXELS = 2**28

ORIENTATION = 274  # Tag of TIFF and EXIF.
# Array operations that turn the stored pixels the right way up, by the value of the tag.
_TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: np.swapaxes(pixels, 0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.swapaxes(np.rot90(pixels, 2), 0, 1),
    8: lambda pixels: np.rot90(pixels, 1),
}
SIDEWAYS = (5, 6, 7, 8)


class StoredImage(NamedTuple):
    """Pixels as they are stored, the right way up.

    Attributes
    ----------
    pixels : array of shape (h, w) or (h, w, c)
        Pixels of any type.
    maximum : int or None
        Largest value that the number of bits allows: 4095 for 12 bits in uint16. None for signed
        integers and floats.
    has_alpha : bool or None
        Whether the last channel is alpha; None if unknown.
    """

    pixels: NDArray[Any]
    maximum: int | None
    has_alpha: bool | None


def store(pixels: NDArray[Any], *, has_alpha: bool | None = None) -> StoredImage:
    """Describe an array: all bits of its type are used."""
    kind = pixels.dtype.kind
    maximum = 1 if kind == "b" else int(np.iinfo(pixels.dtype).max) if kind == "u" else None
    return StoredImage(pixels, maximum, has_alpha)


def turn(pixels: NDArray[Any], orientation: Any) -> NDArray[Any]:
    """Turn stored pixels the right way up."""
    return _TURNS[orientation](pixels) if orientation in _TURNS else pixels


class TooManyPixelsError(ValueError):
    """An image that declares more pixels than it may have."""

    def __init__(self, n_pixels: int, max_pixels: int) -> None:
        self.n_pixels = n_pixels
        super().__init__(
            f"It has {n_pixels} pixels, more than max_image_pixels={max_pixels}. Raise "
            "max_image_pixels if you trust it."
        )


def check_pixels(size: tuple[int, ...], max_pixels: int | None) -> None:
    """Check the number of pixels that a file declares.

    Raises
    ------
    TooManyPixelsError
        If there are more than `max_pixels`.
    """
    if max_pixels is not None and math.prod(size) > max_pixels:
        raise TooManyPixelsError(math.prod(size), max_pixels)
