"""Images and parts of them, at the size at which they are processed."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._intensity import Image
from sk_ssimae._interest import Inside, bounding_box, resize_inside
from sk_ssimae._pixels import as_unit_float, resize


class Region(NamedTuple):
    """An image or a part of one.

    Attributes
    ----------
    pixels : array of shape (h, w, c)
        Its pixels.
    working_shape : tuple of two int
        Height and width at which it is processed.
    image_shape : tuple of two int
        Height and width of the whole image.
    inside : array of bool, shape (h, w), or None
        Inspected pixels; None if all are.
    corner : tuple of two int
        First row and column in the whole image.
    inspected_share : float
        Share of the pixels of the whole image that are inspected, in (0, 1].
    """

    pixels: Image
    working_shape: tuple[int, int]
    image_shape: tuple[int, int]
    inside: Inside | None = None
    corner: tuple[int, int] = (0, 0)
    inspected_share: float = 1.0

    @classmethod
    def of_image(
        cls,
        image: Image,
        working_size: tuple[int, int] | None,
        inside: Inside | None = None,
        min_size: int = 1,
    ) -> "Region":
        """Take a whole image, or the smallest rectangle that contains its inspected pixels.

        Parameters
        ----------
        image : array of shape (h, w, c)
            The image, filled outside.
        working_size : tuple of two int or None
            Height and width to which a whole image is resized; None to leave it at its size.
        inside : array of bool, shape (h, w), or None
            Inspected pixels; None for all.
        min_size : int
            Least height and width of the rectangle at working size, unless the image is smaller.
        """
        shape = image.shape[0], image.shape[1]
        working = shape if working_size is None else working_size
        if inside is None:
            return cls(image, working, shape)
        least = [math.ceil(min_size * a / b) for a, b in zip(shape, working, strict=True)]
        box = bounding_box(inside, (least[0], least[1]))
        cropped = inside[box]
        sides = [
            max(round(part * b / a), 1)
            for part, a, b in zip(cropped.shape, shape, working, strict=True)
        ]
        return cls(
            image[box],
            (sides[0], sides[1]),
            shape,
            None if cropped.all() else cropped,
            (box[0].start, box[1].start),
            float(inside.mean()),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of its pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def inspected(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the values (h, w) of inspected pixels, in one dimension if others are left out."""
        return values if self.inside is None else values[self.inside]

    def place(self, values: NDArray[Any]) -> NDArray[Any]:
        """Put values (h, w) at their place in the whole image, among zeros."""
        if self.shape == self.image_shape:
            return values
        whole = np.zeros(self.image_shape, dtype=values.dtype)
        (row, column), (height, width) = self.corner, self.shape
        whole[row : row + height, column : column + width] = values
        return whole


def working_pixels(region: Region) -> Image:
    """Resize a region to the height and width at which it is processed."""
    if region.shape == region.working_shape:
        return region.pixels
    return resize(as_unit_float(region.pixels), region.working_shape)


def working_inside(region: Region) -> Inside:
    """Return the inspected pixels at the height and width at which a region is processed."""
    if region.inside is None:
        return np.ones(region.working_shape, dtype=bool)
    return resize_inside(region.inside, region.working_shape)


def extend(image: Image, least: int) -> Image:
    """Extend an image by its mirror image to at least `least` pixels high and wide."""
    missing = [max(0, least - side) for side in image.shape[:2]]
    if not any(missing):
        return image
    margins = [(pixels // 2, pixels - pixels // 2) for pixels in missing]
    return np.pad(image, [*margins, (0, 0)], mode="symmetric")


def crop(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Crop results (h, w) or (h, w, c) of an extended image to its original shape."""
    first, left = (
        (whole - side) // 2 for whole, side in zip(values.shape[:2], shape[:2], strict=True)
    )
    return values[first : first + shape[0], left : left + shape[1]]
