"""The residuals of the segmenters in NumPy, by the formulas that the losses use.

They take images of any size; a graph written by torch's exporters would fix the size.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sk_ssimae._formulas._absolute_error import absolute_error
from sk_ssimae._formulas._gaussian import kl_divergence, negative_log_likelihood
from sk_ssimae._formulas._multi_scale import reach, scale_weights, similarity_at_pixels
from sk_ssimae._formulas._squared_error import squared_error
from sk_ssimae._formulas._ssim import (
    common_offset,
    components,
    has_product_form,
    iter_strips,
    moments,
    similarity,
    weighted_product,
)
from sk_ssimae._inference._noise import patch_noise
from sk_ssimae._patches import Origin, Transform

#: Largest weight of the absolute difference in residual maps.
LARGEST_ABSOLUTE_WEIGHT = 1000

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


class L2Residual(NamedTuple):
    """Squared error: equation 2 of Bergmann et al. (arXiv:1807.02011)."""

    @property
    def radius(self) -> int:
        """Number of pixels around a pixel that its residual depends on, beyond its patches."""
        return 0

    def compute(self, image: Array, network: PatchNetwork) -> Array:
        """Compute the residual (H, W) of an image (C, H, W)."""
        reconstruction = network.average(image, network.reconstruct)
        residual: Array = squared_error(image, reconstruction).mean(axis=0)
        return residual


class L1Residual(NamedTuple):
    """Absolute error."""

    @property
    def radius(self) -> int:
        """Number of pixels around a pixel that its residual depends on, beyond its patches."""
        return 0

    def compute(self, image: Array, network: PatchNetwork) -> Array:
        """Compute the residual (H, W) of an image (C, H, W)."""
        reconstruction = network.average(image, network.reconstruct)
        residual: Array = absolute_error(image, reconstruction).mean(axis=0)
        return residual


class SSIMResidual(NamedTuple):
    """Structural dissimilarity, equations 4-8 of Bergmann et al., and weighted difference.

    Attributes
    ----------
    kernel : tuple of float
        Weights of the window along one axis.
    c1, c2, alpha, beta, gamma : float
        As for :class:`sk_ssimae.losses.SSIMLoss`.
    absolute_weight : float
        Weight of the absolute difference of grey values that is added to 1 - SSIM.
    """

    kernel: tuple[float, ...]
    c1: float
    c2: float
    alpha: float
    beta: float
    gamma: float
    absolute_weight: float

    @property
    def radius(self) -> int:
        """Number of pixels around a pixel that its residual depends on, beyond its patches."""
        return len(self.kernel) // 2

    def compute(self, image: Array, network: PatchNetwork) -> Array:
        """Compute the residual (H, W) of an image (C, H, W)."""
        return self.residual_map(image, network.average(image, network.reconstruct))

    def residual_map(self, image: Array, reconstruction: Array) -> Array:
        """Average both over channels: (C, H, W) to (H, W)."""
        strips = [
            1 - self._similarity(x.astype(np.float64), y.astype(np.float64)).mean(axis=0)
            for x, y in iter_strips(image, reconstruction, len(self.kernel))
        ]
        residual = np.concatenate(strips).astype(np.float32)
        if self.absolute_weight:
            difference = absolute_error(image, reconstruction).mean(axis=0)
            residual += difference.dtype.type(self.absolute_weight) * difference
        return residual

    def _similarity(self, x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
        """Compute SSIM for all windows inside the images."""
        offset = common_offset(x, y)
        centred = x - offset, y - offset, offset
        if has_product_form(self.alpha, self.beta, self.gamma):
            m = moments(*centred, self._window_means)
            product: NDArray[Any] = similarity(m, self.c1, self.c2).product
            return product
        parts = components(*centred, self._window_means, self.c1, self.c2)
        weighted: NDArray[Any] = weighted_product(parts, self.alpha, self.beta, self.gamma)
        return weighted

    def _window_means(self, maps: Sequence[NDArray[Any]]) -> Sequence[NDArray[Any]]:
        # Not the shifted sums of the losses: in NumPy they take twice as long as SciPy's filter.
        edge = len(self.kernel) // 2
        for axis in (-2, -1):
            maps = [ndimage.correlate1d(one, self.kernel, axis=axis) for one in maps]
        return [one[..., edge:-edge, edge:-edge] for one in maps]


class MultiScaleSSIMResidual(NamedTuple):
    """Structural dissimilarity at several scales (Wang et al., 2003), averaged at each pixel.

    Attributes
    ----------
    kernel : tuple of float
        Weights of the window along one axis.
    c1, c2 : float
        As for :class:`sk_ssimae.losses.MultiScaleSSIMLoss`.
    n_scales : int
        Number of scales.
    """

    kernel: tuple[float, ...]
    c1: float
    c2: float
    n_scales: int

    @property
    def radius(self) -> int:
        """Number of pixels around a pixel that its residual depends on, beyond its patches."""
        return reach(len(self.kernel), self.n_scales)

    def compute(self, image: Array, network: PatchNetwork) -> Array:
        """Compute the residual (H, W) of an image (C, H, W)."""
        reconstruction = network.average(image, network.reconstruct)
        kernel, weights = np.array(self.kernel), scale_weights(self.n_scales)
        strips = [
            similarity_at_pixels(
                x.astype(np.float64), y.astype(np.float64), kernel, weights, self.c1, self.c2
            ).mean(axis=0)
            for x, y in iter_strips(image, reconstruction, 2 * self.radius + 1)
        ]
        residual: Array = (1 - np.concatenate(strips)).astype(np.float32)
        return residual


class LikelihoodResidual(NamedTuple):
    """Reconstruction improbability under a variational autoencoder.

    Attributes
    ----------
    variance : float
        Variance of a pixel.
    n_samples : int
        Samples of the latent vector for each patch.
    noise_key : int
        Seed of the noise of the samples.
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
        errors = network.average(image, _expected_errors(network, self.n_samples, self.noise_key))
        residual: Array = negative_log_likelihood(errors[0], errors.dtype.type(self.variance))
        return residual


