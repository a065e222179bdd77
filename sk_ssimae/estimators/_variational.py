"""The variational autoencoder: the residual of a pixel is its improbability."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import ClassVar, Literal, Unpack

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor

from sk_ssimae._inference._noise import patch_noise
from sk_ssimae._patches import Origin, Patches
from sk_ssimae.estimators._autoencoder import BaseAutoencoderSegmenter
from sk_ssimae.estimators._autoencoder_parameters import AutoencoderParameters
from sk_ssimae.estimators._parameters import Parameter, Role
from sk_ssimae.estimators._residuals import DivergenceResidual, LikelihoodResidual
from sk_ssimae.losses import EvidenceLowerBound, kl_divergence
from sk_ssimae.losses._variational import LARGEST_WEIGHT
from sk_ssimae.modules import VariationalAutoencoder


class VariationalAutoencoderSegmenter(BaseAutoencoderSegmenter):
    """Segment defects by their improbability under a variational autoencoder.

    The network learns a distribution of latent vectors for each patch, close to a standard normal
    one. The residual of a pixel is its reconstruction improbability: the negative log-likelihood,
    averaged over samples of the latent vector. It may be negative.

    Parameters
    ----------
    n_samples : int, default=6
        Number of samples of the latent vector for each patch, N in the paper. Their noise depends
        only on `random_state` and on the place of the patch in the image. Unused by
        ``residual="kl"``.
    kl_weight : float, default=1
        Weight of the divergence of latent distributions from the standard normal one, from 0 to
        1e6. The paper does not state its own.
    residual : {"likelihood", "kl"}, default="likelihood"
        "likelihood" is the reconstruction improbability of each pixel. "kl" is the divergence of a
        patch's latent distribution from the standard normal one, averaged over the patches that
        cover a pixel: a coarse map of how unusual whole patches are.
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    L2AutoencoderSegmenter : Without distributions.

    References
    ----------
    J. An, S. Cho, "Variational Autoencoder based Anomaly Detection using Reconstruction
    Probability", SNU Data Mining Center, 2015, algorithm 4.
    P. Bergmann, S. Löwe, M. Fauser, D. Sattlegger, C. Steger, "Improving Unsupervised Defect
    Segmentation by Applying Structural Similarity to Autoencoders", arXiv:1807.02011, 2019.

    Examples
    --------
    >>> from sk_ssimae import VariationalAutoencoderSegmenter
    >>> from sk_ssimae.datasets import make_woven_fabric
    >>> good = make_woven_fabric(2, shape=(48, 48), random_state=0)
    >>> segmenter = VariationalAutoencoderSegmenter(
    ...     patch_size=16, stride=16, n_patches=64, max_epochs=1, random_state=0
    ... )
    >>> segmenter.fit(good).decision_function(good).shape
    (2, 48, 48)
    """

    parameters: ClassVar[dict[str, Parameter]] = {
        "n_samples": Parameter(Role.INFERENCE, Interval(Integral, 1, None, closed="left")),
        "kl_weight": Parameter(Role.NETWORK, Interval(Real, 0, LARGEST_WEIGHT, closed="both")),
        "residual": Parameter(Role.INFERENCE, StrOptions({"likelihood", "kl"})),
    }

    method_name = "vae"

    def __init__(
        self,
        *,
        n_samples: int = 6,
        kl_weight: float = 1,
        residual: Literal["likelihood", "kl"] = "likelihood",
        **shared: Unpack[AutoencoderParameters],
    ) -> None:
        super().__init__(**shared)
        self.n_samples = n_samples
        self.kl_weight = kl_weight
        self.residual = residual

    def make_loss(self) -> EvidenceLowerBound:
        """Return the evidence lower bound."""
        return EvidenceLowerBound(self.kl_weight)

    def make_module(self, n_channels: int, generator: torch.Generator) -> VariationalAutoencoder:
        """Return the variational autoencoder."""
        return VariationalAutoencoder(
            n_channels, self.latent_dim, self.patch_size, self.normalization, generator=generator
        )

    def residual_range(self) -> tuple[float, float]:
        """Return the residuals of a perfect reconstruction and of an error of the whole range."""
        if self.residual == "kl":
            return 0.0, math.inf
        variance = float(self.net_.criterion_.variance)
        lowest = 0.5 * math.log(2 * math.pi * variance)
        return lowest, lowest + 0.5 / variance

    def residual_over_patches(self, image: Tensor, patches: Patches) -> Tensor:
        """Compute the improbability of pixels, or the divergence of patches, averaged."""
        measure = self._divergences if self.residual == "kl" else self._improbabilities
        return self.average_over_patches(image, measure, patches)[0]

    def reconstruct_patches(self, patches: Tensor) -> Tensor:
        """Decode the mean of each patch's latent distribution."""
        network = self.net_.inference_module_
        reconstructions: Tensor = network.decode(network.encode(patches)[0])
        return reconstructions

    def numpy_residual(self) -> LikelihoodResidual | DivergenceResidual:
        """Return the improbability or the divergence as NumPy computes it."""
        if self.residual == "kl":
            return DivergenceResidual()
        variance, key = float(self.net_.criterion_.variance), int(self.net_.module_.noise_key)
        return LikelihoodResidual(variance, int(self.n_samples), key)

    def _improbabilities(self, patches: Tensor, origins: Sequence[Origin]) -> Tensor:
        network, loss = self.net_.inference_module_, self.net_.criterion_
        mean, log_variance = network.encode(patches)
        deviation = torch.exp(0.5 * log_variance)
        key, shape = network.noise_key, (self.n_samples, mean.shape[1])
        noise = np.stack([patch_noise(key, origin, shape) for origin in origins], axis=1)
        total = torch.zeros_like(patches[:, 0])
        for sample in torch.from_numpy(noise).to(mean):
            total += loss.residual_map(patches, network.decode(mean + deviation * sample))
        return total[:, None] / self.n_samples

    def _divergences(self, patches: Tensor, origins: Sequence[Origin]) -> Tensor:
        divergence = kl_divergence(*self.net_.inference_module_.encode(patches))
        return divergence[:, None, None, None].expand(-1, 1, *patches.shape[-2:])
