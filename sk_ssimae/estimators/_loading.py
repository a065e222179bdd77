"""Load the images of `fit`: all are checked, and the good ones kept."""

import warnings
from collections.abc import Sequence
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np

from sk_ssimae._images import Images
from sk_ssimae._inference._region import Region
from sk_ssimae._intensity import Image, IntensityRange, scale, warn_of_little_use
from sk_ssimae._interest import Inside
from sk_ssimae._pixel_store import PixelStore
from sk_ssimae._reading._stored import StoredImage
from sk_ssimae._validation import check_mask, check_mask_shape, defect_labels, holds_masks

_N_NAMED = 5


class GoodImages(NamedTuple):
    """The good images of `fit`, the number of those left out, and the range that scaled them."""

    regions: list[Region]
    n_defective: int
    intensity_range: IntensityRange | None


def load_good_images(
    images: Images,
    y: Any,
    working_size: tuple[int, int] | None,
    intensity_range: str | tuple[float, float],
    min_size: int = 1,
    *,
    store: PixelStore,
) -> GoodImages:
    """Open and check all images, and scale the good ones.

    Parameters
    ----------
    images : Images
        Images of `fit`. Pixels that are not inspected take no part: a defect there does not count.
    y : None, labels of shape (n,), or masks
        1 where an image or a pixel is defective.
    working_size : tuple of two int or None
        Height and width at which images are processed.
    intensity_range : "auto", "dtype" or tuple of two float
        Checked parameter of the segmenter.
    min_size : int
        Least height and width of regions at working size.
    store : PixelStore
        Keeps the pixels that are read from files, or computed.

    Raises
    ------
    TypeError, ValueError
        If an image, label or mask is not as described, or `y` marks all images.

    Warns
    -----
    UserWarning
        If images have one value everywhere.
    IntensityRangeWarning
        If the images use a small part of the range that was given.
    """
    defective = defect_labels(y, len(images))
    stored, names, insides, indices = [], [], [], []
    masks = y if holds_masks(y) else repeat(None)
    for index, mask in zip(range(len(images)), masks, strict=False):
        image, inside, name = images.read_inspected(index)
        if mask is not None:
            check_mask_shape(mask, index, image.pixels.shape[:2])
            if inside is not None:
                defective[index] = (check_mask(mask, f"y[{index}]") & inside).any()
        if not defective[index]:
            stored.append(image._replace(pixels=_kept(image.pixels, images, index, store)))
            names.append(name)
            insides.append(inside)
            indices.append(index)
    if not stored:
        raise ValueError(f"y marks all {len(images)} images of X defective: none to train on.")
    inspected = [_inspected(image, inside) for image, inside in zip(stored, insides, strict=True)]
    _warn_of_constant_images(inspected, names)
    found = _find(intensity_range, inspected)
    if intensity_range != "auto":
        warn_of_little_use(inspected, found)
    del inspected
    good = []
    stored.reverse()
    for index, name, inside in zip(indices, names, insides, strict=True):
        # Let go of each, so that no more than one is in memory twice.
        image = stored.pop()
        pixels = scale(image, found, name)
        if pixels is not image.pixels:
            store.let_go(image.pixels)
            pixels = _kept(pixels, images, index, store)
        good.append(Region.of_image(pixels, working_size, inside, min_size))
    return GoodImages(good, int(defective.sum()), found)


def load_more_images(
    images: Images,
    y: Any,
    working_size: tuple[int, int] | None,
    intensity_range: IntensityRange | None,
    patch_size: int,
    *,
    store: PixelStore,
) -> GoodImages:
    """Open and check images of `partial_fit`, and keep the good ones.

    Parameters
    ----------
    images : Images
        Images of `partial_fit`, which are checked and scaled like those of `predict`.
    y : None, labels of shape (n,), or masks
        1 where an image or a pixel is defective.
    working_size : tuple of two int or None
        Height and width at which images are processed, as of `fit`.
    intensity_range : IntensityRange or None
        Range of the model, by which `images` scales.
    patch_size : int
        Smallest height and width of an image at that size.
    store : PixelStore
        Keeps the pixels that are read from files, or computed.

    Raises
    ------
    TypeError, ValueError
        If an image, label or mask is not as described, or `y` marks all images.

    Warns
    -----
    IntensityRangeWarning
        If an image leaves the range of the model, or uses a small part of it.
    """
    defective = defect_labels(y, len(images))
    good = []
    masks = y if holds_masks(y) else repeat(None)
    for index, mask in zip(range(len(images)), masks, strict=False):
        image, inside = images.read(index)
        if mask is not None:
            check_mask_shape(mask, index, image.shape[:2])
            if inside is not None:
                defective[index] = (check_mask(mask, f"y[{index}]") & inside).any()
        image = _kept(image, images, index, store)
        region = Region.of_image(image, working_size, inside, patch_size)
        if min(region.working_shape) < patch_size:
            raise ValueError(
                f"X[{index}] must be at least patch_size={patch_size} pixels high and wide, got "
                f"shape {region.shape} instead. Leave it out."
            )
        if not defective[index]:
            good.append(region)
    if not good:
        raise ValueError(f"y marks all {len(images)} images of X defective: none to train on.")
    return GoodImages(good, int(defective.sum()), intensity_range)


def _kept(pixels: Image, images: Images, index: int, store: PixelStore) -> Image:
    return pixels if images.holds(index, pixels) else store.keep(pixels)


def _inspected(image: StoredImage, inside: Inside | None) -> StoredImage:
    """Leave out the pixels outside, which are copies."""
    return image if inside is None else image._replace(pixels=image.pixels[inside][np.newaxis])


def _find(
    intensity_range: str | tuple[float, float], stored: Sequence[StoredImage]
) -> IntensityRange | None:
    if intensity_range == "auto":
        return IntensityRange.find(stored)
    if isinstance(intensity_range, str):
        return None
    return IntensityRange(*(float(end) for end in intensity_range))


def _warn_of_constant_images(stored: Sequence[StoredImage], names: Sequence[str]) -> None:
    constant = [
        name
        for image, name in zip(stored, names, strict=True)
        if (image.pixels == image.pixels[0, 0]).all()
    ]
    if constant and len(constant) < len(stored):
        more = f" and {len(constant) - _N_NAMED} more" if len(constant) > _N_NAMED else ""
        warnings.warn(
            f"{', '.join(constant[:_N_NAMED])}{more} have one value everywhere, as empty masks and "
            "failed exposures do. Leave them out if they are no images of good parts.",
            stacklevel=4,
        )
