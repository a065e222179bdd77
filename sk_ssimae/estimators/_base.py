"""The template of all segmenters: learn from good images, find the threshold on others."""

import copy
import html
import inspect
import math
import os
from abc import abstractmethod
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self

import joblib
import numpy as np
from sklearn.utils import estimator_html_repr
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sk_ssimae._images import Images
from sk_ssimae._inference._region import Region, working_inside, working_pixels
from sk_ssimae._intensity import Image
from sk_ssimae._pixel_store import PixelStore
from sk_ssimae._pixels import Conversion
from sk_ssimae._reading._stored import MAX_IMAGE_PIXELS
from sk_ssimae._validation import make_rng
from sk_ssimae.estimators._holdout import Split, hold_out
from sk_ssimae.estimators._levels import CalibratedLevels
from sk_ssimae.estimators._loading import GoodImages, load_good_images, load_more_images
from sk_ssimae.estimators._memory import learn_or_recall
from sk_ssimae.estimators._parameters import (
    Parameter,
    ParameterTable,
    RandomState,
    Role,
    as_pair,
    check_image_size,
    check_intensity_range,
)
from sk_ssimae.estimators._results import Mask


class BaseSegmenter(CalibratedLevels, ParameterTable):
    """Base of all segmenters: the template of `fit`, calibration and the threshold.

    It knows nothing of networks. A family implements two steps: :meth:`fit_regions`, which learns
    from good images, and :meth:`compute_residual`, which computes the residual of an image. It
    lists its own parameters in ``parameters`` and passes ``**shared`` on. It may say more about
    itself: `residual_range`, `residual_radius`, `method_name`. With a parameter ``patch_size`` of
    the role NETWORK, images need at least that many pixels per side.

    Parameters
    ----------
    image_size : int, tuple of two int or None, default=None
        Height and width in pixels to which images are resized before they are processed; residual
        maps are resized back. None leaves images at their size.
    intensity_range : "auto", "dtype" or tuple of two float, default="auto"
        Pixel values that become 0 and 1, such as ``(0, 4095)`` for a camera of 12 bits in uint16.
        "dtype" is the range of the type of each image: 0 to 255, 0 to 65535, or 0 to 1 for floats.
        "auto" is "dtype" where all training images have 8 bits, or floats in [0, 1], and use at
        least a quarter of that range; otherwise it is found from the training images.
    alpha_channel : {"auto", "drop", "keep"}, default="auto"
        Handling of an alpha channel: "drop" leaves the last of 2 or 4 channels out; "keep" takes
        all channels as they are; "auto" leaves out a channel that the file declares to be alpha, or
        that has one value, and refuses other images of 2 or 4 channels.
    max_image_pixels : int or None, default=268435456
        Most pixels of an image file that is read: a small file may declare a huge image. None for
        no limit.
    images_in_memory : bool or "auto", default="auto"
        Whether `fit` keeps the pixels of all good images in memory. With "auto", images that exceed
        a quarter of the memory of the machine, or container, are written to a temporary file, see
        :doc:`/many`; with False, all are. It changes no result.
    random_state : int, RandomState, Generator or None, default=None
        Seed of everything random in `fit`, such as the choice of held-out images. The same integer
        gives the same result on the same device; the weights of an autoencoder also depend on the
        number of torch's threads (``torch.set_num_threads``).
    smoothing : float or "auto", default="auto"
        Sigma in pixels, at most 1000, of a Gaussian that smooths residual maps; 0, as in the paper,
        for none. "auto" is a hundredth of the image's shorter side. It should be no wider than the
        smallest defects that matter.
    threshold : {"image_fpr", "pixel_fpr"} or float, default="image_fpr"
        Rule of the verdict, the higher of the two levels of hysteresis: "image_fpr" aims at a share
        of good images that are flagged, a guarantee with at least 1 / `target_fpr` - 1 held-out
        images and an estimate with fewer; "pixel_fpr" aims at a share of good pixels. A number is
        the threshold itself.
    target_fpr : float, default=0.01
        False positive rate that the rule aims at, in (0, 1).
    extent_threshold : {"half_peak", "pixel_fpr"} or float, default="half_peak"
        Rule of the extent of defective regions, the lower level. "pixel_fpr" is the residual that
        the share `extent_fpr` of the good pixels exceeds; "half_peak" also ends a region where it
        falls below half of its local peak, counted from that level, which undoes `smoothing` and
        the blur of wide filters. A number is the level itself, without effect above the threshold.
        If `threshold` is a number in `fit`, a rule has no good pixels to go by: regions then
        consist of all pixels above the threshold. If it is set to one later, the extent remains
        that of the calibration.
    extent_fpr : float, default=0.01
        Share of good pixels above the extent level, in (0, 1). They are marked only in a region
        that exceeds the threshold.
    validation_fraction : float, default=0.2
        Share of the good images held out to find both levels, in (0, 1). With fewer than ten
        images, a band of each is held out instead. Unused if `threshold` is a number.
    opening_diameter : int, default=4
        Diameter in pixels, at most 1000, of the disk with which residual maps are opened before
        they are compared with the threshold; 0 for none.
    min_region_area : int, default=0
        Smallest number of pixels above the threshold, connected at edges, that count as a region,
        at most 1,000,000: residual maps are also opened by area.
    memory : str, path, joblib.Memory or None, default=None
        Folder in which the results of learning are kept, created if it does not exist. A later
        `fit` of the same class with the same images, whatever their names, and the same parameters
        but those of inference and decision takes them from there, bit for bit, and only calibrates.
        Callbacks are then not called, and no checkpoint is read. A search over inference settings
        trains once for each fold, and an interrupted one continues. Keep only folders that you
        trust: reading a pickle runs the code in it. Delete the folder after changing the code of
        your own segmenter. None keeps nothing.

    Attributes
    ----------
    threshold_ : float
        The verdict's level: `predict` marks a region of the opened residual map only if it exceeds
        this somewhere. After a change of a parameter of inference or decision, it raises an error
        that asks for `calibrate`.
    extent_threshold_ : float
        The level that all pixels of a region exceed, at most `threshold_`; it is like that.
    calibration_ : Calibration
        How `threshold_` was found; absent if it is a number given by the user.
    tail_ : TailProbability
        Tail probabilities of the residuals of the good pixels that `threshold_` was found with, for
        `calibrated_map`; absent like `calibration_`.
    fitted_parameters_ : dict
        Parameters of the network and of image size as of `fit`, which prediction uses: setting them
        later has no effect until the next `fit`.
    intensity_range_ : tuple of two float or None
        Pixel values that become 0 and 1; None for the range of the type of each image.
    n_channels_ : int
        Number of channels of the training images, without alpha.
    n_defective_dropped_ : int
        Number of images left out because `y` marks them defective, in the last `fit` or
        `partial_fit`.
    """

    parameters: ClassVar[dict[str, Parameter]] = {
        "image_size": Parameter(
            Role.NETWORK, Interval(Integral, 1, None, closed="left"), tuple, None
        ),
        "intensity_range": Parameter(Role.NETWORK, StrOptions({"auto", "dtype"}), tuple),
        "alpha_channel": Parameter(Role.NETWORK, StrOptions({"auto", "drop", "keep"})),
        "max_image_pixels": Parameter(
            Role.MACHINE, Interval(Integral, 1, None, closed="left"), None
        ),
        "images_in_memory": Parameter(Role.MACHINE, "boolean", StrOptions({"auto"})),
        "random_state": Parameter(Role.TRAINING, "random_state", np.random.Generator),
        "smoothing": Parameter(
            Role.INFERENCE, Interval(Real, 0, 1000, closed="both"), StrOptions({"auto"})
        ),
        "threshold": Parameter(
            Role.DECISION,
            StrOptions({"pixel_fpr", "image_fpr"}),
            Interval(Real, None, None, closed="neither"),
        ),
        "target_fpr": Parameter(Role.DECISION, Interval(Real, 0, 1, closed="neither")),
        "extent_threshold": Parameter(
            Role.DECISION,
            StrOptions({"half_peak", "pixel_fpr"}),
            Interval(Real, None, None, closed="neither"),
        ),
        "extent_fpr": Parameter(Role.DECISION, Interval(Real, 0, 1, closed="neither")),
        "validation_fraction": Parameter(Role.TRAINING, Interval(Real, 0, 1, closed="neither")),
        "opening_diameter": Parameter(Role.DECISION, Interval(Integral, 0, 1000, closed="both")),
        "min_region_area": Parameter(Role.DECISION, Interval(Integral, 0, 10**6, closed="both")),
        "memory": Parameter(Role.MACHINE, str, os.PathLike, joblib.Memory, None),
    }

    #: Name of the family on the command line; None if it is not offered there.
    method_name: ClassVar[str | None] = None

    def __init__(
        self,
        *,
        image_size: int | tuple[int, int] | None = None,
        intensity_range: Literal["auto", "dtype"] | tuple[float, float] = "auto",
        alpha_channel: Literal["auto", "drop", "keep"] = "auto",
        max_image_pixels: int | None = MAX_IMAGE_PIXELS,
        images_in_memory: bool | Literal["auto"] = "auto",
        random_state: RandomState = None,
        smoothing: float | Literal["auto"] = "auto",
        threshold: Literal["image_fpr", "pixel_fpr"] | float = "image_fpr",
        target_fpr: float = 0.01,
        extent_threshold: Literal["half_peak", "pixel_fpr"] | float = "half_peak",
        extent_fpr: float = 0.01,
        validation_fraction: float = 0.2,
        opening_diameter: int = 4,
        min_region_area: int = 0,
        memory: str | os.PathLike[str] | joblib.Memory | None = None,
    ) -> None:
        self.image_size = image_size
        self.intensity_range = intensity_range
        self.alpha_channel = alpha_channel
        self.max_image_pixels = max_image_pixels
        self.images_in_memory = images_in_memory
        self.random_state = random_state
        self.smoothing = smoothing
        self.threshold = threshold
        self.target_fpr = target_fpr
        self.extent_threshold = extent_threshold
        self.extent_fpr = extent_fpr
        self.validation_fraction = validation_fraction
        self.opening_diameter = opening_diameter
        self.min_region_area = min_region_area
        self.memory = memory

    @abstractmethod
    def fit_regions(
        self,
        regions: Sequence[Image],
        rng: np.random.Generator,
        inside: Sequence[Mask] | None = None,
    ) -> None:
        """Learn from good images.

        Parameters
        ----------
        regions : sequence of arrays (h, w, c)
            Good images, or parts of them, at working size: uint8, or float32 with 0 and 1 at the
            ends of the intensity range. All have the same number of channels and at least
            `min_image_size` pixels per side.
        rng : Generator
            Source of all random numbers.
        inside : sequence of arrays of bool (h, w), or None
            Inspected pixels of each region; passed only if `fit` was given a region of interest.
            The others are copies of those inside, mirrored at the edge, and should not be learned.
        """

    def update_regions(
        self,
        regions: Sequence[Image],
        rng: np.random.Generator,
        inside: Sequence[Mask] | None = None,
    ) -> None:
        """Learn from more good images, continuing from the last fit, for `partial_fit`.

        Parameters
        ----------
        regions : sequence of arrays (h, w, c)
            As for :meth:`fit_regions`.
        rng : Generator
            Source of all random numbers.
        inside : sequence of arrays of bool (h, w), or None
            As for :meth:`fit_regions`.

        Raises
        ------
        TypeError
            By default: a family that can continue overrides it.
        """
        raise TypeError(
            f"{type(self).__name__} cannot continue from an earlier fit: it has no update_regions. "
            "Fit again with the earlier and the new images."
        )

    def learning_inputs(self) -> dict[str, Any]:
        """Return everything but images and random numbers that :meth:`fit_regions` depends on.

        With another value of one of them, `memory` learns again.

        Returns
        -------
        dict of str to object
            Values that can be pickled, by name. By default they are the parameters of network and
            training. A family whose network is read from a file adds a checksum of its weights.
        """
        inputs = self._values(Role.NETWORK, Role.TRAINING)
        del inputs["random_state"]
        return inputs

    def is_finished(self) -> bool:
        """Tell whether learning came to its end: `memory` does not keep an interrupted one."""
        return True

    def judge_fit(self, regions: Sequence[Region]) -> None:  # may stay empty
        """Warn if good regions, held out if there are any, show that `fit` learned nothing."""

    def residual_range(self) -> tuple[float, float]:
        """Return the smallest and largest possible residual; infinite where there is no bound.

        It may depend on the results of `fit`. Residual maps written as 16-bit images cover it.
        """
        return 0.0, math.inf

    def fit(self, X: Any, y: Any = None, *, roi: Any = None) -> Self:
        """Learn from defect-free images and find the threshold on some that were held out.

        Parameters
        ----------
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images, scaled as `intensity_range` says.
        y : None, labels of shape (n,), or masks of shape (n, h, w) or a sequence of (h, w)
            1 where an image or a pixel is defective. Defective images take no part in training or
            calibration.
        roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
            Region of interest: True where a pixel is inspected; a single mask holds for all images.
            None inspects all pixels.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError
            If a parameter, image, label or mask is not as described; all images are opened and
            checked before training starts.
        """
        self._check_for_fit()
        return self._fit_good(self._load_good(X, y, roi))

    def partial_fit(self, X: Any, y: Any = None, *, roi: Any = None) -> Self:
        """Learn from new good images, continuing from the last fit, and find both levels again.

        Images are held out of `X` by the rule of `fit`, and the levels are found on them alone: the
        promise is for future images that resemble those of `X`. Parameters of the network and
        `intensity_range_` stay as of `fit`. Unfitted, it is `fit`.

        Parameters
        ----------
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images with the channels and in the units of those of `fit`.
        y : None, labels of shape (n,), or masks of shape (n, h, w) or a sequence of (h, w)
            1 where an image or a pixel is defective. Defective images take no part.
        roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
            Region of interest: True where a pixel is inspected; a single mask holds for all images.
            None inspects all pixels.

        Returns
        -------
        self
            The estimator. If there is an error before both levels are searched for, it is
            unchanged.

        Raises
        ------
        TypeError
            If an argument is of another type, or the family cannot continue from an earlier fit.
        ValueError
            If a parameter, image, label or mask is not as described.

        Warns
        -----
        IntensityRangeWarning
            If an image leaves the intensity range of the model, or uses a small part of it.
        """
        is_fitted = hasattr(self, "fitted_parameters_")
        if is_fitted:
            self.check_ready()
        else:
            self._check_for_fit()
        good = self._load_more(X, y, roi) if is_fitted else self._load_good(X, y, roi)
        return self._fit_good(good, goes_on=is_fitted)

    @property
    def working_size(self) -> tuple[int, int] | None:
        """Height and width to which images are resized, as of `fit`; None for their own size."""
        return as_pair(self.fitted_parameters_["image_size"])

    @property
    def min_image_size(self) -> int:
        """Smallest height and width of an image at working size: the `patch_size` of `fit`."""
        return int(self.fitted_parameters_.get("patch_size", 1))

    @property
    def conversion(self) -> Conversion:
        """How the pixels of images are converted, as of `fit`."""
        alpha_channel = self.fitted_parameters_["alpha_channel"]
        return Conversion(self.intensity_range_, alpha_channel, self.max_image_pixels)

    def check_ready(self) -> None:
        """Check that the segmenter is fitted, and the parameters that were set since."""
        self._check_fitted()

    def _check_fitted(self) -> None:
        check_is_fitted(self, "fitted_parameters_")
        self.check_parameters()

    def check_parameters(self) -> None:
        """Check each parameter; a family extends it with rules for several parameters.

        Raises
        ------
        ValueError
            If a value is not allowed; the message names the parameter.
        """
        super().check_parameters()
        if self.image_size is not None:
            check_image_size(self.image_size, self._smallest_side())
        if not isinstance(self.intensity_range, str):
            check_intensity_range(self.intensity_range)

    def _check_for_fit(self) -> None:
        self.check_parameters()
        # Not a rule of parameters: ensembles and searches give a seed to those without one.
        if self.memory is not None and self.random_state is None:
            raise ValueError(
                "random_state must not be None with memory: each fit would learn something else. "
                "Choose an integer."
            )
        self.check_sources()

    def check_sources(self) -> None:
        """Check that the packages and files that `fit` needs besides images are available."""

    def _load_good(self, X: Any, y: Any, roi: Any) -> GoodImages:
        images = Images(
            X,
            min_size=1 if self.image_size is not None else self._smallest_side(),
            conversion=Conversion(None, self.alpha_channel, self.max_image_pixels),
            roi=roi,
        )
        size, smallest_side = as_pair(self.image_size), self._smallest_side()
        with PixelStore(self.images_in_memory) as store:
            return load_good_images(
                images, y, size, self.intensity_range, smallest_side, store=store
            )

    def _load_more(self, X: Any, y: Any, roi: Any) -> GoodImages:
        images = Images(X, n_channels=self.n_channels_, conversion=self.conversion, roi=roi)
        smallest_side = self.min_image_size
        with PixelStore(self.images_in_memory) as store:
            return load_more_images(
                images, y, self.working_size, self.intensity_range_, smallest_side, store=store
            )

    def _fit_good(self, good: GoodImages, *, goes_on: bool = False) -> Self:
        """Learn from good images that were loaded, and find the threshold."""
        before = dict(self.__dict__)
        rng = make_rng(self.random_state)
        smallest_side = self.min_image_size if goes_on else self._smallest_side()
        split = self._hold_out(good.regions, smallest_side, rng)
        learn = self._learn_more if goes_on else self._learn
        learn(good._replace(regions=split.training), rng)
        for name in ("calibration_", "tail_"):  # They belong to an earlier fit.
            self.__dict__.pop(name, None)
        if not goes_on:
            self.fitted_parameters_ = copy.deepcopy(self._values(Role.NETWORK))
        self.intensity_range_ = good.intensity_range
        self.n_channels_ = good.regions[0].pixels.shape[2]
        self.n_defective_dropped_ = good.n_defective
        try:
            self.settle(split.held_out or split.training)
        except BaseException:  # An interrupt too. The result of a first training is kept.
            if goes_on:
                self.__dict__.clear()
                self.__dict__.update(before)
            raise
        if split.held_out:
            self.check_ready()
            self._calibrate(split.held_out, split.kind)
        self.judge_fit(split.held_out or split.training)
        return self

    def _hold_out(
        self, good: Sequence[Region], smallest_side: int, rng: np.random.Generator
    ) -> Split:
        if not isinstance(self.threshold, str):
            return Split(list(good), [], "images")
        return hold_out(good, self.validation_fraction, smallest_side, rng)

    def _learn(self, good: GoodImages, rng: np.random.Generator) -> None:
        if self.memory is not None:
            learn_or_recall(self, good.regions, rng)
            return
        self._pass_regions(self.fit_regions, good.regions, rng)

    def _learn_more(self, good: GoodImages, rng: np.random.Generator) -> None:
        self._pass_regions(self.update_regions, good.regions, rng)

    def _pass_regions(
        self, learn: Callable[..., None], good: Sequence[Region], rng: np.random.Generator
    ) -> None:
        regions = [working_pixels(region) for region in good]
        if all(region.inside is None for region in good):
            learn(regions, rng)
            return
        if "inside" not in inspect.signature(learn).parameters:
            raise TypeError(
                f"{type(self).__name__} takes no region of interest (roi): give its method "
                f"{learn.__name__} the parameter inside."
            )
        learn(regions, rng, inside=[working_inside(region) for region in good])

    def _smallest_side(self) -> int:
        """Return `min_image_size` as it will be after `fit`."""
        return int(getattr(self, "patch_size", 1))

    def _values(self, *roles: Role) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.parameter_names(*roles)}

    def _html_repr(self) -> str:
        """Add the promise of the threshold to scikit-learn's diagram."""
        diagram: str = estimator_html_repr(self)
        # Without a calibration, or with a stale one, there is no threshold_.
        if not isinstance(self.threshold, str) or not hasattr(self, "threshold_"):
            return diagram
        note = f"threshold_ = {self.threshold_:.4g}. {self.calibration_.promise()}"
        return f"{diagram}<p>{html.escape(note)}</p>"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags
