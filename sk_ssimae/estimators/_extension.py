"""Images extended by a margin: copies of their outermost pixels on each side."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._areas import Area
from sk_ssimae._intensity import Image
from sk_ssimae.estimators._results import Mask


class Readable(Protocol):
    """An image that is read part by part."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""

    def read(self, rows: slice, columns: slice) -> Image:
        """Read a part (h, w, c)."""


class ExtendedImage:
    """An image that is read part by part, extended by a margin.

    Parameters
    ----------
    image : Readable
        The image to extend.
    margin : int
        Number of pixels on each side.
    """

    def __init__(self, image: Readable, margin: int) -> None:
        self._image, self._margin = image, margin

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, with the margin."""
        height, width = self._image.shape
        return height + 2 * self._margin, width + 2 * self._margin

    def read(self, rows: slice, columns: slice) -> Image:
        """Read a part (h, w, c) of the extended image."""
        (part_rows, from_row), (part_columns, from_column) = (
            self._sources(part, length)
            for part, length in zip((rows, columns), self._image.shape, strict=True)
        )
        part = self._image.read(part_rows, part_columns)
        return part if self._margin == 0 else part[from_row[:, np.newaxis], from_column]

    def _sources(self, part: slice, length: int) -> tuple[slice, NDArray[np.intp]]:
        """Return the part of an axis to read, and the place in it of each pixel."""
        places = np.clip(np.arange(part.start, part.stop) - self._margin, 0, length - 1)
        return slice(int(places[0]), int(places[-1]) + 1), places - places[0]


def extend(image: Image, margin: int) -> Image:
    """Return an image (h, w, c) extended by a margin."""
    widths = [(margin, margin), (margin, margin), (0, 0)]
    return image if margin == 0 else np.pad(image, widths, mode="edge")


def extend_inside(inside: Mask | None, shape: tuple[int, int], margin: int) -> Mask | None:
    """Return the inspected pixels of an extended image: none in the margin."""
    if margin == 0:
        return inside
    return np.pad(np.ones(shape, dtype=bool) if inside is None else inside, margin)


def inner_area(shape: tuple[int, ...], margin: int) -> Area:
    """Return the area of an image in the extended image."""
    return slice(margin, margin + shape[0]), slice(margin, margin + shape[1])
