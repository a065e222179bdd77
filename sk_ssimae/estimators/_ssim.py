"""The autoencoder that compares structure: the method of the paper."""

from numbers import Integral, Real
from typing import Any, ClassVar, Literal, NamedTuple, Unpack

from sklearn.utils._param_validation import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from torch import Tensor

from sk_ssimae._formulas._absolute_error import absolute_error
from sk_ssimae.estimators._autoencoder import BaseAutoencoderSegmenter
from sk_ssimae.estimators._autoencoder_parameters import AutoencoderParameters
from sk_ssimae.estimators._parameters import Parameter, Role, as_python_number
from sk_ssimae.estimators._residuals import LARGEST_ABSOLUTE_WEIGHT, SSIMResidual
from sk_ssimae.losses import SSIMLoss
from sk_ssimae.losses._ssim import LARGEST_CONSTANT, LARGEST_EXPONENT, SMALLEST_CONSTANT

_EXPONENTS = Interval(Real, 0, LARGEST_EXPONENT, closed="both")
_CONSTANTS = Interval(Real, SMALLEST_CONSTANT, LARGEST_CONSTANT, closed="both")
SSIM_CONSTRAINTS: dict[str, list[Any]] = {
    "window_size": [Interval(Integral, 3, None, closed="left")],
    "window": [StrOptions({"uniform", "gaussian"})],
    "alpha": [_EXPONENTS],
    "beta": [_EXPONENTS],
    "gamma": [_EXPONENTS],
    "c1": [_CONSTANTS],
    "c2": [_CONSTANTS],
}


