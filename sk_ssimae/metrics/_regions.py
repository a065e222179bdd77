"""Scores that weight all defective regions equally, whatever their size."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import label

from sk_ssimae._validation import to_array
from sk_ssimae.metrics._curve import Curve, area_up_to, curve
from sk_ssimae.metrics._pooling import (
    Arrays,
    PooledScores,
    Scores,
    check_both_kinds,
    check_rate,
    iter_pixels,
)


def per_region_overlap_curve(
    masks: Arrays, residual_maps: Arrays, *, area_tolerance: float = 0.0, roi: Any = None
) -> Curve:
    """Compute the mean overlap with the defective regions against the false positive rate.

    A region is a set of 8-connected defective pixels of one image. Its overlap is the share of its
    pixels that are detected. All regions have the same weight, so a small one counts as much as a
    large one. The false positive rate is computed over the good pixels of all images.

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
    overlap : array of float64, shape (n_thresholds,)
        Mean over the regions of the share of their pixels that score at least the threshold.
    thresholds : array of shape (n_thresholds,)
        Descending scores, infinity first.

    Raises
    ------
    ValueError
        If masks and maps differ in number or shape, a mask has other values, a map is not finite,
        there is no region or no good pixel, or `area_tolerance` is not in [0, 1).

    References
    ----------
    P. Bergmann, K. Batzner, M. Fauser, D. Sattlegger, C. Steger, "The MVTec Anomaly Detection
    Dataset", International Journal of Computer Vision 129, 2021, section 5.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ssimae.metrics import per_region_overlap_curve
    >>> mask = np.array([[1, 1, 0, 1]])  # A region of two pixels and one of a single pixel.
    >>> fpr, overlap, _ = per_region_overlap_curve([mask], [np.array([[0.4, 0.2, 0.3, 0.5]])])
    >>> fpr, overlap
    (array([0., 0., 1., 1.]), array([0.  , 0.75, 0.75, 1.  ]))
    """
    return curve(_pool_regions(masks, residual_maps, roi), area_tolerance)


def pro_auc_score(
    masks: Arrays, residual_maps: Arrays, *, max_fpr: float = 0.3, roi: Any = None
) -> float:
    """Compute the normalised area under the per-region overlap curve (AU-PRO).

    The area is exact: scores are not binned, ties are joined by straight lines, and strictly
    increasing transforms of the residuals change nothing.

    Parameters
    ----------
    masks : array of shape (n, h, w), or sequence of arrays of shape (h, w)
        True, 1 or 255 where a pixel is defective, 0 elsewhere.
    residual_maps : array of shape (n, h, w), or sequence of arrays of shape (h, w)
        Residuals, high where a pixel looks defective.
    max_fpr : float in (0, 1], default=0.3
        False positive rate at which the integration stops, and by which the area is divided.
    roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
        Region of interest: pixels where it is False or 0 are left out. A single mask holds for all
        images.

    Returns
    -------
    float
        Area in [0, 1]. Chance level is ``max_fpr / 2``.

    Raises
    ------
    ValueError
        If masks and maps differ in number or shape, a mask has other values, a map is not finite,
        or there is no region or no good pixel.

    See Also
    --------
    per_region_overlap_curve : Compute the curve; defines a region.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ssimae.metrics import pro_auc_score
    >>> mask = np.array([[1, 1, 0, 1]])
    >>> pro_auc_score([mask], [np.array([[0.4, 0.2, 0.3, 0.5]])])
    0.75
    """
    check_rate(max_fpr, "max_fpr")
    return area_up_to(_pool_regions(masks, residual_maps, roi), max_fpr) / max_fpr


def region_overlap_quantiles(
    masks: Arrays,
    residual_maps: Arrays,
    fpr: ArrayLike,
    *,
    quantiles: Sequence[float] = (0.25, 0.5, 0.75),
    roi: Any = None,
) -> NDArray[np.float64]:
    """Compute quantiles over the defective regions of their overlap at given false positive rates.

    Figure 7 of the paper. For example, a median of 0.91 at a rate of 0.05 means: at a threshold
    that 5 % of the good pixels exceed, at least 91 % of the pixels are detected in half of the
    regions.

    Parameters
    ----------
    masks : array of shape (n, h, w), or sequence of arrays of shape (h, w)
        True, 1 or 255 where a pixel is defective, 0 elsewhere.
    residual_maps : array of shape (n, h, w), or sequence of arrays of shape (h, w)
        Residuals, high where a pixel looks defective.
    fpr : float or array of shape (n_rates,), in [0, 1]
        False positive rates, over the good pixels of all images. For each rate the lowest
        threshold that does not exceed it is used.
    quantiles : sequence of float in [0, 1], default=(0.25, 0.5, 0.75)
        Quantiles over the regions.
    roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
        Region of interest: pixels where it is False or 0 are left out. A single mask holds for all
        images.

    Returns
    -------
    array of float64, shape (n_rates, n_quantiles), or (n_quantiles,) for a single rate
        Overlaps in [0, 1], linearly interpolated between regions.

    Raises
    ------
    ValueError
        If masks and maps differ in number or shape, a mask has other values, a map is not finite,
        there is no region or no good pixel, or a rate or quantile is not in [0, 1].

    References
    ----------
    P. Bergmann, S. Löwe, M. Fauser, D. Sattlegger, C. Steger, "Improving Unsupervised Defect
    Segmentation by Applying Structural Similarity to Autoencoders", VISAPP 2019, Figure 7.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ssimae.metrics import region_overlap_quantiles
    >>> mask = np.array([[1, 1, 0, 1, 0]])
    >>> residual_map = np.array([[0.4, 0.2, 0.3, 0.5, 0.1]])
    >>> region_overlap_quantiles([mask], [residual_map], fpr=[0, 0.5])
    array([[0.625, 0.75 , 0.875],
           [1.   , 1.   , 1.   ]])
    """
    rates = _check_rates(fpr, "fpr")
    if _check_rates(quantiles, "quantiles").ndim != 1:
        raise ValueError(f"quantiles must be a sequence of numbers, got {quantiles!r} instead.")
    overlaps = region_overlaps(masks, residual_maps, rates, roi)
    return np.moveaxis(np.quantile(overlaps, quantiles, axis=0), 0, -1)


def _check_rates(rates: ArrayLike, name: str) -> NDArray[Any]:
    numbers = to_array(rates, name, "(n,)")
    is_real = numbers.dtype.kind in "biuf"
    if not is_real or numbers.ndim > 1 or not ((numbers >= 0) & (numbers <= 1)).all():
        raise ValueError(f"{name} must contain numbers in [0, 1], got {numbers.tolist()} instead.")
    return numbers


def region_overlaps(
    masks: Arrays, residual_maps: Arrays, rates: NDArray[np.float64], roi: Any = None
) -> NDArray[np.float64]:
    """Compute the overlap of each region, along the first axis, at each rate."""
    good, defective, regions = _collect(masks, residual_maps, roi)
    good.sort()
    # At most m good pixels exceed the (m + 1)-th highest good score.
    n_allowed = np.floor(rates * good.size + 1e-9).astype(np.intp)
    position = good.size - 1 - n_allowed
    thresholds = np.where(position >= 0, good[np.maximum(position, 0)], -np.inf)
    order = np.lexsort((defective, regions))
    sizes = np.bincount(regions)
    by_region = np.split(defective[order], np.cumsum(sizes)[:-1])
    detected = [
        scores.size - np.searchsorted(scores, thresholds, side="right") for scores in by_region
    ]
    overlaps: NDArray[np.float64] = (np.stack(detected, axis=-1) / sizes).T
    return overlaps


def _pool_regions(masks: Arrays, residual_maps: Arrays, roi: Any) -> PooledScores:
    """Pool the scores of all pixels, with weights of sum 1 / n_regions in each region."""
    good, defective, regions = _collect(masks, residual_maps, roi)
    good.sort()
    sizes = np.bincount(regions)
    order = np.argsort(defective)
    weights = (1 / (len(sizes) * sizes))[regions[order]]
    return PooledScores(good, defective[order], weights)


def _collect(
    masks: Arrays, residual_maps: Arrays, roi: Any
) -> tuple[Scores, Scores, NDArray[np.intp]]:
    """Collect the scores of good and defective pixels, unsorted, and the region of the latter."""
    good, defective, regions, n_regions = [], [], [], 0
    for scores, is_good, mask in iter_pixels(masks, residual_maps, roi):
        good.append(scores[is_good])
        if not mask.any():
            continue
        labels, n_labels = label(mask, structure=np.ones((3, 3)))
        defective.append(scores[mask])
        regions.append(labels[mask] + np.int32(n_regions - 1))
        n_regions += n_labels
    n_good = sum(some.size for some in good)
    check_both_kinds(n_good, n_regions, len(good))
    return np.concatenate(good), np.concatenate(defective), np.concatenate(regions)
