"""Scores of good and defective pixels, pooled over images and sorted."""

from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sk_ssimae._interest import RegionsOfInterest
from sk_ssimae._validation import as_collection, iter_masks_and_maps

Scores = NDArray[np.floating[Any]]
Counts = NDArray[np.intp]
Arrays = Sequence[ArrayLike] | NDArray[Any]

_SLICE_LENGTH = 2**17


class Pixels(NamedTuple):
    """Scores of an image, all of shape (h, w), and where its pixels are good or defective."""

    scores: Scores
    good: NDArray[np.bool_]
    defective: NDArray[np.bool_]


class PooledScores(NamedTuple):
    """Scores of the pixels of all images, by their true class.

    Attributes
    ----------
    good, defective : array of shape (n_good,) and (n_defective,)
        Scores, ascending.
    weights : array of float64, shape (n_defective,), or None
        Weights of the defective pixels, summing to 1. None means equal weights.
    """

    good: Scores
    defective: Scores
    weights: NDArray[np.float64] | None = None

    def true_positive_rate(self, n_detected: Counts) -> NDArray[np.float64]:
        """Sum the weights of the `n_detected` defective pixels with the highest scores."""
        if self.weights is None:
            return n_detected / self.defective.size
        cumulative = np.concatenate([[0], np.cumsum(self.weights[::-1])])
        return np.asarray((cumulative / cumulative[-1])[n_detected])


def pool_scores(masks: Arrays, residual_maps: Arrays, roi: Any = None) -> PooledScores:
    """Pool the scores of all pixels, or of those in the region of interest.

    Raises
    ------
    ValueError
        If a mask, map or region of interest is invalid, or all pixels are good or all defective.
    """
    good, defective = [], []
    for pixels in iter_pixels(masks, residual_maps, roi):
        good.append(pixels.scores[pixels.good])
        defective.append(pixels.scores[pixels.defective])
    pooled_good, pooled_defective = np.concatenate(good), np.concatenate(defective)
    check_both_kinds(pooled_good.size, pooled_defective.size, len(good))
    pooled_good.sort()
    pooled_defective.sort()
    return PooledScores(pooled_good, pooled_defective)


def iter_pixels(masks: Arrays, residual_maps: Arrays, roi: Any = None) -> Iterator[Pixels]:
    """Iterate over the pixels of images that count, by their true class.

    Raises
    ------
    TypeError, ValueError
        If a mask, map or region of interest is invalid.
    """
    masks = as_collection(masks, "masks")
    rois = RegionsOfInterest(roi, len(masks))
    for index, (mask, scores) in enumerate(iter_masks_and_maps(masks, residual_maps)):
        inside = rois.read(index, mask.shape)
        if inside is None:
            yield Pixels(scores, ~mask, mask)
        else:
            yield Pixels(scores, ~mask & inside, mask & inside)


def check_both_kinds(n_good: int, n_defective: int, n_images: int) -> None:
    """Refuse pixels of only one class."""
    for kind, n_pixels in (("good", n_good), ("defective", n_defective)):
        if n_pixels == 0:
            raise ValueError(
                f"masks must mark good and defective pixels, got no {kind} pixel in {n_images} "
                "images."
            )


def check_rate(rate: float, name: str) -> None:
    """Refuse a rate outside (0, 1]."""
    if not (isinstance(rate, Real) and 0 < rate <= 1):
        raise ValueError(f"{name} must lie in (0, 1], got {rate!r} instead.")


def iter_slices(n_scores: int) -> Iterator[slice]:
    """Cut many scores into short slices, to bound the memory of intermediate results."""
    for start in range(0, n_scores, _SLICE_LENGTH):
        yield slice(start, start + _SLICE_LENGTH)


def n_at_or_above(ascending: Scores, thresholds: Scores) -> Counts:
    """Count the scores at or above each threshold."""
    return ascending.size - np.searchsorted(ascending, thresholds, side="left")
