"""Weights of the segmenters of an ensemble, found on painted defects."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._inference._region import Region
from sk_ssimae.estimators._results import Mask

if TYPE_CHECKING:
    from sk_ssimae.estimators._base import BaseSegmenter

# Weak defects, which no segmenter finds, and strong ones, which each does, decide nothing: between
# them are some that tell segmenters apart, on any texture.
_SEVERITIES = (0.1, 0.2, 0.4, 0.8)
_N_OF_EACH = 2
# Larger images are painted in windows of this side, so that the cost does not grow with them.
_SIDE = 256
# Of images that are shrunk, windows have at least this side when they are processed: the more they
# are shrunk, the larger a window.
_LEAST_WORKING_SIDE = 64
# A segmenter with this share of the highest score, or more, counts in full: painted defects are not
# the real ones. On nanofibres, the autoencoder is best by far on real defects, and has half of the
# score of a dictionary on painted ones.
_FULL_SHARE = 0.5
# As in the selection of settings: few good pixels may be marked.
_MAX_FPR = 0.05


class PaintedRegion(NamedTuple):
    """A part of a good image with a painted defect.

    Attributes
    ----------
    region : Region
        Its pixels, with the defect.
    mask : array of bool, shape (h, w)
        The painted pixels, at least one.
    family : str
        Kind of the defect.
    """

    region: Region
    mask: Mask
    family: str


def find_weights(
    segmenters: Sequence["BaseSegmenter"], good: Sequence[Region], min_size: int
) -> list[float]:
    """Weigh segmenters by how well each finds painted defects.

    The score of a segmenter is the area under the per-region overlap curve of its map, up to a
    false positive rate of 5 %: its mean over the families of defects.

    Parameters
    ----------
    segmenters : sequence of segmenter
        Fitted and calibrated.
    good : sequence of Region
        Parts of good images, best of images that training has not seen.
    min_size : int
        Smallest height and width that all segmenters can process.

    Returns
    -------
    list of float
        Twice the scores divided by the highest, but at most 1. All are 1 if no score is above 0.
    """
    needs_whole = any(map(_needs_whole_images, segmenters))
    painted = list(paint(good, None if needs_whole else min_size))
    scores = _scores(segmenters, painted)
    highest = max(scores)
    if highest <= 0:
        return [1.0] * len(scores)
    return [min(score / (_FULL_SHARE * highest), 1.0) for score in scores]


def _needs_whole_images(segmenter: "BaseSegmenter") -> bool:
    """Tell whether a residual may depend on the place, or on pixels anywhere in the image."""
    try:
        return segmenter.residual_radius() is None
    except ValueError:  # Features of a network that pools over the whole image.
        return True


def paint(good: Sequence[Region], min_size: int | None) -> Iterator[PaintedRegion]:
    """Paint defects of each family and severity into windows of good images, or whole ones if None.

    Always the same for the same images: weights shall not depend on chance. Images too small for
    defects are left out, and defects that leave no inspected pixel good.
    """
    from sk_ssimae.datasets._defects import LEAST_SIZE, paint_defect
    from sk_ssimae.model_selection._selection_set import DEFAULT_FAMILIES

    good = [region for region in good if min(region.pixels.shape[:2]) >= LEAST_SIZE]
    if not good:
        return
    rng = np.random.default_rng(0)
    kinds = itertools.product(range(_N_OF_EACH), DEFAULT_FAMILIES, _SEVERITIES)
    for number, (_, family, severity) in enumerate(kinds):
        window, other = good[number % len(good)], good[(number + 1) % len(good)]
        if min_size is not None:
            window, other = _cut(window, min_size, rng), _cut(other, min_size, rng)
        pixels, others = _paintable(window.pixels), _paintable(other.pixels)
        painted, mask = paint_defect(pixels, others, family, severity, rng, window.inside)
        if mask.any() and (_inspected(window) & ~mask).any():
            yield PaintedRegion(window._replace(pixels=painted), mask, family)


def _cut(region: Region, min_size: int, rng: np.random.Generator) -> Region:
    """Cut a window, at least of a size when it is processed, around a random inspected pixel."""
    shape = region.pixels.shape[0], region.pixels.shape[1]
    if region.inside is None:
        centre = rng.integers(shape)
    else:
        centre = rng.choice(np.argwhere(region.inside))
    spans, working = [], []
    for place, length, at_work in zip(centre, shape, region.working_shape, strict=True):
        least = max(min_size, min(_SIDE, max(_SIDE * at_work // length, _LEAST_WORKING_SIDE)))
        span = min(-(-least * length // at_work), length)
        first = int(np.clip(place - span // 2, 0, length - span))
        spans.append(slice(first, first + span))
        working.append(at_work if span == length else round(span * at_work / length))
    box = spans[0], spans[1]
    return region._replace(
        pixels=region.pixels[box],
        working_shape=(working[0], working[1]),
        inside=None if region.inside is None else region.inside[box],
        corner=(region.corner[0] + box[0].start, region.corner[1] + box[1].start),
    )


def _paintable(pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return pixels in the range that can be painted."""
    return pixels if pixels.dtype.kind == "u" else np.clip(pixels, 0, 1)


def _scores(segmenters: Sequence["BaseSegmenter"], painted: Sequence[PaintedRegion]) -> list[float]:
    """Return the mean over families of the areas under the curves of each segmenter."""
    from sk_ssimae.metrics import pro_auc_score

    families: dict[str, list[PaintedRegion]] = {}
    for one in painted:
        families.setdefault(one.family, []).append(one)
    scores = [
        [
            pro_auc_score(
                [one.mask for one in of_family],
                [segmenter._calibrated(one.region) for one in of_family],
                max_fpr=_MAX_FPR,
                roi=[_inspected(one.region) for one in of_family],
            )
            for of_family in families.values()
        ]
        for segmenter in segmenters
    ]
    return [float(np.mean(of_one)) if of_one else 0.0 for of_one in scores]


def _inspected(region: Region) -> Mask:
    return np.ones(region.pixels.shape[:2], bool) if region.inside is None else region.inside
