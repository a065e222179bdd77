"""Structural similarity of Wang et al. (2004): equations 4-8 of Bergmann et al.

References
----------
.. [1] Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image Quality Assessment: From
       Error Visibility to Structural Similarity", IEEE Trans. Image Processing 13 (4), 2004.
.. [2] P. Bergmann, S. Löwe, M. Fauser, D. Sattlegger, C. Steger, "Improving Unsupervised Defect
       Segmentation by Applying Structural Similarity to Autoencoders", arXiv:1807.02011, 2019.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sk_ssimae._formulas._ssim import has_product_form, iter_strips, pad_symmetric
from sk_ssimae._validation import check_number
from sk_ssimae.losses._similarity import mean_similarity, ssim, ssim_parts
from sk_ssimae.losses._window import Window, ssim_window

# Beyond these limits, constants become 0 or infinity in float32 and powers 0: maps would be NaN.
SMALLEST_CONSTANT, LARGEST_CONSTANT = 1e-6, 1e6
LARGEST_EXPONENT = 100


class SSIMComponents(NamedTuple):
    """Luminance, contrast and structure maps, each of shape (N, C, H, W)."""

    luminance: Tensor
    contrast: Tensor
    structure: Tensor


def ssim_map(
    x: Tensor,
    y: Tensor,
    *,
    window_size: int = 11,
    window: Window = "uniform",
    c1: float = 1e-4,
    c2: float = 9e-4,
    alpha: float = 1.0,
    beta: float = 1.0,
    gamma: float = 1.0,
) -> Tensor:
    r"""Compute the structural similarity of two batches of images at every pixel.

    .. math:: \mathrm{SSIM}(p, q) = l(p, q)^\alpha \, c(p, q)^\beta \, s(p, q)^\gamma

    Parameters
    ----------
    x, y : Tensor of shape (N, C, H, W)
        Images with values in [0, 1]. The values are not checked: NaN stays NaN. Half precision is
        converted to float32; float64 is kept.
    window_size : int, default=11
        Side K of the window in pixels: odd, at least 3.
    window : {"uniform", "gaussian"}, default="uniform"
        Weights inside the window. The Gaussian has sigma = 1.5 * window_size / 11 pixels.
    c1, c2 : float, default=1e-4 and 9e-4
        Constants, (0.01 L)² and (0.03 L)² for the intensity range L = 1, from 1e-6 to 1e6.
    alpha, beta, gamma : float, default=1
        Exponents of luminance, contrast and structure, each from 0 to 100. Structure may be
        negative, and so may luminance if an image is: a non-integer exponent clamps them at 0.

    Returns
    -------
    Tensor of shape (N, C, H, W)
        Values in [-1, 1]; 1 where the images agree. Borders are padded symmetrically.

    Raises
    ------
    ValueError
        If the shapes differ or are not (N, C, H, W), or a parameter is out of range.
    TypeError
        If they are not floating-point tensors.

    References
    ----------
    Bergmann et al., arXiv:1807.02011, equations 4-8; population moments as in Wang et al. (2004).

    Examples
    --------
    >>> import torch
    >>> from sk_ssimae.losses import ssim_map
    >>> x = torch.linspace(0, 1, 1024).reshape(1, 1, 32, 32)
    >>> bool(torch.allclose(ssim_map(x, x), torch.ones_like(x)))
    True
    """
    loss = SSIMLoss(window_size, window, c1=c1, c2=c2, alpha=alpha, beta=beta, gamma=gamma)
    return loss.similarity_map(x, y)


def ssim_components(
    x: Tensor,
    y: Tensor,
    *,
    window_size: int = 11,
    window: Window = "uniform",
    c1: float = 1e-4,
    c2: float = 9e-4,
) -> SSIMComponents:
    """Compute the luminance, contrast and structure maps whose product is SSIM.

    Parameters
    ----------
    x, y : Tensor of shape (N, C, H, W)
        Images with values in [0, 1]. The values are not checked: NaN stays NaN.
    window_size : int, default=11
        Side of the window in pixels: odd, at least 3.
    window : {"uniform", "gaussian"}, default="uniform"
        Weights inside the window.
    c1, c2 : float, default=1e-4 and 9e-4
        Constants of luminance (c1) and of contrast and structure (c2), from 1e-6 to 1e6; c3 is
        c2 / 2.

    Returns
    -------
    SSIMComponents
        Named tuple ``(luminance, contrast, structure)`` of tensors of shape (N, C, H, W);
        luminance and contrast lie in [0, 1], structure in [-1, 1].

    Raises
    ------
    ValueError
        If the shapes differ or are not (N, C, H, W), or a parameter is out of range.
    TypeError
        If they are not floating-point tensors.

    References
    ----------
    Bergmann et al., arXiv:1807.02011, equations 5-7.

    Examples
    --------
    >>> import torch
    >>> from sk_ssimae.losses import ssim_components
    >>> x = torch.linspace(0, 0.5, 1024).reshape(1, 1, 32, 32)
    >>> brighter = ssim_components(x, x + 0.5)
    >>> bool(brighter.luminance.min() < 0.5), bool(brighter.structure.min() > 0.999)
    (True, True)
    """
    loss = SSIMLoss(window_size, window, c1=c1, c2=c2)
    check_images(x=x, y=y)
    components = loss.components(*(pad_symmetric(image, window_size // 2) for image in (x, y)))
    return SSIMComponents(*(component.contiguous() for component in components))


class SSIMLoss(nn.Module):
    """Structural dissimilarity 1 - SSIM as training loss and, with the same window, as residual.

    Calling the module returns the loss: the mean of 1 - SSIM over batch, channels and all windows
    that lie inside the image. :meth:`residual_map` returns the per-pixel residual.

    Parameters
    ----------
    window_size : int, default=11
        Side K of the window in pixels: odd, at least 3.
    window : {"uniform", "gaussian"}, default="uniform"
        Weights inside the window. The Gaussian has sigma = 1.5 * window_size / 11 pixels.
    c1, c2 : float, default=1e-4 and 9e-4
        Constants of equations 5-7, from 1e-6 to 1e6.
    alpha, beta, gamma : float, default=1
        Exponents of luminance, contrast and structure, each from 0 to 100.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    RuntimeError
        If the loss is differentiated twice and all exponents are 1: its gradient is in closed form.
        Use the mean of :func:`ssim_map` for higher derivatives.

    References
    ----------
    Bergmann et al., arXiv:1807.02011, equations 4-8.

    Examples
    --------
    >>> import torch
    >>> from sk_ssimae.losses import SSIMLoss
    >>> x = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    >>> loss = SSIMLoss(window_size=7)
    >>> round(float(loss(x, x)), 6), bool(loss(1 - x, x) > 1)
    (0.0, True)
    """

    #: Names of the parameters of `__init__`.
    PARAMETERS = ("window_size", "window", "c1", "c2", "alpha", "beta", "gamma")

    kernel: Tensor

    def __init__(
        self,
        window_size: int = 11,
        window: Window = "uniform",
        *,
        c1: float = 1e-4,
        c2: float = 9e-4,
        alpha: float = 1.0,
        beta: float = 1.0,
        gamma: float = 1.0,
    ) -> None:
        super().__init__()
        for name, value in [("c1", c1), ("c2", c2)]:
            check_number(value, name, SMALLEST_CONSTANT, LARGEST_CONSTANT)
        for name, value in [("alpha", alpha), ("beta", beta), ("gamma", gamma)]:
            check_number(value, name, 0, LARGEST_EXPONENT)
        self.window_size = window_size
        self.window = window
        self.c1, self.c2 = c1, c2
        self.alpha, self.beta, self.gamma = alpha, beta, gamma
        self.register_buffer("kernel", ssim_window(window_size, window), persistent=False)

    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss, a scalar in [0, 2]."""
        check_images(reconstruction=reconstruction, target=target)
        check_window_fits(target, self.window_size)
        if has_product_form(self.alpha, self.beta, self.gamma):
            mean = mean_similarity(target, reconstruction, self.kernel, self.c1, self.c2)
        else:
            mean = self._similarity(target, reconstruction).mean()
        return 1 - mean

    def replace(self, **params: Any) -> "SSIMLoss":
        """Return a copy with other parameters, on the same device."""
        own = {name: getattr(self, name) for name in self.PARAMETERS}
        return type(self)(**(own | params)).to(self.kernel.device)

    def similarity_map(self, x: Tensor, y: Tensor) -> Tensor:
        """Compute SSIM at every pixel of two batches (N, C, H, W), in the same shape."""
        check_images(x=x, y=y)
        return torch.cat(list(self._iter_strips(x, y)), dim=-2)

    @property
    def residual_radius(self) -> int:
        """Distance in pixels up to which other pixels influence a residual."""
        return self.window_size // 2

    def residual_map(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        """Average 1 - SSIM over channels: (N, C, H, W) to (N, H, W), in [0, 2]."""
        check_images(image=image, reconstruction=reconstruction)
        strips = self._iter_strips(image, reconstruction)
        return torch.cat([1 - strip.mean(dim=1) for strip in strips], dim=-2)

    def _iter_strips(self, x: Tensor, y: Tensor) -> Iterator[Tensor]:
        dtype = torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float32)
        for x_strip, y_strip in iter_strips(x, y, self.window_size):
            yield self._similarity(x_strip.double(), y_strip.double()).to(dtype)

    def components(self, x: Tensor, y: Tensor) -> SSIMComponents:
        """Compute l, c and s (equations 5-7) for all windows inside the images."""
        return SSIMComponents(*ssim_parts(x, y, self.kernel, self.c1, self.c2))

    def _similarity(self, x: Tensor, y: Tensor) -> Tensor:
        return ssim(x, y, self.kernel, self.c1, self.c2, (self.alpha, self.beta, self.gamma))