class WeightedResidual(NamedTuple):
    """Residual of SSIM, and a weight of the absolute difference that is added to it."""

    dissimilarity: SSIMLoss
    absolute_weight: float

    @property
    def residual_radius(self) -> int:
        """Distance in pixels up to which other pixels influence a residual."""
        return self.dissimilarity.residual_radius

    def residual_map(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        """Add both, each averaged over channels: (N, C, H, W) to (N, H, W)."""
        difference = absolute_error(image, reconstruction).mean(dim=1)
        dissimilarity = self.dissimilarity.residual_map(image, reconstruction)
        return dissimilarity + self.absolute_weight * difference


class SSIMAutoencoderSegmenter(BaseAutoencoderSegmenter):
    """Segment defects by the structural dissimilarity of an autoencoder's reconstruction.

    The network is trained on defect-free images to a high structural similarity (SSIM) and cannot
    reproduce defects. 1 - SSIM of an image and its reconstruction, with the window and constants of
    training, shows them, whether they change grey values, contrast or structure.

    Parameters
    ----------
    window_size : int, default=11
        Side of the SSIM window in pixels: odd, from 3 to `patch_size`. Like all parameters of SSIM
        it applies to the loss, and to residual maps unless `residual_params` overrides it.
    window : {"uniform", "gaussian"}, default="uniform"
        Weights inside the window. The Gaussian has sigma = 1.5 * window_size / 11 pixels.
    alpha, beta, gamma : float, default=1
        Exponents of luminance, contrast and structure, each from 0 to 100.
    c1, c2 : float, default=1e-4 and 9e-4
        Constants of SSIM from 1e-6 to 1e6, (0.01 L)² and (0.03 L)² for the intensity range L = 1.
        The paper prints 0.01 and 0.03.
    residual_params : dict or None, default=None
        SSIM parameters overridden for residual maps: any of the parameters above, as in
        ``{"gamma": 3, "c2": 3e-3}``, which emphasises structure and ignores low contrast. None, as
        in the paper, for none. It can be set after `fit`; then call `calibrate`.
    absolute_weight : float, default=0
        Weight, from 0 to 1000, of the absolute difference of grey values that is added to 1 - SSIM
        in residual maps. SSIM compares structure relative to its contrast, the difference absolute
        grey values: about 3 gives both a say, 0 is the paper's. Like `residual_params` it can be
        set after `fit`; then call `calibrate`.
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    MultiScaleSSIMAutoencoderSegmenter : Compares structure at several scales.
    L2AutoencoderSegmenter : Compares grey values pixel by pixel.
    sk_ssimae.losses.ssim_map : The similarity itself.

    References
    ----------
    P. Bergmann, S. Löwe, M. Fauser, D. Sattlegger, C. Steger, "Improving Unsupervised Defect
    Segmentation by Applying Structural Similarity to Autoencoders", arXiv:1807.02011, 2019,
    equations 1 and 4-8. H. Zhao, O. Gallo, I. Frosio, J. Kautz, "Loss Functions for Image
    Restoration With Neural Networks", IEEE Trans. Computational Imaging 3 (1), 2017, weigh SSIM and
    absolute difference against each other in a loss.

    Examples
    --------
    >>> from sk_ssimae import SSIMAutoencoderSegmenter
    >>> from sk_ssimae.datasets import draw_defects, make_woven_fabric
    >>> good = make_woven_fabric(2, shape=(48, 48), random_state=0)
    >>> segmenter = SSIMAutoencoderSegmenter(
    ...     patch_size=16, stride=16, n_patches=64, max_epochs=1, random_state=0
    ... ).fit(good)
    >>> defective, masks = draw_defects(good, random_state=0)
    >>> segmenter.predict(defective).shape, segmenter.calibration_.held_out
    ((2, 48, 48), 'regions')
    """

    parameters: ClassVar[dict[str, Parameter]] = {
        **{name: Parameter(Role.NETWORK, *allowed) for name, allowed in SSIM_CONSTRAINTS.items()},
        "residual_params": Parameter(Role.INFERENCE, dict, None),
        "absolute_weight": Parameter(
            Role.INFERENCE, Interval(Real, 0, LARGEST_ABSOLUTE_WEIGHT, closed="both")
        ),
    }

    method_name = "ssim"

    def __init__(
        self,
        *,
        window_size: int = 11,
        window: Literal["uniform", "gaussian"] = "uniform",
        alpha: float = 1,
        beta: float = 1,
        gamma: float = 1,
        c1: float = 1e-4,
        c2: float = 9e-4,
        residual_params: dict[str, Any] | None = None,
        absolute_weight: float = 0,
        **shared: Unpack[AutoencoderParameters],
    ) -> None:
        super().__init__(**shared)
        self.window_size = window_size
        self.window = window
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.c1 = c1
        self.c2 = c2
        self.residual_params = residual_params
        self.absolute_weight = absolute_weight

    def residual_range(self) -> tuple[float, float]:
        """Return the smallest and largest residual of two images in [0, 1]."""
        return 0.0, 2.0 + float(self.absolute_weight)

    def make_loss(self) -> SSIMLoss:
        """Return the structural dissimilarity."""
        return SSIMLoss(**{name: getattr(self, name) for name in SSIMLoss.PARAMETERS})

    def residual_loss(self) -> Any:
        """Return the loss of training with the changes that apply to residual maps alone."""
        dissimilarity = self._dissimilarity()
        if not self.absolute_weight:
            return dissimilarity
        return WeightedResidual(dissimilarity, float(self.absolute_weight))

    def numpy_residual(self) -> SSIMResidual:
        """Return the residual as NumPy computes it."""
        loss = self._dissimilarity()
        constants = {name: float(getattr(loss, name)) for name in SSIMResidual._fields[1:-1]}
        kernel = tuple(loss.kernel.cpu().double().tolist())
        return SSIMResidual(kernel, **constants, absolute_weight=float(self.absolute_weight))

    def check_parameters(self) -> None:
        """Check each parameter, then the rules for several parameters.

        Raises
        ------
        ValueError
            If a value is not allowed; the message names the parameter.
        """
        super().check_parameters()
        check_window_size("window_size", self.window_size, self.patch_size)
        changes = self.residual_params if isinstance(self.residual_params, dict) else {}
        unknown = sorted(map(str, changes.keys() - SSIM_CONSTRAINTS.keys()))
        if unknown:
            raise ValueError(
                f"residual_params must name parameters of SSIM, {sorted(SSIM_CONSTRAINTS)}, got "
                f"{unknown} instead."
            )
        validate_parameter_constraints(
            {name: SSIM_CONSTRAINTS[name] for name in changes},
            changes,
            caller_name=f"{type(self).__name__}.residual_params",
        )
        if "window_size" in changes:
            name, size = "residual_params['window_size']", changes["window_size"]
            check_window_size(name, size, self.patch_size)

    def _dissimilarity(self) -> Any:
        """Return the loss of training with the parameters that `residual_params` overrides."""
        criterion = self.net_.criterion_
        if not self.residual_params:
            return criterion
        if not isinstance(criterion, SSIMLoss):
            raise ValueError(
                "residual_params overrides parameters of SSIM, but the loss is of the class "
                f"{type(criterion).__name__}: set residual_params=None."
            )
        changes = {name: as_python_number(value) for name, value in self.residual_params.items()}
        return criterion.replace(**changes)


def check_window_size(name: str, size: int, patch_size: int) -> None:
    """Check the side of a window.

    Raises
    ------
    ValueError
        If it is even, or larger than a patch; the message begins with `name`.
    """
    if size % 2 == 0 or size > patch_size:
        raise ValueError(
            f"{name} must be odd and at most patch_size={patch_size}, got {size} instead."
        )
