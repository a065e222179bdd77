"""The residuals of the segmenters in NumPy: tests hold them to what the losses compute in torch.

They take whole images, whose sizes a graph written by one of torch's exporters would fix.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sk_ssimae._inference._noise import patch_noise
from sk_ssimae._patches import Origin, Transform

Array = NDArray[np.float32]


class PatchNetwork(Protocol):
    """A network that reconstructs patches of NumPy arrays."""

    @property
    def latent_dim(self) -> int | None:
        """Latent dimension if the network is variational."""

    def average(self, image: Array, transform: Transform) -> Array:
        """Transform the patches of an image (C, H, W) and average the results (C', H, W)."""

    def reconstruct(self, patches: Array, origins: Sequence[Origin]) -> NDArray[Any]:
        """Reconstruct patches (N, C, P, P)."""

    def sample(self, patches: Array, noise: Array) -> NDArray[Any]:
        """Reconstruct patches from samples of the posterior: (N, S, d) to (N, S, C, P, P)."""

    def encode(self, patches: Array) -> list[NDArray[Any]]:
        """Compute mean and log-variance (N, d) of the posterior."""


# Both as in `losses/_ssim.py`.
_SMALLEST_PRODUCT = 1e-20
_PIXELS_OF_STRIP = 2**18


class L2Residual(NamedTuple):
    """Squared error: equation 2 of Bergmann et al. (arXiv:1807.02011)."""

    @property
    def radius(self) -> int:
        """Number of pixels around a pixel that its residual depends on, beyond its patches."""
        return 0

    def compute(self, image: Array, network: PatchNetwork) -> Array:
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

    @property
    def radius(self) -> int:
        """Number of pixels around a pixel that its residual depends on, beyond its patches."""
        return len(self.kernel) // 2

    def compute(self, image: Array, network: PatchNetwork) -> Array:
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
        Number of samples of the latent vector for each patch.
    noise_key : int
        Seed of their noise.
    """

    variance: float
    n_samples: int
    noise_key: int

    @property
    def radius(self) -> int:
        """Number of pixels around a pixel that its residual depends on, beyond its patches."""
        return 0

    def compute(self, image: Array, network: PatchNetwork) -> Array:
        """Compute the residual (H, W) of an image (C, H, W)."""
        assert network.latent_dim is not None
        shape = self.n_samples, network.latent_dim

        def squared_errors(patches: Array, origins: Sequence[Origin]) -> NDArray[Any]:
            noise = np.stack([patch_noise(self.noise_key, origin, shape) for origin in origins])
            errors = np.square(patches[:, np.newaxis] - network.sample(patches, noise))
            of_pixels: Array = errors.mean(axis=(1, 2))
            return of_pixels[:, np.newaxis]

        errors = network.average(image, squared_errors)[0]
        residual: Array = 0.5 * (errors / self.variance + math.log(2 * math.pi * self.variance))
        return residual


class DivergenceResidual(NamedTuple):
    """Divergence of latent distributions from the standard normal one."""

    @property
    def radius(self) -> int:
        """Number of pixels around a pixel that its residual depends on, beyond its patches."""
        return 0

    def compute(self, image: Array, network: PatchNetwork) -> Array:
        """Compute the residual (H, W) of an image (C, H, W)."""

        def divergences(patches: Array, _: Sequence[Origin]) -> NDArray[Any]:
            mean, log_variance = network.encode(patches)
            terms = np.square(mean) + np.maximum(np.expm1(log_variance) - log_variance, 0)
            of_patches = 0.5 * terms.sum(axis=1)[:, np.newaxis, np.newaxis, np.newaxis]
            return np.broadcast_to(of_patches, (len(patches), 1, *patches.shape[2:]))

        residual: Array = network.average(image, divergences)[0]
        return residual


Residual = L2Residual | SSIMResidual | LikelihoodResidual | DivergenceResidual


def _signed_power(component: NDArray[Any], exponent: float) -> NDArray[Any]:
    """Raise a component that may be negative; a fractional exponent clamps it at 0."""
    if not float(exponent).is_integer():
        component = np.maximum(component, 0)
    powers: NDArray[Any] = component**exponent
    return powers
