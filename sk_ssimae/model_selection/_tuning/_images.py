"""The images of `tune`: some train candidates, painted parts of others rank them."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._images import Images
from sk_ssimae._pixels import Conversion
from sk_ssimae.model_selection._selection_set import (
    GoodImages,
    SelectionSet,
    make_selection_set,
)

# Images that are painted, each once with every family.
_MOST_SCORED = 8
_LEAST_SCORED = 2
# Sides of parts of images below which defects are cramped.
_LEAST_SIDE = 128
# Share of a single image that trains candidates.
_TRAINING_SHARE = 0.6
_MOST_OF_PILOT = 2
_PILOT_DICTIONARY = 1000

Shape = tuple[int, int]


class Division(NamedTuple):
    """Good images that train candidates, and parts of others that rank them.

    Attributes
    ----------
    training : array or list
        Images as they were given, or the larger part of a single one.
    parts : list of arrays (h, w) or (h, w, c)
        Parts of other good images, as they are stored.
    shapes : list of tuple of two int
        Height and width of the whole image of each part.
    is_part : bool
        Whether `training` is a part of an image too.
    """

    training: Any
    parts: list[NDArray[Any]]
    shapes: list[Shape]
    is_part: bool


def open_images(X: Any, alpha_channel: str) -> tuple[Images, list[Shape]]:
    """Read all images once, so that an invalid one is named before anything is trained."""
    images = Images(X, conversion=Conversion(alpha_channel=alpha_channel))
    shapes = []
    for index in range(len(images)):
        height, width = images.read_stored(index)[0].pixels.shape[:2]
        shapes.append((height, width))
    return images, shapes


def n_scored_pixels(budget_minutes: float) -> int:
    """Return the number of pixels of the selection set: one million per 8 minutes, from 1 to 8.

    It does not depend on the speed of the machine, so that a seed always gives the same set.
    """
    return round(1e6 * min(max(budget_minutes / 8, 1), 8))


def divide(
    images: Images,
    group_of: NDArray[np.intp],
    n_pixels: int,
    n_copies: int,
    least_side: Any,
    rng: np.random.Generator,
) -> Division:
    """Hold out about a third of the good images, at most eight, and cut a part of each.

    Parameters
    ----------
    images : Images
        Good images.
    group_of : array of int, shape (n,)
        Group of each.
    n_pixels : int
        Most pixels of all parts and their painted copies together, if parts can be that small.
    n_copies : int
        Number of copies of a part, with the part itself.
    least_side : callable
        From the shape of an image to the least side of a part of it.
    rng : Generator
        Source of the choice of images and parts.

    Raises
    ------
    ValueError
        If several images are one group.
    """
    if len(images) == 1:
        return _divide_single(images, n_pixels / n_copies, least_side, rng)
    groups = rng.permutation(int(group_of.max()) + 1)
    if len(groups) < 2:
        raise ValueError(
            f"groups must name at least 2 groups, got one for all {len(images)} images: candidates "
            "are trained on some and ranked on others. Leave groups out if the images are "
            "independent."
        )
    held_out: list[int] = []
    n_groups = 0
    for group in groups[: max(1, round(len(groups) / 3))]:
        if len(held_out) < _MOST_SCORED:
            held_out += rng.permutation(np.flatnonzero(group_of == group)).tolist()
            n_groups += 1
    training = np.flatnonzero(np.isin(group_of, groups[n_groups:]))
    whole = [_read(images, index) for index in held_out[:_MOST_SCORED]]
    n_scored = _n_scored(whole, n_pixels / n_copies, least_side)
    parts, shapes = [], []
    for image in whole[:n_scored]:
        shape = (image.shape[0], image.shape[1])
        n_each = n_pixels / n_copies / n_scored
        parts.append(_cut(image, _part_shape(shape, n_each, least_side(shape)), rng))
        shapes.append(shape)
    return Division(images.take(training), parts, shapes, is_part=False)


def scale_size(image_size: Any, part: Shape, whole: Shape) -> Any:
    """Return the `image_size` at which a part of an image is resized like the whole image."""
    if image_size is None:
        return None
    height, width = image_size if isinstance(image_size, tuple) else (image_size, image_size)
    return max(1, round(height * part[0] / whole[0])), max(1, round(width * part[1] / whole[1]))


def find_severities(
    division: Division, families: Sequence[str], alpha_channel: Any, seed: int
) -> dict[str, float]:
    """Find the severity of each family at the limit of detection of a small patch dictionary.

    It learns from parts of a few training images, as large as those that are painted.
    """
    from sk_ssimae.estimators import PatchDictionarySegmenter
    from sk_ssimae.model_selection._pilot import Pilot

    rng = np.random.default_rng(seed)
    images = Images(division.training, conversion=Conversion(alpha_channel=alpha_channel))
    side = min(division.parts[0].shape[:2])
    training = [_read(images, index) for index in range(min(len(images), _MOST_SCORED))]
    training = [
        _cut(whole, (min(side, len(whole)), min(side, whole.shape[1])), rng) for whole in training
    ]
    segmenter = PatchDictionarySegmenter(
        dictionary_size=_PILOT_DICTIONARY,
        threshold=0.0,
        alpha_channel=alpha_channel,
        random_state=seed,
    ).fit(training)
    indices = np.arange(min(len(division.parts), _MOST_OF_PILOT))
    maps: Any = segmenter.decision_function([division.parts[index] for index in indices])
    pilot = Pilot(segmenter, GoodImages(division.parts), indices, maps, seed)
    return pilot.find_severities(list(families))


def paint(
    division: Division,
    families: Sequence[str],
    severities: dict[str, float],
    rng: np.random.Generator,
) -> tuple[SelectionSet, list[Shape]]:
    """Paint all parts with every family; return also the shape of the whole image of each."""
    selection = make_selection_set(
        division.parts, families=families, severity=severities, random_state=rng
    )
    return selection, [division.shapes[group] for group in selection.groups]


def _read(images: Images, index: int) -> NDArray[Any]:
    """Read an image (h, w) or (h, w, c) as it is stored, without alpha."""
    pixels: NDArray[Any] = images.read_stored(index)[0].pixels
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def _n_scored(whole: list[NDArray[Any]], n_pixels: float, least_side: Any) -> int:
    """Return the number of parts: all if they can be small enough, but at least 2."""
    least = max(math.prod(_part_shape(w.shape[:2], 0, least_side(w.shape[:2]))) for w in whole)
    return min(len(whole), max(_LEAST_SCORED, int(n_pixels // least)))


def _part_shape(shape: Any, n_pixels: float, least_side: int) -> Shape:
    """Return a shape of about that number of pixels in the proportions of an image."""
    share = math.sqrt(n_pixels / math.prod(shape))
    least = max(_LEAST_SIDE, least_side)
    height, width = (min(n, max(least, round(share * n))) for n in shape)
    return height, width


def _cut(image: NDArray[Any], shape: Shape, rng: np.random.Generator) -> NDArray[Any]:
    row, column = (
        int(rng.integers(n - part + 1)) for n, part in zip(image.shape[:2], shape, strict=True)
    )
    return image[row : row + shape[0], column : column + shape[1]]


def _divide_single(
    images: Images, n_pixels: float, least_side: Any, rng: np.random.Generator
) -> Division:
    """Divide a single image along its longer axis."""
    image = _read(images, 0)
    shape = (image.shape[0], image.shape[1])
    axis = int(np.argmax(shape))
    cut = round(_TRAINING_SHARE * shape[axis])
    least = least_side(shape)
    if min(shape[axis] - cut, shape[1 - axis]) < least:
        raise ValueError(
            f"X contains one good image of {shape[0]} × {shape[1]} pixels, too small to be divided "
            f"into a part that trains candidates and one of at least {least} pixels per side that "
            "ranks them. Pass more or larger images."
        )
    if rng.random() < 0.5:
        image = np.flip(image, axis)
        first, second = (np.flip(part, axis) for part in np.split(image, [cut], axis))
    else:
        first, second = np.split(image, [cut], axis)
    height, width = second.shape[:2]
    second = _cut(second, _part_shape((height, width), n_pixels, least), rng)
    return Division([first], [second], [shape], is_part=True)
