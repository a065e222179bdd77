"""An image or a part of one, as the network sees it."""

from typing import NamedTuple

from sk_ssimae._images import Image, as_unit_float, resize


class Region(NamedTuple):
    """An image or a part of one.

    Attributes
    ----------
    pixels : array of shape (h, w, c)
        Its pixels.
    working_shape : tuple of two int
        Height and width at which the network sees it.
    image_shape : tuple of two int
        Height and width of the whole image.
    """

    pixels: Image
    working_shape: tuple[int, int]
    image_shape: tuple[int, int]


def working_pixels(region: Region) -> Image:
    """Bring a region to the height and width at which the network sees it."""
    if region.pixels.shape[:2] == region.working_shape:
        return region.pixels
    return resize(as_unit_float(region.pixels), region.working_shape)
