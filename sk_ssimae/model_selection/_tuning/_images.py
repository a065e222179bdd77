"""The images of `tune`: some train candidates, painted parts of others rank them."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._images import Images
from sk_ssimae._interest import Inside, bounding_box
from sk_ssimae._pixels import Conversion
from sk_ssimae.model_selection._painted import PaintableImages
from sk_ssimae.model_selection._selection_set import SelectionSet, paint_copies
from sk_ssimae.model_selection._tuning._cutting import Cutting, LeastSide, Shape

# Images that are painted, each once with every family.
_MOST_SCORED = 8
_LEAST_SCORED = 2
# Share of a single image that trains candidates.
_TRAINING_SHARE = 0.6
_MOST_OF_PILOT = 2
_PILOT_DICTIONARY = 1000


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
    names : list of str
        Name of the image of each part, in messages.
    is_part : bool
        Whether `training` is a part of an image too.
    training_roi : None, mask, or sequence of masks (h, w)
        Inspected pixels of `training`, as of `fit`.
    roi : list of arrays of bool (h, w), or None
        Inspected pixels of the parts; None if all are.
    """

    training: Any
    parts: list[NDArray[Any]]
    shapes: list[Shape]
    names: list[str]
    is_part: bool
    training_roi: Any
    roi: list[Inside] | None


def open_images(X: Any, conversion: Conversion, roi: Any) -> tuple[Images, list[Shape]]:
    """Read all images and masks once, so that an invalid one is named before training starts.

    Returns
    -------
    images : Images
        The images.
    shapes : list of tuple of two int
        Height and width of the inspected part of each.
    """
    from sk_ssimae.datasets._defects import check_paintable, check_size

    images = Images(X, conversion=conversion, roi=roi)
    shapes = []
    for index in range(len(images)):
        stored, name = images.read_stored(index)
        check_size(stored.pixels.shape, name)
        inside = images.read_inside(index, stored.pixels.shape)
        check_paintable(stored.pixels if inside is None else stored.pixels[inside], name)
        height, width = stored.pixels.shape[:2]
        if inside is not None:
            height, width = inside[bounding_box(inside, (1, 1))].shape
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
    least_side: LeastSide,
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
    whole = [Cutting.read(images, index, least_side) for index in held_out[:_MOST_SCORED]]
    n_scored = _n_scored(whole, n_pixels / n_copies, least_side)
    parts = [
        image.cut(image.part_shape(n_pixels / n_copies / n_scored, least_side), rng)
        for image in whole[:n_scored]
    ]
    return _division(images.take(training), images.take_roi(training), parts, is_part=False)


def _division(training: Any, training_roi: Any, parts: list[Cutting], *, is_part: bool) -> Division:
    masks = [part.inside for part in parts if part.inside is not None]
    return Division(
        training,
        [part.pixels for part in parts],
        [part.shape for part in parts],
        [part.name for part in parts],
        is_part,
        training_roi,
        masks or None,
    )


def scale_size(image_size: Any, part: Shape, whole: Shape) -> Any:
    """Return the `image_size` at which a part of an image is resized like the whole image."""
    if image_size is None:
        return None
    height, width = image_size if isinstance(image_size, tuple) else (image_size, image_size)
    return max(1, round(height * part[0] / whole[0])), max(1, round(width * part[1] / whole[1]))


def find_severities(
    division: Division, families: Sequence[str], conversion: Conversion, seed: int
) -> dict[str, float]:
    """Find the severity of each family at the limit of detection of a small patch dictionary.

    It learns from parts of a few training images, as large as those that are painted.
    """
    from sk_ssimae.estimators import PatchDictionarySegmenter
    from sk_ssimae.model_selection._pilot import Pilot

    rng = np.random.default_rng(seed)
    images = Images(division.training, conversion=conversion, roi=division.training_roi)
    side = min(division.parts[0].shape[:2])
    training = [
        Cutting.read(images, index, lambda shape: side)
        for index in range(min(len(images), _MOST_SCORED))
    ]
    training = [
        whole.cut((min(side, whole.own_shape[0]), min(side, whole.own_shape[1])), rng)
        for whole in training
    ]
    masks = [part.inside for part in training if part.inside is not None]
    alpha_channel: Any = conversion.alpha_channel
    segmenter = PatchDictionarySegmenter(
        dictionary_size=_PILOT_DICTIONARY,
        threshold=0.0,
        alpha_channel=alpha_channel,
        random_state=seed,
    ).fit([part.pixels for part in training], roi=masks or None)
    indices = np.arange(min(len(division.parts), _MOST_OF_PILOT))
    maps: Any = segmenter.decision_function(
        [division.parts[index] for index in indices],
        roi=division.roi and [division.roi[index] for index in indices],
    )
    pilot = Pilot(segmenter, _good(division), indices, maps, seed)
    return pilot.find_severities(list(families))


def paint(
    division: Division, severities: dict[str, float], rng: np.random.Generator
) -> tuple[SelectionSet, list[Shape]]:
    """Paint all parts with every family; return also the shape of the whole image of each."""
    group_of = np.arange(len(division.parts))
    selection = paint_copies(
        _good(division), severities, rng.permutation(len(group_of)), group_of, rng
    )
    return selection, [division.shapes[group] for group in selection.groups]


def _good(division: Division) -> PaintableImages:
    return PaintableImages(division.parts, division.roi, division.names)


def _n_scored(whole: list[Cutting], n_pixels: float, least_side: LeastSide) -> int:
    """Return the number of parts: all if they can be small enough, but at least 2."""
    least = max(math.prod(image.part_shape(0, least_side)) for image in whole)
    return min(len(whole), max(_LEAST_SCORED, int(n_pixels // least)))


def _divide_single(
    images: Images, n_pixels: float, least_side: LeastSide, rng: np.random.Generator
) -> Division:
    """Divide a single image, or the part with the region of interest, along its longer axis."""
    image = Cutting.read(images, 0, least_side)
    shape = image.own_shape
    axis = int(np.argmax(shape))
    cut = round(_TRAINING_SHARE * shape[axis])
    least = least_side(image.shape)
    if min(shape[axis] - cut, shape[1 - axis]) < least:
        inspected = "" if image.inside is None else " in the region of interest"
        raise ValueError(
            f"X contains one good image of {shape[0]} × {shape[1]} pixels{inspected}, too small to "
            f"be divided into a part that trains candidates and one of at least {least} pixels per "
            "side that ranks them. Pass more or larger images."
        )
    trains_last = rng.random() < 0.5
    boundary = shape[axis] - cut if trains_last else cut
    before, after = (
        image.at(*(own if number == axis else slice(None) for number in (0, 1)))
        for own in (slice(0, boundary), slice(boundary, None))
    )
    first, second = (after, before) if trains_last else (before, after)
    if any(half.inside is not None and not half.inside.any() for half in (first, second)):
        raise ValueError(
            "X contains one good image, and roi marks no pixel in one of the two parts into which "
            "it is divided. Pass more images, or mark more pixels."
        )
    second = second.cut(second.part_shape(n_pixels, least_side), rng)
    training_roi = None if first.inside is None else [first.inside]
    return _division([first.pixels], training_roi, [second], is_part=True)
