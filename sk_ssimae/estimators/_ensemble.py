"""Several segmenters whose maps are brought to a common unit and combined."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar, Literal, Self, Unpack

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import _BaseComposition

from sk_ssimae._inference._region import Region
from sk_ssimae._intensity import Image
from sk_ssimae._pixels import as_unit_float
from sk_ssimae.estimators._base import BaseSegmenter
from sk_ssimae.estimators._holdout import hold_out
from sk_ssimae.estimators._parameters import Parameter, Role, SegmenterParameters
from sk_ssimae.estimators._tail import TailProbability

# Images reach the members as floats that are 0 and 1 at the ends of the ensemble's range.
_OF_MEMBERS = {"intensity_range": (0.0, 1.0), "alpha_channel": "keep", "threshold": 1.0}


class EnsembleSegmenter(BaseSegmenter, _BaseComposition):
    """Segment by the combined maps of several segmenters.

    No method is best on every material. The map of each member is expressed as the negative
    logarithm of the share of good pixels with higher residuals, on images that were held out, and
    the maps are added: the sum is never far from the best member, and sometimes above it.

    Parameters
    ----------
    segmenters : list or tuple of pairs of str and segmenter
        Names and unfitted segmenters. ``set_params(name__parameter=value)`` reaches them.
    combination : {"sum", "max"}, default="sum"
        Combination of the maps: "sum" where members agree on defects, "max" where each finds
        defects of its own.
    smoothing : float or "auto", default=0
        Sigma in pixels of a Gaussian that smooths the combined map. Members smooth their own maps.
    n_jobs : int or None, default=None
        Number of members that are fitted at the same time; -1 for all cores, None for one.
    {parameters}

    Attributes
    ----------
    segmenters_ : list of segmenters
        Fitted members.
    tails_ : list of TailProbability
        Shares of good pixels above a residual, for each member.
    {attributes}

    Examples
    --------
    >>> from sk_ssimae import EnsembleSegmenter, PatchDictionarySegmenter
    >>> from sk_ssimae.datasets import make_woven_fabric
    >>> good = make_woven_fabric(4, shape=(96, 96), random_state=0)
    >>> members = [
    ...     ("fine", PatchDictionarySegmenter(scales=(1,))),
    ...     ("coarse", PatchDictionarySegmenter(scales=(4,))),
    ... ]
    >>> ensemble = EnsembleSegmenter(members, random_state=0).set_params(fine__n_neighbors=1)
    >>> ensemble.fit(good).decision_function(good).shape
    (4, 96, 96)
    """

    parameters: ClassVar[dict[str, Parameter]] = {
        "segmenters": Parameter(Role.NETWORK, list, tuple),
        "combination": Parameter(Role.INFERENCE, StrOptions({"sum", "max"})),
        "n_jobs": Parameter(Role.MACHINE, Integral, None),
    }

    def __init__(  # type: ignore[misc]  # smoothing has another default than in the base
        self,
        segmenters: Sequence[tuple[str, BaseSegmenter]],
        *,
        combination: Literal["sum", "max"] = "sum",
        smoothing: float | Literal["auto"] = 0,
        n_jobs: int | None = None,
        **shared: Unpack[SegmenterParameters],
    ) -> None:
        super().__init__(smoothing=smoothing, **shared)
        self.segmenters = segmenters
        self.combination = combination
        self.n_jobs = n_jobs

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, those of members as ``name__parameter``."""
        parameters: dict[str, Any] = self._get_params("segmenters", deep=deep)
        return parameters

    def set_params(self, **params: Any) -> Self:
        """Set parameters, members by their names, and parameters of members."""
        self._set_params("segmenters", **params)
        return self

    def check_parameters(self) -> None:
        """Check each parameter, and the names and classes of the members."""
        super().check_parameters()
        pairs = self.segmenters
        are_pairs = [
            isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[1], BaseSegmenter)
            for pair in pairs
        ]
        if not are_pairs or not all(are_pairs):
            raise ValueError(
                "segmenters must be a list of pairs of a name and a segmenter, got "
                f"{pairs!r:.200} instead."
            )
        self._validate_names([name for name, _ in pairs])

    def fit_regions(self, regions: Sequence[Image], rng: np.random.Generator) -> None:
        """Fit the members on a part of the images, and find their tails on the other."""
        floats = [as_unit_float(region) for region in regions]
        # Members have not seen the pixels that say how improbable their residuals are.
        whole = [Region.of_image(image, None) for image in floats]
        split = hold_out(whole, self.validation_fraction, self._smallest_side(), rng)
        training = [region.pixels for region in split.training]
        held_out = [region.pixels for region in split.held_out]
        seeds = rng.integers(2**31, size=len(self.segmenters))
        members = [
            clone(segmenter).set_params(**_OF_MEMBERS, random_state=int(seed))
            for (_, segmenter), seed in zip(self.segmenters, seeds, strict=True)
        ]
        # NumPy and torch release the interpreter lock; threads share the images.
        fitted = Parallel(n_jobs=self.n_jobs, prefer="threads")(
            delayed(_fit_member)(member, training, held_out) for member in members
        )
        self.segmenters_ = [member for member, _ in fitted]
        self.tails_ = [tail for _, tail in fitted]

    def compute_residual(self, image: Image) -> NDArray[np.float32]:
        """Combine the maps (h, w) of the members."""
        pixels = [as_unit_float(image)]
        maps = [
            tail.surprise(member.decision_function(pixels)[0])
            for member, tail in zip(self.segmenters_, self.tails_, strict=True)
        ]
        combined: NDArray[np.float32] = (
            np.sum(maps, axis=0) if self.combination == "sum" else np.max(maps, axis=0)
        )
        return combined

    @property
    def min_image_size(self) -> int:
        """Smallest height and width in pixels that all members accept."""
        return max(member.min_image_size for member in self.segmenters_)

    def _smallest_side(self) -> int:
        return max((segmenter._smallest_side() for _, segmenter in self.segmenters), default=1)


def _fit_member(
    member: BaseSegmenter, training: list[Image], held_out: list[Image]
) -> tuple[BaseSegmenter, TailProbability]:
    member.fit(training)
    return member, TailProbability.of_maps(member.decision_function(held_out))