def check_images(**images: Any) -> None:
    """Check that two images, passed by name, can be compared.

    Raises
    ------
    TypeError
        If they are not floating-point tensors.
    ValueError
        If the shapes differ or are not (N, C, H, W).
    """
    names = " and ".join(images)
    x, y = images.values()
    if not all(isinstance(image, Tensor) and image.is_floating_point() for image in (x, y)):
        found = " and ".join(str(getattr(image, "dtype", type(image))) for image in (x, y))
        raise TypeError(
            f"{names} must be floating-point tensors in [0, 1], got {found} instead. Divide "
            "integers by the largest value of their dtype."
        )
    if x.shape != y.shape or x.ndim != 4 or x.numel() == 0:
        raise ValueError(
            f"{names} must be non-empty tensors of the same shape (N, C, H, W), got "
            f"{tuple(x.shape)} and {tuple(y.shape)} instead."
        )


def check_window_fits(target: Tensor, window_size: int) -> None:
    """Check that images (N, C, H, W) are at least as large as the window.

    Raises
    ------
    ValueError
        If they are smaller.
    """
    if min(target.shape[-2:]) < window_size:
        raise ValueError(
            f"target must be at least window_size={window_size} pixels high and wide, got "
            f"{tuple(target.shape[-2:])} instead."
        )
