"""Maps in a common unit, of segmenters that hold out good pixels."""

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError

from sk_ssimae._areas import Area, outside_of
from sk_ssimae._inference._region import Region
from sk_ssimae._sliced import SlicedImage
from sk_ssimae.estimators._blocks import smoothed_area
from sk_ssimae.estimators._calibration import Calibration
from sk_ssimae.estimators._parameters import Role
from sk_ssimae.estimators._results import Map
from sk_ssimae.estimators._segmentation import Segmentation, collect
from sk_ssimae.estimators._tail import TailProbability


class CalibratedMaps(Segmentation):
    """Segmentation whose residuals can be compared with those of good pixels.

    Attributes
    ----------
    threshold : str or float
        Rule by which good pixels were held out, or a number if none were.
    calibration_ : Calibration
        How they were held out; absent like `tail_`.
    tail_ : TailProbability
        Tail probabilities of their residuals; absent if none were held out.
    """

    threshold: Any
    calibration_: Calibration
    tail_: TailProbability

    @abstractmethod
    def _values(self, *roles: Role) -> dict[str, Any]:
        """Return the values of the parameters that have one of the roles."""

    def calibrated_map(self, X: Any, *, roi: Any = None) -> NDArray[np.float32] | list[Map]:
        """Compute maps in a common unit: how improbable each residual is on good pixels.

        Parameters
        ----------
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images.
        roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
            Region of interest: True where a pixel is inspected; a single mask holds for all images.
            None inspects all pixels.

        Returns
        -------
        array of float32, shape (n, h, w), or list of arrays (h, w)
            Negative natural logarithm of the probability that a good pixel reaches the residual,
            at least 0: 4.6 for one good pixel in 100, 6.9 for one in 1000. It ascends with the
            residual map of `decision_function`, and is 0 where a pixel is not inspected.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If no good images were held out, or parameters of inference have changed since: the
            message asks for `calibrate`.
        """
        images = self._check_images(X, roi)
        self._current_tail()  # Raises before an image is read.
        regions = self._iter_regions(images)
        return collect((region.place(self._calibrated(region)) for region in regions), images)

    def _calibrated(self, region: Region) -> Map:
        """Compute the map of an image, or a part of one, in the common unit."""
        surprise = self._current_tail().surprise(self._residual_map(region))
        if region.inside is not None:
            surprise[~region.inside] = 0
        return surprise

    def _calibrated_area(self, image: SlicedImage, area: Area) -> Map:
        """Compute the map of an area of an image that may be larger than memory."""
        surprise = self._current_tail().surprise(smoothed_area(self, image, area))
        inside = image.read_inside(outside_of(area, image.box))
        return surprise if inside is None else np.where(inside, surprise, np.float32(0))

    def _current_tail(self) -> TailProbability:
        """Return the tail probabilities, unless residual maps have changed since."""
        tail: TailProbability | None = getattr(self, "tail_", None)
        if tail is None:
            remedy = "" if isinstance(self.threshold, str) else "set threshold to 'image_fpr' and "
            raise NotFittedError(
                "calibrated_map needs the residuals of good pixels that training has not seen. "
                f"Fit with a number as threshold holds none out: {remedy}call calibrate with good "
                "images."
            )
        self.calibration_.check(self._values(Role.INFERENCE), "calibrated_map")
        return tail
