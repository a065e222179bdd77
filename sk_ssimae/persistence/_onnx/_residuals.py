"""The residuals of the segmenters in NumPy: tests hold them to what the losses compute in torch.

They take whole images, whose sizes a graph written by one of torch's exporters would fix.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sk_ssimae._inference._noise import window_noise
from sk_ssimae.persistence._onnx._network import OnnxNetwork
from sk_ssimae.persistence._onnx._windows import Array, Origin

# Both as in `losses/_ssim.py`.
_SMALLEST_PRODUCT = 1e-20
_PIXELS_OF_STRIP = 2**18


class L2Residual(NamedTuple):
    """Squared error: equation 2 of Bergmann et al. (arXiv:1807.02011)."""

    def compute(self, image: Array, network: OnnxNetwork) -> Array:
        """Compute the residual (H, W) of an image (C, H, W)."""
        reconstruction = network.average(image, network.reconstruct)
        residual: Array = np.square(image - reconstruction).mean(axis=0)
        return residual


class SSIMResidual(NamedTuple):
    """Structural dissimilarity: equations 4-8 of Bergmann et al.

    Attributes
    ----------
    kernel : tuple of float
        Weights of the window along an axis.
    c1, c2, alpha, beta, gamma : float
        As for :class:`sk_ssimae.losses.SSIMLoss`.
    """

    kernel: tuple[float, ...]
    c1: float
    c2: float
    alpha: float
    beta: float
    gamma: float

    def compute(self, image: Array, network: OnnxNetwork) -> Array:
        """Compute the residual (H, W) of an image (C, H, W)."""
        return self.residual_map(image, network.average(image, network.reconstruct))

    def residual_map(self, image: Array, reconstruction: Array) -> Array:
        """Compute 1 - SSIM averaged over channels: (C, H, W) in, (H, W) in [0, 2] out."""
        edge, (_, height, width) = len(self.kernel) // 2, image.shape
        borders = ((0, 0), (edge, edge), (edge, edge))
        x, y = (np.pad(planes, borders, mode="symmetric") for planes in (image, reconstruction))
        n_rows = max(_PIXELS_OF_STRIP // x[:, 0].size, 4 * len(self.kernel))
        residual = np.empty((height, width), dtype=np.float32)
        # Some rows at a time: it takes 20 maps to compute one. In float64: where images are flat,
        # float32 errs by 1e-4.
        for start in range(0, height, n_rows):
            strip = slice(start, start + n_rows + 2 * edge)
            similarity = self._similarity(
                *(planes[:, strip].astype(np.float64) for planes in (x, y))
            )
            residual[start : start + n_rows] = 1 - similarity.mean(axis=0)
        return residual

    def _similarity(self, x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
        """Compute SSIM where the window is covered fully."""
        # E[x²] - E[x]² cancels on bright flat images: take the moments about a common offset.
        offset = 0.5 * (x + y).mean(axis=(-2, -1), keepdims=True)
        x, y = x - offset, y - offset
        mean_x, mean_y, xx, yy, xy = self._window_mean(np.stack([x, y, x * x, y * y, x * y]))
        var_x, var_y = np.maximum(xx - mean_x**2, 0), np.maximum(yy - mean_y**2, 0)
        covariance = xy - mean_x * mean_y
        mean_x, mean_y = mean_x + offset, mean_y + offset
        luminance = (2 * mean_x * mean_y + self.c1) / (mean_x**2 + mean_y**2 + self.c1)
        if self.alpha == self.beta == self.gamma == 1:
            product: NDArray[Any] = (
                luminance * (2 * covariance + self.c2) / (var_x + var_y + self.c2)
            )
            return product
        deviations = np.sqrt(np.maximum(var_x * var_y, _SMALLEST_PRODUCT))
        contrast = (2 * deviations + self.c2) / (var_x + var_y + self.c2)
        structure = (2 * covariance + self.c2) / (2 * deviations + self.c2)
        components: NDArray[Any] = (
            _signed_power(luminance, self.alpha)
            * contrast**self.beta
            * _signed_power(structure, self.gamma)
        )
        return components

    def _window_mean(self, maps: NDArray[Any]) -> NDArray[Any]:
        for axis in (-2, -1):
            maps = ndimage.correlate1d(maps, self.kernel, axis=axis)
        edge = len(self.kernel) // 2
        return maps[..., edge:-edge, edge:-edge]


class LikelihoodResidual(NamedTuple):
    """Reconstruction improbability under a variational autoencoder.

    Attributes
    ----------
    variance : float
        Variance of a pixel.
    n_samples : int
        Samples of the latent vector for each window.
    noise_key : int
        Seed of their noise.
    """

    variance: float
    n_samples: int
    noise_key: int

    def compute(self, image: Array, network: OnnxNetwork) -> Array:
        """Compute the residual (H, W) of an image (C, H, W)."""
        assert network.latent_dim is not None
        shape = self.n_samples, network.latent_dim

        def squared_errors(windows: Array, origins: Sequence[Origin]) -> NDArray[Any]:
            noise = np.stack([window_noise(self.noise_key, origin, shape) for origin in origins])
            errors = np.square(windows[:, np.newaxis] - network.sample(windows, noise))
            of_pixels: Array = errors.mean(axis=(1, 2))
            return of_pixels[:, np.newaxis]

        errors = network.average(image, squared_errors)[0]
        residual: Array = 0.5 * (errors / self.variance + math.log(2 * math.pi * self.variance))
        return residual


class DivergenceResidual(NamedTuple):
    """Divergence of latent distributions from the standard normal one."""

    def compute(self, image: Array, network: OnnxNetwork) -> Array:
        """Compute the residual (H, W) of an image (C, H, W)."""

        def divergences(windows: Array, _: Sequence[Origin]) -> NDArray[Any]:
            mean, log_variance = network.encode(windows)
            terms = np.square(mean) + np.maximum(np.expm1(log_variance) - log_variance, 0)
            of_windows = 0.5 * terms.sum(axis=1)[:, np.newaxis, np.newaxis, np.newaxis]
            return np.broadcast_to(of_windows, (len(windows), 1, *windows.shape[2:]))

        residual: Array = network.average(image, divergences)[0]
        return residual


Residual = L2Residual | SSIMResidual | LikelihoodResidual | DivergenceResidual


def _signed_power(component: NDArray[Any], exponent: float) -> NDArray[Any]:
    """Raise a component that may be negative; a fractional exponent clamps it at 0."""
    if not float(exponent).is_integer():
        component = np.maximum(component, 0)
    powers: NDArray[Any] = component**exponent
    return powers
