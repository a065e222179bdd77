"""Images and parts of them, at the size at which they are processed."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._intensity import Image
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
    """

    pixels: Image
    working_shape: tuple[int, int]
    image_shape: tuple[int, int]

    @classmethod
    def of_image(cls, image: Image, working_size: tuple[int, int] | None) -> "Region":
        """Take a whole image, resized to `working_size` unless it is None."""
        shape = image.shape[0], image.shape[1]
        return cls(image, shape if working_size is None else working_size, shape)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of its pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]


def working_pixels(region: Region) -> Image:
    """Resize a region to the height and width at which it is processed."""
    if region.shape == region.working_shape:
        return region.pixels
    return resize(as_unit_float(region.pixels), region.working_shape)


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
