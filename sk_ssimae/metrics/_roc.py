"""ROC analysis of residual maps against masks, pixel by pixel, pooled over images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sk_ssimae._validation import iter_masks_and_maps

Scores = NDArray[np.floating[Any]]


def pixel_roc_auc_score(
    masks: Sequence[ArrayLike] | NDArray[Any],
    residual_maps: Sequence[ArrayLike] | NDArray[Any],
    *,
    max_fpr: float | None = None,
) -> float:
    """Compute the area under the pixel ROC curve, pooled over all images.

    The area is exact: ties count half, no score is binned, and strictly monotone transforms of the
    scores change nothing.

    Parameters
    ----------
    masks : array of shape (n, h, w), or sequence of arrays (h, w)
        True, 1 or 255 where a pixel is defective, 0 elsewhere.
    residual_maps : array of shape (n, h, w), or sequence of arrays (h, w)
        Scores, high where a pixel seems defective.
    max_fpr : float in (0, 1], default=None
        If given, the area up to this false positive rate, standardised after McClish so that 0.5
        is chance and 1 perfect, as in :func:`sklearn.metrics.roc_auc_score`.

    Returns
    -------
    float
        Area in [0, 1].

    Raises
    ------
    ValueError
        If numbers or shapes differ, a mask has other values, a map is not finite, or only one
        class is present.

    References
    ----------
    D. K. McClish, "Analyzing a Portion of the ROC Curve", Medical Decision Making 9 (3), 1989.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ssimae.metrics import pixel_roc_auc_score
    >>> mask = np.array([[0, 0, 1, 1]])
    >>> pixel_roc_auc_score([mask], [np.array([[0.1, 0.4, 0.35, 0.8]])])
    0.75
    """
    if max_fpr is not None and not 0 < max_fpr <= 1:
        raise ValueError(f"max_fpr must lie in (0, 1], got {max_fpr!r} instead.")
    good, defective = _sorted_scores(masks, residual_maps)
    if max_fpr is None or max_fpr == 1:
        return _area(good, defective)
    area = _partial_area(good, defective, max_fpr)
    chance = 0.5 * max_fpr**2
    return 0.5 * (1 + (area - chance) / (max_fpr - chance))


def _sorted_scores(
    masks: Sequence[ArrayLike] | NDArray[Any],
    residual_maps: Sequence[ArrayLike] | NDArray[Any],
) -> tuple[Scores, Scores]:
    """Collect the scores of good and of defective pixels, each ascending."""
    good, defective = [], []
    for mask, scores in iter_masks_and_maps(masks, residual_maps):
        good.append(scores[~mask])
        defective.append(scores[mask])
    sorted_good, sorted_defective = np.concatenate(good), np.concatenate(defective)
    for kind, scores in (("good", sorted_good), ("defective", sorted_defective)):
        if scores.size == 0:
            raise ValueError(f"masks must hold good and defective pixels, got no {kind} one.")
        scores.sort()
    return sorted_good, sorted_defective


def _area(good: Scores, defective: Scores) -> float:
    """Count the pairs in which the defective pixel scores higher; ties count half."""
    doubled = sum(
        int(np.searchsorted(good, defective, side=side).sum(dtype=np.int64))
        for side in ("left", "right")
    )
    return doubled / (2 * good.size * defective.size)


def _partial_area(good: Scores, defective: Scores, max_fpr: float) -> float:
    """Integrate the ROC curve from 0 to `max_fpr`."""
    # The curve reaches max_fpr inside the group of ties with this score.
    n_allowed = max_fpr * good.size
    tie = good[max(good.size - int(np.ceil(n_allowed)), 0)]
    above = good[np.searchsorted(good, tie, side="right") :]
    tied = np.searchsorted(good, tie, side="right") - np.searchsorted(good, tie, side="left")
    tpr_before = 1 - np.searchsorted(defective, tie, side="right") / defective.size
    tpr_after = 1 - np.searchsorted(defective, tie, side="left") / defective.size
    width = n_allowed - above.size
    tpr_end = tpr_before + (tpr_after - tpr_before) * width / tied
    # A good pixel above all thresholds so far adds the true positive rate at its score.
    area_above = 0.0
    if above.size:
        below_or_tied = sum(
            int(np.searchsorted(defective, above, side=side).sum(dtype=np.int64))
            for side in ("left", "right")
        )
        area_above = above.size - below_or_tied / (2 * defective.size)
    return float((area_above + width * (tpr_before + tpr_end) / 2) / good.size)
