"""The exact curve of true against false positive rates, and the exact area under it."""

import math
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from sk_ssimae.metrics._pooling import PooledScores, Scores, iter_slices, n_at_or_above

# Beyond this number of parts, each point has its own part.
_MOST_PARTS = 2.0**52

Curve = tuple[NDArray[np.float64], NDArray[np.float64], Scores]


def area_up_to(pooled: PooledScores, max_fpr: float) -> float:
    """Integrate the true positive rate over false positive rates from 0 to `max_fpr`.

    A defective pixel counts in full once all good pixels that score at least as high are false
    positives. Along the good pixels with exactly its score it counts in part, because the curve is
    a straight line there.
    """
    good, defective, weights = pooled
    limit = max_fpr * good.size
    # Defective pixels that are detected only beyond the limit add nothing to the area.
    reached = np.searchsorted(defective, good[good.size - math.ceil(limit)], side="left")
    detected = defective[reached:]
    total = 0.0
    for part in iter_slices(detected.size):
        area = _area_of_pixels(good, detected[part], limit)
        if weights is None:
            total += float(area.sum()) / defective.size
        else:
            total += float(weights[reached:][part] @ area)
    return total / good.size


def _area_of_pixels(good: Scores, detected: Scores, limit: float) -> NDArray[np.float64]:
    """Integrate the detected share of each pixel over 0 to `limit` false positives."""
    start = (good.size - np.searchsorted(good, detected, side="right")).astype(np.float64)
    end = n_at_or_above(good, detected).astype(np.float64)
    # The share rises from 0 to 1 between start and end; the integral stops at the limit.
    within = np.clip(limit, start, end)
    rising = (within - start) ** 2 / (2 * np.maximum(end - start, 1))
    area: NDArray[np.float64] = np.maximum(limit - end, 0) + rising
    return area


def curve(pooled: PooledScores, area_tolerance: float) -> Curve:
    """Return the rates and thresholds where the curve turns, thinned if tolerance allows."""
    if not (isinstance(area_tolerance, Real) and 0 <= area_tolerance < 1):
        raise ValueError(f"area_tolerance must lie in [0, 1), got {area_tolerance!r} instead.")
    good, defective = pooled.good, pooled.defective
    thresholds = _turning_scores(good, defective)
    n_good, n_defective = n_at_or_above(good, thresholds), n_at_or_above(defective, thresholds)
    turns = _is_corner(n_good, n_defective)
    thresholds, n_good, n_defective = thresholds[turns], n_good[turns], n_defective[turns]
    fpr, tpr = n_good / good.size, pooled.true_positive_rate(n_defective)
    if area_tolerance:
        kept = _thinned(fpr + tpr, area_tolerance)
        fpr, tpr, thresholds = fpr[kept], tpr[kept], thresholds[kept]
    return fpr, tpr, thresholds


def _turning_scores(good: Scores, defective: Scores) -> Scores:
    """List descending thresholds, infinity first, between which only one count changes."""
    few, many = (defective, good) if defective.size <= good.size else (good, defective)
    position = np.searchsorted(many, few, side="right")
    just_above = many[position[position < many.size]]
    lowest = min(good[0], defective[0])
    ascending = np.unique(np.concatenate([few, just_above, [lowest]], dtype=good.dtype))
    return np.concatenate([[np.inf], ascending[::-1]], dtype=good.dtype)


def _is_corner(n_good: NDArray[np.intp], n_defective: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Mark the points that are not in the middle of a horizontal or vertical line."""
    corner = np.ones(len(n_good), dtype=bool)
    moves = [np.diff(counts) > 0 for counts in (n_good, n_defective)]
    corner[1:-1] = np.all([move[1:] | move[:-1] for move in moves], axis=0)
    return corner


def _thinned(progress: NDArray[np.float64], area_tolerance: float) -> NDArray[np.bool_]:
    """Keep the first and the last point in each of k equal parts of the interval [0, 2].

    Within a part of length u = 2 / k, chord and curve lie in one rectangle of half perimeter u, so
    the area between them is at most u^2 / 8. In total, k parts lose at most 1 / (2 k).
    """
    n_parts = math.ceil(min(1 / (2 * area_tolerance), _MOST_PARTS))
    part = np.floor(progress * n_parts / 2)
    kept = np.ones(len(part), dtype=bool)
    kept[1:-1] = (part[1:-1] != part[:-2]) | (part[1:-1] != part[2:])
    return kept
