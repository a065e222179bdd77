"""Good images, or regions of them, that are held out to find the threshold."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from sk_ssimae._inference._region import Region
from sk_ssimae._intensity import Image
from sk_ssimae._interest import Inside

# With fewer good images, a region of each is held out instead of whole images, so that training and
# calibration both see all of them.
_MIN_IMAGES_TO_HOLD_OUT = 10
# Two images say too little of how images differ: with 12 good images, 2 held out and a target of
# 1 %, 7 % of new ones were flagged; with 3 held out, 5 %.
_FEWEST_HELD_OUT = 3


class Split(NamedTuple):
    """Regions for training, regions held out, and the kind of the latter."""

    training: list[Region]
    held_out: list[Region]
    kind: Literal["images", "regions"]


def hold_out(
    images: Sequence[Region], fraction: float, patch_size: int, rng: np.random.Generator
) -> Split:
    """Hold out a share of the images: whole images if there are many, else a band of each.

    Parameters
    ----------
    images : sequence of Region
        Whole good images.
    fraction : float in (0, 1)
        Share to hold out.
    patch_size : int
        Smallest height and width of a region at working size.
    rng : Generator
        Source of the choice of images, or of the side of a band.

    Returns
    -------
    Split
        Views of the images; nothing is copied.

    Raises
    ------
    ValueError
        If there is a single image, too small to be divided.
    """
    if len(images) < _MIN_IMAGES_TO_HOLD_OUT:
        split = _hold_out_regions(images, fraction, patch_size, rng)
        if split.held_out:
            return split
    if len(images) == 1:
        raise ValueError(
            "X contains one good image, too small to be divided into a region for training and one "
            f"for the threshold: both need {patch_size} pixels (patch_size). Pass more or larger "
            "images, or set threshold to a number."
        )
    return _hold_out_images(images, fraction, rng)


def _hold_out_images(images: Sequence[Region], fraction: float, rng: np.random.Generator) -> Split:
    """Hold out a share of the images, at least three or half of them, but never all."""
    fewest = min(_FEWEST_HELD_OUT, len(images) // 2)
    n_held_out = min(max(fewest, round(fraction * len(images))), len(images) - 1)
    held_out = set(rng.permutation(len(images))[:n_held_out].tolist())
    return Split(
        [image for index, image in enumerate(images) if index not in held_out],
        [image for index, image in enumerate(images) if index in held_out],
        "images",
    )


def _hold_out_regions(
    images: Sequence[Region], fraction: float, patch_size: int, rng: np.random.Generator
) -> Split:
    training, held_out = [], []
    for image in images:
        band, rest = _divide(image, fraction, patch_size, at_start=rng.random() < 0.5)
        training.append(rest)
        # An image too short for two regions is used for training as a whole.
        if min(rest.working_shape) < patch_size or not (_has_any(band) and _has_any(rest)):
            training[-1] = image
        else:
            held_out.append(band)
    return Split(training, held_out, "regions")


def _divide(
    image: Region, fraction: float, patch_size: int, *, at_start: bool
) -> tuple[Region, Region]:
    """Cut a band off one end of the longer axis."""
    axis = int(np.argmax(image.working_shape))
    length, working_length = image.pixels.shape[axis], image.working_shape[axis]
    shortest = math.ceil(patch_size * length / working_length)
    band = max(shortest, min(round(fraction * length), length - shortest))
    cut = min(band, length) if at_start else max(length - band, 0)

    def region(pixels: Image, inside: Inside | None) -> Region:
        shape = list(image.working_shape)
        shape[axis] = round(pixels.shape[axis] * working_length / length)
        return image._replace(pixels=pixels, working_shape=(shape[0], shape[1]), inside=inside)

    parts = np.split(image.pixels, [cut], axis=axis)
    insides = [None, None] if image.inside is None else np.split(image.inside, [cut], axis=axis)
    first, second = map(region, parts, insides)
    return (first, second) if at_start else (second, first)


def _has_any(region: Region) -> bool:
    return region.inside is None or bool(region.inside.any())
