"""Pixel precision and recall of residual maps against masks, pooled over images."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_ssimae.metrics._pooling import (
    Arrays,
    PooledScores,
    Scores,
    iter_slices,
    n_at_or_above,
    pool_scores,
)


class PixelF1Max(NamedTuple):
    """Largest F1 score over all thresholds.

    Attributes
    ----------
    f1 : float
        F1 score in (0, 1].
    threshold : float
        Pixels above it are marked as defective.
    """

    f1: float
    threshold: float


def pixel_average_precision_score(
    masks: Arrays, residual_maps: Arrays, *, roi: Any = None
) -> float:
    """Compute the average precision of pixels, pooled over all images.

    The precision at each threshold is weighted by the recall gained there, without interpolation,
    as in :func:`sklearn.metrics.average_precision_score`. If defective pixels are rare, it is more
    informative than the area under the ROC curve.

    Parameters
    ----------
    masks : array of shape (n, h, w), or sequence of arrays of shape (h, w)
        True, 1 or 255 where a pixel is defective, 0 elsewhere.
    residual_maps : array of shape (n, h, w), or sequence of arrays of shape (h, w)
        Residuals, high where a pixel looks defective.
    roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
        Region of interest: pixels where it is False or 0 are left out. A single mask holds for all
        images.

    Returns
    -------
    float
        Average precision in (0, 1]. Chance level is the share of defective pixels.

    Raises
    ------
    ValueError
        If masks and maps differ in number or shape, a mask has other values, a map is not finite,
        or all pixels are good or all defective.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ssimae.metrics import pixel_average_precision_score
    >>> mask = np.array([[0, 0, 1, 1]])
    >>> pixel_average_precision_score([mask], [np.array([[0.1, 0.3, 0.4, 0.2]])])
    0.833...
    """
    pooled = pool_scores(masks, residual_maps, roi)
    # Each defective pixel adds the same recall, at the threshold equal to its score.
    total = 0.0
    for _, n_good, n_defective in _iter_counts(pooled):
        total += float((n_defective / (n_defective + n_good)).sum())
    return total / pooled.defective.size


def pixel_f1_max_score(masks: Arrays, residual_maps: Arrays, *, roi: Any = None) -> PixelF1Max:
    """Find the threshold with the largest F1 score of pixels, pooled over all images.

    This is the score that segmentation could reach if the best threshold were known. A threshold
    chosen on test images is biased: see :doc:`/decide`.

    Parameters
    ----------
    masks : array of shape (n, h, w), or sequence of arrays of shape (h, w)
        True, 1 or 255 where a pixel is defective, 0 elsewhere.
    residual_maps : array of shape (n, h, w), or sequence of arrays of shape (h, w)
        Residuals, high where a pixel looks defective.
    roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
        Region of interest: pixels where it is False or 0 are left out. A single mask holds for all
        images.

    Returns
    -------
    PixelF1Max
        The pair ``(f1, threshold)``: ``residual_map > threshold`` has this score. If several
        thresholds reach it, the highest is returned.

    Raises
    ------
    ValueError
        If masks and maps differ in number or shape, a mask has other values, a map is not finite,
        or all pixels are good or all defective.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ssimae.metrics import pixel_f1_max_score
    >>> mask, residual_map = np.array([[0, 0, 1, 1]]), np.array([[0.1, 0.3, 0.4, 0.2]])
    >>> f1, threshold = pixel_f1_max_score([mask], [residual_map])
    >>> f1, residual_map > threshold
    (0.8, array([[False,  True,  True,  True]]))
    """
    pooled = pool_scores(masks, residual_maps, roi)
    best = PixelF1Max(0.0, np.inf)
    for scores, n_good, n_defective in _iter_counts(pooled):
        f1 = 2 * n_defective / (n_good + n_defective + pooled.defective.size)
        index = len(f1) - 1 - int(np.argmax(f1[::-1]))
        if f1[index] >= best.f1:
            best = PixelF1Max(float(f1[index]), _next_lower(pooled, scores[index]))
    return best


def _next_lower(pooled: PooledScores, score: np.floating[Any]) -> float:
    """Return the highest score below `score`, above which all scores of at least `score` lie.

    Unlike a number between the two, it cannot round up to `score` in the precision of the maps.
    """
    lower = [
        scores[position - 1]
        for scores in (pooled.good, pooled.defective)
        if (position := int(np.searchsorted(scores, score, side="left")))
    ]
    return float(max(lower)) if lower else float(score) - max(1, abs(float(score)))


def _iter_counts(
    pooled: PooledScores,
) -> Iterator[tuple[Scores, NDArray[np.intp], NDArray[np.intp]]]:
    """Count good and defective pixels at or above each score of a defective one, ascending.

    Between these thresholds only good pixels are added: recall is constant and precision falls.
    """
    for part in iter_slices(pooled.defective.size):
        scores = pooled.defective[part]
        yield (
            scores,
            n_at_or_above(pooled.good, scores),
            n_at_or_above(pooled.defective, scores),
        )