class ReconstructionErrorResidual(NamedTuple):
    """Squared error of whole patches, expected over the posterior (Vasilev et al., 2018).

    Attributes
    ----------
    n_samples : int
        Samples of the latent vector for each patch.
    noise_key : int
        Seed of the noise of the samples.
    """

    n_samples: int
    noise_key: int

    @property
    def radius(self) -> int:
        """Number of pixels around a pixel that its residual depends on, beyond its patches."""
        return 0

    def compute(self, image: Array, network: PatchNetwork) -> Array:
        """Compute the residual (H, W) of an image (C, H, W)."""
        errors_of = _expected_errors(network, self.n_samples, self.noise_key)

        def of_patches(patches: Array, origins: Sequence[Origin]) -> NDArray[Any]:
            return _spread(errors_of(patches, origins).mean(axis=(1, 2, 3)), patches)

        residual: Array = network.average(image, of_patches)[0]
        return residual


class DivergenceResidual(NamedTuple):
    """Divergence of latent distributions from the standard normal distribution."""

    @property
    def radius(self) -> int:
        """Number of pixels around a pixel that its residual depends on, beyond its patches."""
        return 0

    def compute(self, image: Array, network: PatchNetwork) -> Array:
        """Compute the residual (H, W) of an image (C, H, W)."""

        def divergences(patches: Array, _: Sequence[Origin]) -> NDArray[Any]:
            return _spread(kl_divergence(*network.encode(patches)), patches)

        residual: Array = network.average(image, divergences)[0]
        return residual


def _expected_errors(network: PatchNetwork, n_samples: int, noise_key: int) -> Transform:
    """Return the transform from patches to squared errors (N, 1, P, P), averaged over samples."""
    assert network.latent_dim is not None
    shape = n_samples, network.latent_dim

    def squared_errors(patches: Array, origins: Sequence[Origin]) -> NDArray[Any]:
        noise = np.stack([patch_noise(noise_key, origin, shape) for origin in origins])
        errors = squared_error(patches[:, np.newaxis], network.sample(patches, noise))
        of_pixels: Array = errors.mean(axis=(1, 2))
        return of_pixels[:, np.newaxis]

    return squared_errors


def _spread(of_patches: NDArray[Any], patches: Array) -> NDArray[Any]:
    """Give all pixels of a patch its number: (N,) to (N, 1, P, P)."""
    shape = len(patches), 1, *patches.shape[2:]
    return np.broadcast_to(of_patches[:, np.newaxis, np.newaxis, np.newaxis], shape)


Residual = (
    L2Residual
    | L1Residual
    | SSIMResidual
    | MultiScaleSSIMResidual
    | LikelihoodResidual
    | ReconstructionErrorResidual
    | DivergenceResidual
)
