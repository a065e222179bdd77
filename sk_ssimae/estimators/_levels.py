"""The two levels of a decision, found on good images that training has not seen."""

import itertools
import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from sk_ssimae._inference._decision import image_score
from sk_ssimae._inference._region import Region
from sk_ssimae.estimators._calibrated import CalibratedMaps
from sk_ssimae.estimators._calibration import Calibration
from sk_ssimae.estimators._drift import Drift, compare, typical_residual
from sk_ssimae.estimators._evidence import Evidence
from sk_ssimae.estimators._parameters import Role

# Parameters of the two levels, without effect on maps.
_OF_VERDICT = ("threshold", "target_fpr")
_OF_EXTENT = ("extent_threshold", "extent_fpr")
# Images of `calibrate` that `settle` gets: more than the defects that an ensemble paints.
_MOST_FOR_SETTLING = 60


class CalibratedLevels(CalibratedMaps):
    """Segmentation whose levels are numbers, or found by a rule on good images.

    Attributes
    ----------
    extent_threshold : str or float
        Rule of the level that the pixels of a region exceed, or a number.
    """

    extent_threshold: Any

    @abstractmethod
    def _check_fitted(self) -> None:
        """Check that the segmenter is fitted, and its parameters as they are now."""

    def settle(self, regions: Sequence[Region]) -> None:  # may stay empty
        """Find results that need good regions which training has not seen, before calibration.

        They are held out if there are any, else those of training. `calibrate` calls it where
        `is_settled` returns False.
        """

    def is_settled(self) -> bool:
        """Tell whether :meth:`settle` has found all that the parameters need as they are now."""
        return True

    def calibrate(self, X: Any, *, roi: Any = None) -> Self:
        """Find both levels again, on good images that training has not seen.

        Parameters
        ----------
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Good images.
        roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
            Region of interest: True where a pixel is inspected; a single mask holds for all images.
            None inspects all pixels.

        Returns
        -------
        self
            The estimator with its new levels.

        Raises
        ------
        ValueError
            If `threshold` is a number, so that there is nothing to calibrate.
        """
        self._check_fitted()
        images = self._open_images(X, roi)
        if not isinstance(self.threshold, str):
            raise ValueError(
                f"threshold={self.threshold!r} is a fixed number; there is nothing to calibrate. "
                "Set threshold to 'image_fpr' or 'pixel_fpr' first."
            )
        if not self.is_settled():
            self.settle([*itertools.islice(self._iter_regions(images), _MOST_FOR_SETTLING)])
        self.check_ready()
        self._calibrate(self._iter_regions(images), "images")
        return self

    def check_drift(self, X: Any, *, roi: Any = None) -> Drift:
        """Check whether new good images still look like those of calibration.

        The typical residual of each image, the median of the maxima of its blocks, is compared with
        those of calibration, and the number of images above `threshold_` with `target_fpr`. Five
        images and more make a useful check.

        Parameters
        ----------
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            New good images, none of those of `fit` or `calibrate`.
        roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
            Region of interest: True where a pixel is inspected; a single mask holds for all images.
            None inspects all pixels.

        Returns
        -------
        Drift
            Result of the tests; its method ``advice`` gives the remedy in plain words.

        Raises
        ------
        ValueError
            If `threshold` is a number, so that there was no calibration, or `X` has too few images.
        sklearn.exceptions.NotFittedError
            If there was none for the current parameters.

        Examples
        --------
        >>> from sk_ssimae import PatchDictionarySegmenter
        >>> from sk_ssimae.datasets import make_woven_fabric
        >>> good = make_woven_fabric(16, shape=(96, 96), random_state=0)
        >>> segmenter = PatchDictionarySegmenter(random_state=0).fit(good)
        >>> today = make_woven_fabric(5, shape=(96, 96), random_state=1)
        >>> segmenter.check_drift(today).action
        'none'
        >>> segmenter.check_drift(0.5 * today).action
        'train'
        """
        images = self._check_images(X, roi)
        if not isinstance(self.threshold, str):
            raise ValueError(
                f"threshold={self.threshold!r} is a fixed number, found without good images to "
                "compare with. Set threshold to 'image_fpr' or 'pixel_fpr' and call calibrate."
            )
        calibration = self._current_calibration()
        typical, scores = [], []
        for residual_map, inside in self._iter_inspected(images):
            opened = self._open(residual_map, inside)
            shape = opened.shape[0], opened.shape[1]
            typical.append(typical_residual(opened, shape, inside)[0])
            scores.append(image_score(opened))
        return compare(calibration, typical, np.array(scores))

    @property
    def threshold_(self) -> float:
        """The verdict's level: a region of the opened map is defective if it exceeds it."""
        check_is_fitted(self, "fitted_parameters_")
        if not isinstance(self.threshold, str):
            return float(self.threshold)
        return self._current_calibration().threshold

    @property
    def extent_threshold_(self) -> float:
        """Level that all pixels of a defective region exceed, at most `threshold_`."""
        threshold = self.threshold_
        if not isinstance(self.extent_threshold, str):
            return min(float(self.extent_threshold), threshold)
        calibration = self._calibration_but_for(*_OF_VERDICT)
        return threshold if calibration is None else min(calibration.extent_threshold, threshold)

    @property
    def ends_at_half_peak(self) -> bool:
        is_rule = self.extent_threshold == "half_peak"
        return is_rule and self._calibration_but_for(*_OF_VERDICT) is not None

    @property
    def good_deviation(self) -> float:
        """Standard deviation of good opened maps, the unit of distances; NaN if it is unknown."""
        calibration = self._calibration_but_for(*_OF_VERDICT, *_OF_EXTENT)
        return math.nan if calibration is None else calibration.good_deviation

    def _calibration_but_for(self, *ignored: str) -> Calibration | None:
        """Return the calibration if there is one for the parameters but some as they are now."""
        calibration: Calibration | None = getattr(self, "calibration_", None)
        current = self._calibrated_parameters()
        if calibration is None or calibration.changed(
            {name: value for name, value in current.items() if name not in ignored}
        ):
            return None
        return calibration

    def _current_calibration(self) -> Calibration:
        calibration: Calibration | None = getattr(self, "calibration_", None)
        if calibration is None:
            raise NotFittedError(
                f"threshold={self.threshold!r} has not been calibrated: call calibrate with good "
                "images, or fit again."
            )
        calibration.check(self._calibrated_parameters(), f"threshold={self.threshold!r}")
        return calibration

    def _calibrate(self, held_out: Iterable[Region], kind: str) -> None:
        evidence = Evidence()
        for region in held_out:
            residual_map = self._residual_map(region)
            evidence.add(self._open(residual_map, region.inside), region, residual_map)
        parameters = self._calibrated_parameters()
        self.calibration_, self.tail_ = evidence.calibrate(kind, parameters)

    def _calibrated_parameters(self) -> dict[str, Any]:
        """Return the parameters without which a threshold means nothing."""
        return self._values(Role.INFERENCE, Role.DECISION)
