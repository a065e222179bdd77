"""Decision thresholds from good images alone."""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sk_ssimae._validation import as_collection, as_floats


def pixel_fpr_threshold(residual_maps: Sequence[NDArray[Any]], target_fpr: float) -> float:
    """Compute the threshold that a given share of good pixels exceeds.

    Parameters
    ----------
    residual_maps : sequence of arrays
        Residuals of good pixels that training has not seen, of any shape.
    target_fpr : float in (0, 1)
        Pixel false positive rate: the share of good pixels above the threshold.

    Returns
    -------
    float
        The smallest residual that at most this share of the pixels exceeds.

    Raises
    ------
    ValueError
        If `target_fpr` is not in (0, 1), there are no residuals, or one is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ssimae.model_selection import pixel_fpr_threshold
    >>> pixel_fpr_threshold([np.arange(1000).reshape(20, 50)], target_fpr=0.01)
    989.0
    """
    check_target_fpr(target_fpr)
    residual_maps = as_collection(residual_maps, "residual_maps")
    if len(residual_maps) == 0:
        raise ValueError("residual_maps must contain at least one map, got none.")
    checked = (as_floats(item, f"residual_maps[{i}]") for i, item in enumerate(residual_maps))
    residuals = np.concatenate([residual_map.ravel() for residual_map in checked])
    if residuals.size == 0 or not np.isfinite(residuals).all():
        raise ValueError("residual_maps must contain finite numbers, got none, NaN or infinity.")
    n_exceeding = math.floor(target_fpr * residuals.size + 1e-9)
    position = residuals.size - n_exceeding - 1
    residuals.partition(position)
    return float(residuals[position])


def image_fpr_threshold(image_scores: ArrayLike, target_fpr: float) -> float:
    """Compute the threshold that a new good image exceeds with at most a given probability.

    Split conformal prediction: the ⌈(n + 1)(1 - α)⌉-th smallest of n scores. If the n images and
    the new one are exchangeable, the bound holds for every n.

    Parameters
    ----------
    image_scores : array of shape (n,)
        Scores of good images that training has not seen.
    target_fpr : float in (0, 1)
        Bound α on the probability that a good image is flagged.

    Returns
    -------
    float
        The threshold. An image is flagged if its score is above it.

    Raises
    ------
    ValueError
        If there are fewer than 1 / α - 1 images, `target_fpr` is not in (0, 1), or a score is not
        finite.

    References
    ----------
    H. Papadopoulos, K. Proedrou, V. Vovk, A. Gammerman, "Inductive Confidence Machines for
    Regression", ECML 2002.

    Examples
    --------
    >>> from sk_ssimae.model_selection import image_fpr_threshold
    >>> image_fpr_threshold(range(1, 20), target_fpr=0.1)
    18.0
    """
    check_target_fpr(target_fpr)
    scores = as_floats(image_scores, "image_scores", "(n,)")
    if scores.ndim != 1 or not np.isfinite(scores).all():
        raise ValueError(
            f"image_scores must be finite numbers of shape (n,), got {scores!r} instead."
        )
    _check_image_count(len(scores), target_fpr)
    return float(np.sort(scores)[_conformal_rank(len(scores), target_fpr) - 1])


def images_for_bound(target_fpr: float) -> float:
    """Return how many good images the bound of the conformal rule needs."""
    return float(np.ceil(1 / target_fpr - 1 - 1e-9))


def allows_bound(n_images: int, target_fpr: float) -> bool:
    """Tell whether there are enough good images for the bound of the conformal rule."""
    return _conformal_rank(n_images, target_fpr) <= n_images


def _check_image_count(n_images: int, target_fpr: float) -> None:
    if not allows_bound(n_images, target_fpr):
        raise ValueError(
            f"target_fpr={target_fpr:g} needs at least {images_for_bound(target_fpr):.0f} good "
            f"images that training has not seen, got {n_images}. Pass more images, raise "
            "target_fpr, or estimate a threshold with extreme_value_threshold."
        )


def check_target_fpr(target_fpr: float) -> None:
    """Refuse anything but a number in (0, 1)."""
    if not (isinstance(target_fpr, Real) and 0 < target_fpr < 1):
        raise ValueError(f"target_fpr must lie in (0, 1), got {target_fpr!r} instead.")


def _conformal_rank(n_images: int, target_fpr: float) -> int:
    # Without the tiny offset, exact ranks such as (19 + 1)(1 - 0.1) could be rounded up.
    return math.ceil((n_images + 1) * (1 - target_fpr) - 1e-9)
