"""An ensemble of segmenters, whose maps are combined in a common unit."""

import contextlib
import copy
import functools
import inspect
import operator
from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral
from typing import Any, ClassVar, Literal, Self, Unpack

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.parallel import Parallel, delayed

from sk_ssimae._areas import Area
from sk_ssimae._inference._decision import smooth, smoothing_sigma
from sk_ssimae._inference._region import Region
from sk_ssimae._intensity import Image
from sk_ssimae._sliced import SlicedImage
from sk_ssimae.estimators._base import BaseSegmenter
from sk_ssimae.estimators._ensemble_checks import (
    check_names,
    check_pairs,
    check_soft_limits,
    check_weights,
)
from sk_ssimae.estimators._loading import GoodImages
from sk_ssimae.estimators._painted_weights import find_weights
from sk_ssimae.estimators._parameters import Parameter, ParametersButSmoothing, Role
from sk_ssimae.estimators._results import Map, Mask
from sk_ssimae.estimators._tail import limit_softly

# Parameters by which images are read. The ensemble reads them once, for all.
OF_IMAGES = (
    *("image_size", "intensity_range", "alpha_channel"),
    *("max_image_pixels", "images_in_memory"),
)


class EnsembleSegmenter(BaseSegmenter, _BaseComposition):
    """Segment by the maps of several segmenters, combined in a common unit.

    No segmenter is best on every texture, and residuals of different segmenters cannot be compared.
    Each map is therefore calibrated on good pixels that its segmenter has not seen: it becomes the
    negative logarithm of the probability that a good pixel reaches the residual, see
    `calibrated_map`. The calibrated maps are added, or their maximum is taken.

    The good images are divided twice. The ensemble holds out some for its threshold; of the others,
    each segmenter holds out its own `validation_fraction` for its calibration. The segmenters are
    cloned, and the ensemble reads images for them: their own `image_size`, `intensity_range`,
    `alpha_channel` and `max_image_pixels` stay at their defaults, and their `threshold` is not
    used. Each smooths its map by its own `smoothing`, before it is calibrated.

    Parameters
    ----------
    segmenters : list of (str, segmenter)
        Names and segmenters. `set_params` reaches their parameters as ``name__parameter``, and
        replaces a segmenter by its name. Segmenters whose `random_state` is None get a seed from
        the `random_state` of the ensemble, and those whose `memory` is None get that of the
        ensemble: each is kept by itself.
    combination : {"sum", "max"}, default="sum"
        "sum" adds the calibrated maps, as for segmenters that err independently; "max" is for
        segmenters that each find other defects.
    weights : sequence of floats, "auto" or None, default=None
        Factors of the calibrated maps, one for each segmenter: from 0 to 1,000,000 and not all 0.
        None for 1 each. With "auto", `fit` paints defects into held-out good images, or into all if
        none are held out, and weighs each segmenter by how well it finds them: see the Notes. After
        an interrupted `fit`, `calibrate` does so on its images.
    soft_limits : dict of str to float, or None, default=None
        For the named segmenters, the value l, at least 0.001, beyond which their calibrated maps m
        grow by the logarithm alone: to l (1 + ln(m / l)). For segmenters that are high in a wide
        halo around a defect, such as dictionaries of coarse filters: they still say that there is
        a defect, and the others where it ends.
    n_jobs : int or None, default=None
        Number of segmenters fitted in parallel by joblib: None for one, unless in a
        ``joblib.parallel_config`` context, -1 for as many as there are processors.
    smoothing : float or "auto", default=0
        Sigma in pixels, at most 1000, of a Gaussian that smooths the combined map; "auto" is a
        hundredth of the image's shorter side. It is 0 by default, unlike in other segmenters: the
        maps that are combined have been smoothed.
    {parameters}

    Attributes
    ----------
    segmenters_ : list of segmenter
        The fitted segmenters.
    named_segmenters_ : Bunch
        The same by name, as in ``named_segmenters_.ssim``.
    weights_ : list of float
        Factors of the calibrated maps of `segmenters_`.
    {attributes}

    Notes
    -----
    With `weights` "auto", 56 defects are painted, always the same ones: two of each of the default
    families of :func:`~sk_ssimae.model_selection.make_selection_set`, at four severities, in
    windows of 256 pixels, or of the smallest image that the segmenters take; in whole images if a
    segmenter does not say its `residual_radius`, because the residual may depend on the place. If
    `image_size` shrinks images, windows have at least 64 pixels at that size. The score of a
    segmenter is the area under the per-region overlap curve of its map up to a false positive rate
    of 5 %, in the mean over families. Its weight is 1 if it has at least half of the highest score,
    and twice its share of it otherwise. So a segmenter that cannot see defects on the texture, such
    as an autoencoder that did not learn it, hardly counts, and the others still hedge the choice:
    painted defects are not the real ones.

    See Also
    --------
    make_default_ensemble : The ensemble for those who do not want to choose.
    sklearn.ensemble.VotingClassifier : The same for classifiers.

    Examples
    --------
    >>> from sk_ssimae import EnsembleSegmenter, L2AutoencoderSegmenter, SSIMAutoencoderSegmenter
    >>> from sk_ssimae.datasets import make_woven_fabric
    >>> good = make_woven_fabric(4, shape=(48, 48), random_state=0)
    >>> tiny = {"patch_size": 16, "stride": 16, "n_patches": 64, "max_epochs": 1}
    >>> ensemble = EnsembleSegmenter(
    ...     [
    ...         ("ssim", SSIMAutoencoderSegmenter(**tiny)),
    ...         ("l2", L2AutoencoderSegmenter(**tiny)),
    ...     ],
    ...     random_state=0,
    ... )
    >>> ensemble.set_params(ssim__window_size=7).fit(good).predict(good).shape
    (4, 48, 48)
    >>> ensemble.named_segmenters_.l2.decision_function(good).shape
    (4, 48, 48)
    """

    segmenters_: list[BaseSegmenter]
    named_segmenters_: Bunch
    _found_weights: list[float] | None = None

    parameters: ClassVar[dict[str, Parameter]] = {
        "segmenters": Parameter(Role.TRAINING),  # See check_pairs.
        "combination": Parameter(Role.INFERENCE, StrOptions({"sum", "max"})),
        "weights": Parameter(Role.INFERENCE, list, tuple, StrOptions({"auto"}), None),
        "soft_limits": Parameter(Role.INFERENCE, dict, None),
        "n_jobs": Parameter(
            Role.MACHINE,
            Interval(Integral, 1, None, closed="left"),
            Interval(Integral, None, -1, closed="right"),
            None,
        ),
    }

    def __init__(
        self,
        segmenters: Sequence[tuple[str, BaseSegmenter]],
        *,
        combination: Literal["sum", "max"] = "sum",
        weights: Sequence[float] | Literal["auto"] | None = None,
        soft_limits: dict[str, float] | None = None,
        n_jobs: int | None = None,
        smoothing: float | Literal["auto"] = 0,
        **shared: Unpack[ParametersButSmoothing],
    ) -> None:
        super().__init__(smoothing=smoothing, **shared)
        self.segmenters = segmenters
        self.combination = combination
        self.weights = weights
        self.soft_limits = soft_limits
        self.n_jobs = n_jobs

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name.

        Parameters
        ----------
        deep : bool, default=True
            Whether to add the segmenters by their names, and their parameters.

        Returns
        -------
        dict
            Values by name; those of segmenters as ``name__parameter``.
        """
        params: dict[str, Any] = self._get_params("segmenters", deep=deep)
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the ensemble and of its segmenters.

        Parameters
        ----------
        **params : dict
            Values by name. ``name__parameter`` sets a parameter of the segmenter of that name, and
            ``name`` replaces the segmenter. Both take effect in `fit`.

        Returns
        -------
        self
            The ensemble.
        """
        self._set_params("segmenters", **params)
        return self

    def check_parameters(self) -> None:
        """Check the segmenters, their names and their parameters, and those of the ensemble.

        Raises
        ------
        TypeError
            If `segmenters` is not a list of pairs of a name and a segmenter.
        ValueError
            If there is none, a name is not allowed, or a value is not; the message says which.
        """
        check_pairs(self.segmenters)
        check_names([name for name, _ in self.segmenters], [*self.parameters])
        for name, segmenter in self.segmenters:
            with _naming(name):
                segmenter.check_parameters()
        super().check_parameters()
        check_weights(self.weights, len(self.segmenters))
        # Segmenters may have been renamed since `fit`, for the next one.
        names = [*getattr(self, "named_segmenters_", ()), *(name for name, _ in self.segmenters)]
        check_soft_limits(self.soft_limits, dict.fromkeys(names))
        for name, segmenter in self.segmenters:
            self._check_parameters_of_images(name, segmenter)

    def _check_for_fit(self) -> None:
        super()._check_for_fit()
        check_soft_limits(self.soft_limits, [name for name, _ in self.segmenters])

    def check_sources(self) -> None:
        """Check that the packages and files that the segmenters need are available."""
        for name, segmenter in self.segmenters:
            with _naming(name):
                segmenter.check_sources()

    def fit_regions(
        self,
        regions: Sequence[Image],
        rng: np.random.Generator,
        inside: Sequence[Mask] | None = None,
    ) -> None:
        """Fit each segmenter to whole images."""
        whole = _whole_images(regions, inside, self._smallest_side())
        self._learn(GoodImages(whole, 0, None), rng)

    def update_regions(
        self,
        regions: Sequence[Image],
        rng: np.random.Generator,
        inside: Sequence[Mask] | None = None,
    ) -> None:
        """Continue the training of each segmenter, on other whole images."""
        whole = _whole_images(regions, inside, self.min_image_size)
        self._learn_more(GoodImages(whole, 0, self.intensity_range_), rng)

    def compute_residual(self, image: Image) -> Map:
        """Combine the calibrated maps (h, w) of an image (h, w, c)."""
        region = Region.of_image(image, None)
        return self._combine(segmenter._calibrated(region) for segmenter in self.segmenters_)

    def compute_area_residual(self, image: SlicedImage, area: Area) -> Map:
        """Combine the calibrated maps of an area, each smoothed as in the whole image."""
        return self._combine(
            segmenter._calibrated_area(image, area) for segmenter in self.segmenters_
        )

    def residual_radius(self) -> int | None:
        """Return the largest of the segmenters', None if one is unknown.

        Their smoothing, which may depend on the size of the image, adds to it.
        """
        radii = [segmenter.residual_radius() for segmenter in self.segmenters_]
        known = [radius for radius in radii if radius is not None]
        return max(known) if len(known) == len(radii) else None

    @property
    def min_image_size(self) -> int:
        """Smallest height and width of an image at working size: the largest of the segmenters'."""
        return max(segmenter.min_image_size for segmenter in self.segmenters_)

    def check_ready(self) -> None:
        """Check that all are fitted, and the parameters that were set since."""
        super().check_ready()
        check_weights(self.weights, len(self.segmenters_))
        check_soft_limits(self.soft_limits, self.named_segmenters_)
        _ = self.weights_  # Raises if they were not found.
        for segmenter in self.segmenters_:
            segmenter.check_ready()

    @property
    def weights_(self) -> list[float]:
        """Factors of the calibrated maps of `segmenters_`."""
        if self.weights is None:
            return [1.0] * len(self.segmenters_)
        if self.weights != "auto":
            return [float(weight) for weight in self.weights]
        if self._found_weights is None:
            raise NotFittedError(
                "weights='auto' has found none: call calibrate with good images, or fit again."
            )
        return self._found_weights

    def settle(self, regions: Sequence[Region]) -> None:
        """Find the weights, if they are to be found."""
        if self.weights != "auto":
            self._found_weights = None
            return
        for segmenter in self.segmenters_:
            segmenter.check_ready()  # Those of a model file load their networks.
        self._found_weights = find_weights(self.segmenters_, regions, self.min_image_size)

    def is_settled(self) -> bool:
        """Tell whether the weights are found that are to be found."""
        return self.weights != "auto" or self._found_weights is not None

    def _smallest_side(self) -> int:
        return max(segmenter._smallest_side() for _, segmenter in self.segmenters)

    def _learn(self, good: GoodImages, rng: np.random.Generator) -> None:
        # Each segmenter holds out pixels for its own calibration, by its own template of fit. Those
        # for the threshold of the ensemble are others: the segmenters were neither trained nor
        # calibrated on them, so that their calibrated maps are like those of future images.
        seeds = rng.integers(2**31, size=len(self.segmenters)).tolist()
        fitted = Parallel(n_jobs=self.n_jobs)(
            delayed(_fit)(name, self._prepared(segmenter, seed), good)
            for (name, segmenter), seed in zip(self.segmenters, seeds, strict=True)
        )
        self.set_members([name for name, _ in self.segmenters], fitted)
        self._found_weights = None  # Those of an earlier fit are not for these segmenters.

    def _learn_more(self, good: GoodImages, rng: np.random.Generator) -> None:
        # Of copies, so that all stay as they are if one fails.
        names = list(self.named_segmenters_)
        fitted = Parallel(n_jobs=self.n_jobs)(
            delayed(_fit)(name, copy.deepcopy(segmenter), good, goes_on=True)
            for name, segmenter in zip(names, self.segmenters_, strict=True)
        )
        self.set_members(names, fitted)

    def set_members(self, names: Sequence[str], members: Sequence[BaseSegmenter]) -> None:
        """Set the fitted segmenters, of `fit` or of a file."""
        self.segmenters_ = list(members)
        self.named_segmenters_ = Bunch()
        for name, member in zip(names, members, strict=True):
            self.named_segmenters_[name] = member

    def _prepared(self, segmenter: BaseSegmenter, seed: int) -> BaseSegmenter:
        """Return an unfitted copy that reads images like the ensemble and holds some out."""
        copy: BaseSegmenter = clone(segmenter)
        copy.set_params(**{name: getattr(self, name) for name in OF_IMAGES})
        copy.set_params(threshold="pixel_fpr")
        if copy.random_state is None:
            copy.set_params(random_state=seed)
        if copy.memory is None:
            copy.set_params(memory=self.memory)
        return copy

    def _residual_map(self, region: Region) -> Map:
        # Not by compute_residual: only a region says how large the whole image is, which the
        # smoothing of segmenters depends on.
        sigma = smoothing_sigma(self.smoothing, region.image_shape)
        calibrated = (segmenter._calibrated(region) for segmenter in self.segmenters_)
        return smooth(self._combine(calibrated), sigma, region.inside)

    def _smoothing_sigma(self, image_shape: tuple[int, int]) -> float:
        # The combined maps have been smoothed, each by its segmenter.
        own = super()._smoothing_sigma(image_shape)
        return max(own, *(s._smoothing_sigma(image_shape) for s in self.segmenters_))

    def _combine(self, calibrated: Iterable[Map]) -> Map:
        combine = np.add if self.combination == "sum" else np.maximum
        limits = self.soft_limits or {}
        limited = (
            limit_softly(values, limits[name]) if name in limits else values
            for name, values in zip(self.named_segmenters_, calibrated, strict=True)
        )
        weighted = map(operator.mul, limited, self.weights_)
        combined: Map = functools.reduce(combine, weighted)
        return combined

    def _sk_visual_block_(self) -> Any:
        """Show the segmenters side by side in scikit-learn's diagram."""
        from sklearn.utils._repr_html.estimator import _VisualBlock

        check_pairs(self.segmenters)
        names, segmenters = zip(*self.segmenters, strict=True)
        return _VisualBlock("parallel", segmenters, names=names)

    def _check_parameters_of_images(self, name: str, segmenter: BaseSegmenter) -> None:
        """Refuse parameters of a segmenter that would have no effect."""
        defaults = inspect.signature(BaseSegmenter).parameters
        for parameter in OF_IMAGES:
            value = getattr(segmenter, parameter)
            if value not in (defaults[parameter].default, getattr(self, parameter)):
                raise ValueError(
                    f"{parameter} of the segmenter {name!r} must stay at its default, got "
                    f"{value!r} instead. Set {parameter} of the ensemble, which reads images for "
                    "all of its segmenters."
                )


def _whole_images(
    regions: Sequence[Image], inside: Sequence[Mask] | None, min_size: int
) -> list[Region]:
    masks: Sequence[Mask | None] = inside or [None] * len(regions)
    return [
        Region.of_image(region, None, mask, min_size)
        for region, mask in zip(regions, masks, strict=True)
    ]


def _fit(
    name: str, segmenter: BaseSegmenter, good: GoodImages, *, goes_on: bool = False
) -> BaseSegmenter:
    with _naming(name):
        return segmenter._fit_good(good, goes_on=goes_on)


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Add the name of a segmenter to its errors."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"In the segmenter {name!r}: {error}") from error
