"""Structural similarity of Wang et al. (2004): equations 4-8 of Bergmann et al.

References
----------
.. [1] Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image Quality Assessment: From
       Error Visibility to Structural Similarity", IEEE Trans. Image Processing 13 (4), 2004.
.. [2] P. Bergmann, S. Löwe, M. Fauser, D. Sattlegger, C. Steger, "Improving Unsupervised Defect
       Segmentation by Applying Structural Similarity to Autoencoders", arXiv:1807.02011, 2019.
"""

import math
from numbers import Integral
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

Window = Literal["uniform", "gaussian"]

# Keeps the derivative of the square root in the components finite; its root is far below c2.
_SMALLEST_PRODUCT = 1e-20


class SSIMComponents(NamedTuple):
    """Luminance, contrast and structure maps, each of shape (N, C, H, W)."""

    luminance: Tensor
    contrast: Tensor
    structure: Tensor


class _Moments(NamedTuple):
    """Local population moments under the window."""

    mean_x: Tensor
    mean_y: Tensor
    var_x: Tensor
    var_y: Tensor
    cov_xy: Tensor


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
        Images with values in [0, 1]. Half precision is raised to float32; float64 is kept.
    window_size : int, default=11
        Side K of the window in pixels: odd, at least 3.
    window : {"uniform", "gaussian"}, default="uniform"
        Weights inside the window. The Gaussian has sigma = 1.5 * window_size / 11 pixels.
    c1, c2 : float, default=1e-4 and 9e-4
        Positive constants, (0.01 L)² and (0.03 L)² for the intensity range L = 1.
    alpha, beta, gamma : float, default=1
        Exponents of luminance, contrast and structure, each at least 0. Structure may be
        negative, and luminance where an image is: a non-integer exponent clamps them at 0.

    Returns
    -------
    Tensor of shape (N, C, H, W)
        Values in [-1, 1]; 1 where the images agree. Borders see symmetrically padded images.

    Raises
    ------
    ValueError
        If the shapes differ or are not (N, C, H, W), or a parameter is out of its interval.
    TypeError
        If the tensors are not of floating-point type.

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
        Images with values in [0, 1].
    window_size : int, default=11
        Side of the window in pixels: odd, at least 3.
    window : {"uniform", "gaussian"}, default="uniform"
        Weights inside the window.
    c1, c2 : float, default=1e-4 and 9e-4
        Positive constants of luminance, and of contrast and structure (c3 = c2 / 2).

    Returns
    -------
    SSIMComponents
        Named tuple ``(luminance, contrast, structure)`` of tensors of shape (N, C, H, W);
        luminance and contrast lie in [0, 1], structure in [-1, 1].

    Raises
    ------
    ValueError
        If the shapes differ or are not (N, C, H, W), or a parameter is out of its interval.

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
    _check_images(x, y)
    return loss.components(*loss.pad(x, y))


