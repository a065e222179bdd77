"""Comparison of new good images with those of calibration."""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sk_ssimae.estimators._calibration import Calibration
from sk_ssimae.model_selection._extremes import block_maxima, block_size

_SIGNIFICANT = 0.01
# Of many images, shifts that change nothing are significant too.
_NEGLIGIBLE = 0.1
# At a shift of 0.7, calibrate alone found nearly as many defects as partial_fit did; at 3.4 and
# more, two thirds: see benchmarks/results/drift_remedies.csv.
_TOO_FAR = 2.0
# Files store no longer tuples.
_MOST_IMAGES = 1000


class Drift(NamedTuple):
    """Difference between new good images and those of calibration.

    Attributes
    ----------
    p_value : float
        Probability in [0, 1] of a shift at least as large if nothing has changed, by a two-sided
        t-test of the typical residuals of images.
    shift : float
        Difference of the mean typical residuals, in standard deviations between the blocks of an
        image: positive if residuals have risen.
    flagged_p_value : float
        Probability in [0, 1] of at least `n_flagged` flagged images if the share of calibration
        holds, by a binomial test; 1 for a threshold that aims at a share of pixels.
    n_flagged : int
        Number of new images above the threshold.
    n_images : int
        Number of new images.
    n_held_out : int
        Number of images or regions of calibration.
    """

    p_value: float
    shift: float
    flagged_p_value: float
    n_flagged: int
    n_images: int
    n_held_out: int

    @property
    def action(self) -> Literal["none", "calibrate", "train"]:
        """Whether to do nothing, to calibrate, or to train on new images."""
        if self.p_value < _SIGNIFICANT and self.shift >= _TOO_FAR:
            return "train"
        has_shifted = self.p_value < _SIGNIFICANT and abs(self.shift) >= _NEGLIGIBLE
        return "calibrate" if has_shifted or self.flagged_p_value < _SIGNIFICANT else "none"

    def advice(self) -> str:
        """Return the difference of the images and the remedy in plain words."""
        images = f"{self.n_images} new good images"
        flagged = f"{self.n_flagged} of {images} are flagged"
        if self.action == "none":
            return (
                f"No drift found: residuals of the {images} resemble those of the "
                f"{self.n_held_out} of calibration (p = {self.p_value:.2g}), and {flagged}. "
                "Nothing to do."
            )
        if self.p_value >= _SIGNIFICANT or abs(self.shift) < _NEGLIGIBLE:
            return (
                f"{flagged}, more than the threshold aims at, although typical residuals have "
                "hardly changed. Check that these images are good, then call calibrate with them "
                "and others like them."
            )
        direction = "risen" if self.shift > 0 else "fallen"
        change = (
            f"Residuals of good images have {direction} by {abs(self.shift):.2g} standard "
            f"deviations between blocks (p = {self.p_value:.2g}), and {flagged}."
        )
        if self.action == "train":
            return (
                f"{change} New levels alone would hide weak defects: call partial_fit with good "
                "images like these, or fit again."
            )
        return f"{change} Call calibrate with good images like these."


def typical_residual(
    opened: NDArray[Any], image_shape: tuple[int, int], inside: NDArray[np.bool_] | None = None
) -> tuple[float, float]:
    """Return the median of the maxima of blocks, and their mean squared deviation from it.

    A median, because a single speck that nobody noticed should not count.

    Parameters
    ----------
    opened : array of shape (h, w)
        Opened residual map of a good image or a part of one.
    image_shape : tuple of two int
        Height and width of the whole image.
    inside : array of bool, shape (h, w), or None
        Inspected pixels; None for all.
    """
    blocks = block_maxima(opened, block_size(image_shape), inside)
    maxima = blocks.maxima.astype(np.float64)
    median = float(np.median(maxima))
    return median, float(np.mean((maxima - median) ** 2))


def keep_typical(typical: Sequence[tuple[float, float]]) -> tuple[tuple[float, ...], float]:
    """Return the typical residuals of at most 1000 images, and the spread of blocks in an image."""
    medians, squares = np.transpose(typical)
    step = -(-len(medians) // _MOST_IMAGES)
    return tuple(medians[::step].tolist()), math.sqrt(squares.mean())


def compare(
    calibration: Calibration, typical: Sequence[float], scores: NDArray[np.float64]
) -> Drift:
    """Compare typical residuals and scores of new good images with those of calibration.

    Blocks of an image resemble each other, so that tests of blocks, such as that of Kolmogorov and
    Smirnov, would find drift in any two sets of images. The images are compared: each counts once,
    by the median of many blocks, which makes a t-test right for few images too.

    Parameters
    ----------
    calibration : Calibration
        Its typical residuals and its threshold.
    typical : sequence of float
        Typical residuals of the new images.
    scores : array of shape (n,)
        Their scores.

    Raises
    ------
    ValueError
        If there are fewer than three images in both sets together.
    """
    then, now = np.array(calibration.typical_residuals), np.array(typical)
    if len(then) + len(now) < 3:
        raise ValueError(
            f"X must contain more than {len(now)} good image: calibration had {len(then)}, and "
            "both together need at least 3."
        )
    # Equal variances are part of the hypothesis, and a single image has none of its own.
    with np.errstate(divide="ignore", invalid="ignore"):
        test = stats.ttest_ind_from_stats(
            *(then.mean(), _deviation(then), len(then)), *(now.mean(), _deviation(now), len(now))
        )
    difference = float(now.mean() - then.mean())
    n_flagged = int((scores > calibration.threshold).sum())
    share = stats.binomtest(n_flagged, len(scores), calibration.target_fpr, "greater")
    return Drift(
        float(test.pvalue) if difference else 1.0,
        _divide(difference, calibration.block_spread),
        float(share.pvalue) if calibration.rule == "image_fpr" else 1.0,
        n_flagged,
        len(scores),
        calibration.n_held_out,
    )


def _deviation(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def _divide(difference: float, spread: float) -> float:
    if spread:
        return difference / spread
    return math.copysign(math.inf, difference) if difference else 0.0
