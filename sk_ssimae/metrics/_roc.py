"""ROC analysis of residual maps against masks, by pixel (pooled over images) and by image."""

from typing import Any

import numpy as np

from sk_ssimae._interest import RegionsOfInterest
from sk_ssimae._validation import (
    as_collection,
    check_mask,
    defect_labels,
    holds_masks,
    is_collection,
    to_array,
)
from sk_ssimae.metrics._curve import Curve, area_up_to, curve
from sk_ssimae.metrics._pooling import Arrays, PooledScores, check_rate, pool_scores


def pixel_roc_auc_score(
    masks: Arrays, residual_maps: Arrays, *, max_fpr: float | None = None, roi: Any = None
) -> float:
    """Compute the area under the pixel ROC curve, pooled over all images.

    The area is exact: ties count half, scores are not binned, and strictly increasing transforms
    of the residuals change nothing.

    Parameters
    ----------
    masks : array of shape (n, h, w), or sequence of arrays of shape (h, w)
        True, 1 or 255 where a pixel is defective, 0 elsewhere.
    residual_maps : array of shape (n, h, w), or sequence of arrays of shape (h, w)
        Residuals, high where a pixel looks defective.
    max_fpr : float in (0, 1], default=None
        If given, the area up to this false positive rate, standardised by McClish's method so that
        0.5 is chance and 1 is perfect, as in :func:`sklearn.metrics.roc_auc_score`.
    roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
        Region of interest: pixels where it is False or 0 are left out. A single mask holds for all
        images.

    Returns
    -------
    float
        Area in [0, 1].

    Raises
    ------
    ValueError
        If masks and maps differ in number or shape, a mask has other values, a map is not finite,
        or all pixels are good or all defective.

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
    if max_fpr is not None:
        check_rate(max_fpr, "max_fpr")
    pooled = pool_scores(masks, residual_maps, roi)
    if max_fpr is None or max_fpr == 1:
        return area_up_to(pooled, 1)
    chance = 0.5 * max_fpr**2
    return 0.5 * (1 + (area_up_to(pooled, max_fpr) - chance) / (max_fpr - chance))


def pixel_roc_curve(
    masks: Arrays, residual_maps: Arrays, *, area_tolerance: float = 0.0, roi: Any = None
) -> Curve:
    """Compute the pixel ROC curve, pooled over all images.

    Parameters
    ----------
    masks : array of shape (n, h, w), or sequence of arrays of shape (h, w)
        True, 1 or 255 where a pixel is defective, 0 elsewhere.
    residual_maps : array of shape (n, h, w), or sequence of arrays of shape (h, w)
        Residuals, high where a pixel looks defective.
    area_tolerance : float in [0, 1), default=0
        0 keeps every corner of the curve. A larger value thins it to at most
        ``1 / area_tolerance + 4`` points, and changes the area under it by at most
        `area_tolerance`.
    roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
        Region of interest: pixels where it is False or 0 are left out. A single mask holds for all
        images.

    Returns
    -------
    fpr : array of float64, shape (n_thresholds,)
        Share of the good pixels that score at least the threshold, ascending from 0 to 1.
    tpr : array of float64, shape (n_thresholds,)
        Share of the defective pixels that score at least the threshold, from 0 to 1.
    thresholds : array of shape (n_thresholds,)
        Descending scores, infinity first, as in :func:`sklearn.metrics.roc_curve`. Unlike here,
        `predict` marks only pixels strictly above its threshold.

    Raises
    ------
    ValueError
        As for :func:`pixel_roc_auc_score`, or if `area_tolerance` is not in [0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ssimae.metrics import pixel_roc_curve
    >>> mask = np.array([[0, 0, 1, 1]])
    >>> fpr, tpr, thresholds = pixel_roc_curve([mask], [np.array([[0.1, 0.4, 0.35, 0.8]])])
    >>> fpr, tpr
    (array([0. , 0. , 0.5, 0.5, 1. ]), array([0. , 0.5, 0.5, 1. , 1. ]))
    """
    return curve(pool_scores(masks, residual_maps, roi), area_tolerance)


def image_roc_auc_score(y: Any, scores: Any, *, roi: Any = None) -> float:
    """Compute the area under the ROC curve of whole images.

    Parameters
    ----------
    y : array of shape (n,) or (n, h, w), or sequence of arrays of shape (h, w)
        Labels, 1 for a defective image and 0 for a good one; or masks, in which a single marked
        pixel makes the image defective.
    scores : array of shape (n,) or (n, h, w), or sequence of arrays of shape (h, w)
        Scores such as those of `score_images`, high if an image looks defective; or residual maps,
        whose maxima are the scores.
    roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
        Region of interest: pixels of masks and residual maps where it is False or 0 are left out. A
        single mask holds for all images. Labels and scores of images stay as they are.

    Returns
    -------
    float
        Area in [0, 1].

    Raises
    ------
    ValueError
        If `y` and `scores` differ in length, a score is not finite, or all images are
        good or all defective.

    Examples
    --------
    >>> from sk_ssimae.metrics import image_roc_auc_score
    >>> image_roc_auc_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    scores = as_collection(scores, "scores")
    rois = RegionsOfInterest(roi, len(scores))
    image_scores = np.array([_image_score(item, index, rois) for index, item in enumerate(scores)])
    if len(image_scores) == 0:
        raise ValueError("scores must contain at least one image, got none.")
    if is_collection(y) and len(y) != len(image_scores):
        raise ValueError(
            f"y and scores must have the same length, got {len(y)} and {len(image_scores)} instead."
        )
    defective = defect_labels(y, len(image_scores))
    if not rois.is_whole and holds_masks(y):
        checked = (check_mask(mask, f"y[{index}]") for index, mask in enumerate(y))
        defective = np.array(
            [mask[rois.read(i, mask.shape)].any() for i, mask in enumerate(checked)]
        )
    by_kind = {"good": image_scores[~defective], "defective": image_scores[defective]}
    for kind, some in by_kind.items():
        if some.size == 0:
            raise ValueError(f"y must mark good and defective images, got no {kind} image.")
    return area_up_to(PooledScores(*(np.sort(some) for some in by_kind.values())), 1)


def _image_score(item: Any, index: int, rois: RegionsOfInterest) -> float:
    score = to_array(item, f"scores[{index}]")
    if score.dtype.kind not in "biuf" or score.size == 0 or not np.isfinite(score).all():
        raise ValueError(
            f"scores[{index}] must be a finite number or a map of them, got {item!r} instead."
        )
    if not rois.is_whole and score.ndim == 2:
        score = score[rois.read(index, score.shape)]
    return float(score.max())