class SSIMLoss(nn.Module):
    """Structural dissimilarity 1 - SSIM as training loss and, with the same window, as residual.

    Calling the module gives the loss: the mean of 1 - SSIM over batch, channels and the window
    positions that the image covers fully. :meth:`residual_map` gives the per-pixel residual.

    Parameters
    ----------
    window_size : int, default=11
        Side K of the window in pixels: odd, at least 3.
    window : {"uniform", "gaussian"}, default="uniform"
        Weights inside the window. The Gaussian has sigma = 1.5 * window_size / 11 pixels.
    c1, c2 : float, default=1e-4 and 9e-4
        Positive constants of equations 5-7.
    alpha, beta, gamma : float, default=1
        Exponents of luminance, contrast and structure, each at least 0.

    Raises
    ------
    ValueError
        If a parameter is out of its interval.

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
            if not value > 0:
                raise ValueError(f"{name} must be positive, got {value!r} instead.")
        for name, value in [("alpha", alpha), ("beta", beta), ("gamma", gamma)]:
            if not value >= 0:
                raise ValueError(f"{name} must be at least 0, got {value!r} instead.")
        self.window_size = window_size
        self.window = window
        self.c1, self.c2 = c1, c2
        self.alpha, self.beta, self.gamma = alpha, beta, gamma
        self.register_buffer("kernel", window_weights(window_size, window), persistent=False)

    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss, a scalar in [0, 2]."""
        _check_images(reconstruction, target)
        if min(target.shape[-2:]) < self.window_size:
            raise ValueError(
                f"The images must be at least window_size={self.window_size} pixels high and "
                f"wide, got {tuple(target.shape[-2:])} instead."
            )
        return 1 - self._similarity(target, reconstruction).mean()

    def similarity_map(self, x: Tensor, y: Tensor) -> Tensor:
        """Compute SSIM at every pixel: (N, C, H, W) in, the same shape out."""
        _check_images(x, y)
        return self._similarity(*self.pad(x, y))

    def residual_map(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        """Compute 1 - SSIM averaged over channels: (N, C, H, W) in, (N, H, W) in [0, 2] out."""
        return 1 - self.similarity_map(image, reconstruction).mean(dim=1)

    def components(self, x: Tensor, y: Tensor) -> SSIMComponents:
        """Compute l, c and s (equations 5-7) at the window positions that `x` covers fully."""
        m = self._moments(x, y)
        deviations = torch.sqrt((m.var_x * m.var_y).clamp_min(_SMALLEST_PRODUCT))
        return SSIMComponents(
            self._luminance(m),
            (2 * deviations + self.c2) / (m.var_x + m.var_y + self.c2),
            (2 * m.cov_xy + self.c2) / (2 * deviations + self.c2),
        )

    def pad(self, *images: Tensor) -> tuple[Tensor, ...]:
        """Mirror the borders so that a window is centred on every pixel."""
        return tuple(_pad_symmetric(image, self.window_size // 2) for image in images)

    def _similarity(self, x: Tensor, y: Tensor) -> Tensor:
        if self.alpha == self.beta == self.gamma == 1:
            # Equation 8: c·s without the square root, whose derivative is unbounded.
            m = self._moments(x, y)
            return self._luminance(m) * (2 * m.cov_xy + self.c2) / (m.var_x + m.var_y + self.c2)
        luminance, contrast, structure = self.components(x, y)
        return (
            _signed_power(luminance, float(self.alpha))
            * contrast**self.beta
            * _signed_power(structure, float(self.gamma))
        )

    def _luminance(self, m: _Moments) -> Tensor:
        return (2 * m.mean_x * m.mean_y + self.c1) / (m.mean_x**2 + m.mean_y**2 + self.c1)

    def _moments(self, x: Tensor, y: Tensor) -> _Moments:
        # Autocast would compute the convolutions in half precision.
        with torch.autocast(x.device.type, enabled=False):
            x, y = _at_least_float32(x), _at_least_float32(y)
            # E[x²] - E[x]² cancels on bright flat images: take the moments about a common offset.
            offset = 0.5 * (x + y).detach().mean(dim=(-2, -1), keepdim=True)
            x, y = x - offset, y - offset
            # Apart, because in training only the moments of the reconstruction need a gradient.
            mean_x, xx = window_mean(torch.stack([x, x * x]), self.kernel)
            mean_y, yy, xy = window_mean(torch.stack([y, y * y, x * y]), self.kernel)
            return _Moments(
                mean_x + offset,
                mean_y + offset,
                (xx - mean_x**2).clamp_min(0),
                (yy - mean_y**2).clamp_min(0),
                xy - mean_x * mean_y,
            )


def window_weights(window_size: int, window: Window) -> Tensor:
    """Compute the one-dimensional weights of a separable window.

    Parameters
    ----------
    window_size : int
        Side of the window in pixels: odd, at least 3.
    window : {"uniform", "gaussian"}
        Kind of the weights.

    Returns
    -------
    Tensor of shape (window_size,), float64
        Non-negative, symmetric, of sum 1.

    Raises
    ------
    ValueError
        If `window_size` is even or below 3, or `window` is unknown.
    """
    if not isinstance(window_size, Integral) or window_size < 3 or window_size % 2 == 0:
        raise ValueError(
            f"window_size must be an odd integer of at least 3, got {window_size!r} instead."
        )
    if window == "uniform":
        weights = torch.ones(window_size, dtype=torch.float64)
    elif window == "gaussian":
        offsets = torch.arange(window_size, dtype=torch.float64) - window_size // 2
        weights = torch.exp(-0.5 * (offsets / (1.5 * window_size / 11)) ** 2)
    else:
        raise ValueError(f"window must be 'uniform' or 'gaussian', got {window!r} instead.")
    return weights / weights.sum()


def window_mean(maps: Tensor, kernel: Tensor) -> Tensor:
    """Average maps under a separable window, at fully covered positions.

    All maps are folded into the channels of one depthwise convolution per axis: on a CPU ten times
    faster than convolutions with one channel each.

    Parameters
    ----------
    maps : Tensor of shape (..., H, W)
        Maps to average.
    kernel : Tensor of shape (K,)
        Weights along one axis.

    Returns
    -------
    Tensor of shape (..., H - K + 1, W - K + 1)
        The averages.
    """
    n_maps = math.prod(maps.shape[:-2])
    weights = kernel.to(maps).expand(n_maps, 1, 1, -1)
    channels = maps.reshape(1, n_maps, *maps.shape[-2:])
    channels = nn.functional.conv2d(channels, weights, groups=n_maps)
    channels = nn.functional.conv2d(channels, weights.mT, groups=n_maps)
    return channels.reshape(*maps.shape[:-2], *channels.shape[-2:])


def _signed_power(component: Tensor, exponent: float) -> Tensor:
    """Raise a component that may be negative; a fractional exponent clamps it at 0."""
    if exponent.is_integer():
        return component ** int(exponent)
    positive = component > 0
    # The inner `where` keeps the infinite derivative of a root at 0 out of the gradient.
    return torch.where(positive, torch.where(positive, component, 1.0) ** exponent, 0.0)


def _pad_symmetric(images: Tensor, width: int) -> Tensor:
    rows, columns = (
        torch.from_numpy(np.pad(np.arange(n), width, mode="symmetric")).to(images.device)
        for n in images.shape[-2:]
    )
    return images.index_select(-2, rows).index_select(-1, columns)


def _at_least_float32(images: Tensor) -> Tensor:
    return images if images.dtype == torch.float64 else images.float()


def _check_images(x: Tensor, y: Tensor) -> None:
    if x.shape != y.shape or x.ndim != 4:
        raise ValueError(
            "The images must be two tensors of one shape (N, C, H, W), got "
            f"{tuple(x.shape)} and {tuple(y.shape)} instead."
        )
    if not (x.is_floating_point() and y.is_floating_point()):
        raise TypeError(
            f"The images must be floating-point tensors in [0, 1], got {x.dtype} and {y.dtype} "
            "instead. Divide integers by their largest possible value."
        )
