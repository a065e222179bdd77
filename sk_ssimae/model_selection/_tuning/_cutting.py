"""Images, or the parts of them that contain the region of interest, and random parts of these."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._images import Images
from sk_ssimae._interest import Inside, bounding_box, count_inside

# Sides of parts of images below which defects are cramped.
_LEAST_SIDE = 128

Shape = tuple[int, int]
#: From the shape of an image to the least side of a part of it.
LeastSide = Callable[[Shape], int]


class Cutting(NamedTuple):
    """An image, or the part of it that contains the region of interest.

    Attributes
    ----------
    pixels : array of shape (h, w) or (h, w, c)
        As they are stored, without alpha, and filled outside the region.
    inside : array of bool, shape (h, w), or None
        Inspected pixels; None if all are.
    shape : tuple of two int
        Height and width of the whole image.
    name : str
        Name of the image in messages.
    """

    pixels: NDArray[Any]
    inside: Inside | None
    shape: Shape
    name: str

    @classmethod
    def read(cls, images: Images, index: int, least_side: LeastSide) -> "Cutting":
        """Read an image."""
        stored, inside, name = images.read_inspected(index)
        pixels = stored.pixels[..., 0] if stored.pixels.shape[2] == 1 else stored.pixels
        shape = (pixels.shape[0], pixels.shape[1])
        if inside is None:
            return cls(pixels, None, shape, name)
        least = max(_LEAST_SIDE, least_side(shape))
        box = bounding_box(inside, (least, least))
        return cls(pixels[box], inside[box], shape, name)

    @property
    def own_shape(self) -> Shape:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def at(self, *box: slice) -> "Cutting":
        """Return a part."""
        return self._replace(
            pixels=self.pixels[box], inside=None if self.inside is None else self.inside[box]
        )

    def cut(self, shape: Shape, rng: np.random.Generator) -> "Cutting":
        """Return a random part of a shape, with many of the inspected pixels."""
        if self.inside is None:
            row, column = (
                int(rng.integers(n - part + 1))
                for n, part in zip(self.own_shape, shape, strict=True)
            )
        else:
            counts = count_inside(self.inside, shape)
            places = np.argwhere(counts >= counts.max() / 2)
            row, column = places[int(rng.integers(len(places)))].tolist()
        return self.at(slice(row, row + shape[0]), slice(column, column + shape[1]))

    def part_shape(self, n_pixels: float, least_side: LeastSide) -> Shape:
        """Return a shape of about that number of pixels in the proportions of the image."""
        share = math.sqrt(n_pixels / math.prod(self.own_shape))
        least = max(_LEAST_SIDE, least_side(self.shape))
        height, width = (min(n, max(least, round(share * n))) for n in self.own_shape)
        return height, width
