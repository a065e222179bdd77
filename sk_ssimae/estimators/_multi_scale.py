"""The autoencoder that compares structure at several scales."""

from typing import Any, ClassVar, Literal, Unpack

from sklearn.utils.validation import check_is_fitted

from sk_ssimae._formulas._multi_scale import count_scales, scale_weights
from sk_ssimae.estimators._autoencoder import BaseAutoencoderSegmenter
from sk_ssimae.estimators._autoencoder_parameters import AutoencoderParameters
from sk_ssimae.estimators._parameters import Parameter, Role
from sk_ssimae.estimators._residuals import MultiScaleSSIMResidual
from sk_ssimae.estimators._ssim import SSIM_CONSTRAINTS, check_window_size
from sk_ssimae.losses import MultiScaleSSIMLoss

_OF_LOSS = ("window_size", "window", "c1", "c2")


class MultiScaleSSIMAutoencoderSegmenter(BaseAutoencoderSegmenter):
    r"""Segment defects by the structural dissimilarity of a reconstruction at several scales.

    The network is trained to a high MS-SSIM, which compares an image and its reconstruction under
    the same window at their own size, at half of it, a quarter and so on. With the means
    :math:`\langle \cdot \rangle` over all windows of a scale, and luminance at the coarsest scale M
    alone,

    .. math:: \mathrm{MS\text{-}SSIM} = \langle (l \, c \, s)_M \rangle^{w_M}
       \prod_{j=1}^{M-1} \langle (c \, s)_j \rangle^{w_j}.

    The residual of a pixel is 1 minus the weighted arithmetic mean of the similarities of all
    scales under the windows around it,

    .. math:: 1 - \sum_{j=1}^{M-1} w_j \, (c \, s)_j - w_M \, (l \, c \, s)_M.

    The windows of the coarse scales span most of a patch and are meant for defects that a single
    window does not see: wide and faint ones, such as stains and shading. Residual maps are coarser
    in return, since the finest scale weighs 4 to 7 %: for thin defects use
    :class:`SSIMAutoencoderSegmenter`.

    **Only scales at which the window fits into a patch are used. If these are fewer than five,
    their weights are divided by their sum.** Patches of 64 pixels, the default, have three scales
    with a window of 11, those of 128 four. `scale_weights_` contains the weights. With a single
    scale, as for patches of less than twice the window, it is the SSIM autoencoder.

    Parameters
    ----------
    window_size : int, default=11
        Side of the SSIM window in pixels of each scale: odd, from 3 to `patch_size`.
    window : {"uniform", "gaussian"}, default="uniform"
        Weights inside the window. The Gaussian, which Wang et al. use, has
        sigma = 1.5 * window_size / 11 pixels.
    c1, c2 : float, default=1e-4 and 9e-4
        Constants of SSIM from 1e-6 to 1e6, (0.01 L)² and (0.03 L)² for the intensity range L = 1.
    {parameters}

    Attributes
    ----------
    scale_weights_ : tuple of float
        Weights of the scales as of `fit`, the finest first.
    {attributes}

    See Also
    --------
    SSIMAutoencoderSegmenter : Compares structure at one scale.
    sk_ssimae.losses.MultiScaleSSIMLoss : The similarity itself.

    References
    ----------
    Z. Wang, E. P. Simoncelli, A. C. Bovik, "Multiscale Structural Similarity for Image Quality
    Assessment", Asilomar Conference on Signals, Systems and Computers, 2003, equation 7. As a loss
    of autoencoders: J. Snell, K. Ridgeway et al., "Learning to Generate Images with Perceptual
    Similarity Metrics", arXiv:1511.06409. They define no residual of a pixel: the mean is ours.

    Examples
    --------
    >>> from sk_ssimae import MultiScaleSSIMAutoencoderSegmenter
    >>> from sk_ssimae.datasets import make_woven_fabric
    >>> good = make_woven_fabric(2, shape=(48, 48), random_state=0)
    >>> segmenter = MultiScaleSSIMAutoencoderSegmenter(
    ...     window_size=7, patch_size=32, stride=16, n_patches=64, max_epochs=1, random_state=0
    ... )
    >>> segmenter.fit(good).decision_function(good).shape
    (2, 48, 48)
    >>> [round(weight, 3) for weight in segmenter.scale_weights_]
    [0.071, 0.453, 0.476]
    """

    parameters: ClassVar[dict[str, Parameter]] = {
        name: Parameter(Role.NETWORK, *SSIM_CONSTRAINTS[name]) for name in _OF_LOSS
    }

    method_name = "ms-ssim"

    def __init__(
        self,
        *,
        window_size: int = 11,
        window: Literal["uniform", "gaussian"] = "uniform",
        c1: float = 1e-4,
        c2: float = 9e-4,
        **shared: Unpack[AutoencoderParameters],
    ) -> None:
        super().__init__(**shared)
        self.window_size = window_size
        self.window = window
        self.c1 = c1
        self.c2 = c2

    @property
    def scale_weights_(self) -> tuple[float, ...]:
        """Weights of the scales as of `fit`, the finest first."""
        check_is_fitted(self, "fitted_parameters_")
        fitted = self.fitted_parameters_
        return scale_weights(_count_scales(fitted["patch_size"], fitted["window_size"]))

    def residual_range(self) -> tuple[float, float]:
        """Return the smallest and largest residual of two images in [0, 1]."""
        return 0.0, 2.0

    def make_loss(self) -> MultiScaleSSIMLoss:
        """Return the dissimilarity at the scales of a patch."""
        own: dict[str, Any] = {name: getattr(self, name) for name in _OF_LOSS}
        n_scales = _count_scales(self.patch_size, self.window_size)
        return MultiScaleSSIMLoss(**own, n_scales=n_scales)

    def numpy_residual(self) -> MultiScaleSSIMResidual:
        """Return the residual as NumPy computes it."""
        loss = self.net_.criterion_
        kernel = tuple(loss.kernel.cpu().double().tolist())
        return MultiScaleSSIMResidual(kernel, float(loss.c1), float(loss.c2), int(loss.n_scales))

    def check_parameters(self) -> None:
        """Check each parameter, then the rules for several parameters.

        Raises
        ------
        ValueError
            If a value is not allowed; the message names the parameter.
        """
        super().check_parameters()
        check_window_size("window_size", self.window_size, self.patch_size)


def _count_scales(patch_size: int, window_size: int) -> int:
    return count_scales((patch_size, patch_size), window_size)
