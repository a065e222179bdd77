"""The variational autoencoder: residuals are improbable pixels."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor

from sk_ssimae._inference._noise import window_noise
from sk_ssimae.estimators._base import BaseSegmenter
from sk_ssimae.estimators._windows import Origin, Windows
from sk_ssimae.losses import EvidenceLowerBound, kl_divergence
from sk_ssimae.losses._variational import LARGEST_WEIGHT
from sk_ssimae.modules import VariationalAutoencoder


class VariationalAutoencoderSegmenter(BaseSegmenter):
    """Segment defects by their improbability under a variational autoencoder.

    The network learns a distribution of latent vectors for each patch, close to a standard normal
    one. The residual of a pixel is its reconstruction improbability: the negative log-likelihood,
    averaged over samples of the latent vector. It may be negative.

    Parameters
    ----------
    n_samples : int, default=6
        Samples of the latent vector for each window, the publication's N. Their noise depends on
        `random_state` and on the window's place in the image alone. Unused by ``residual="kl"``. A
        threshold found before is not adapted to another number: call `calibrate` again.
    kl_weight : float, default=1
        Weight of the divergence of latent distributions from the standard normal one, from 0 to
        1e6. The publication does not state its own.
    residual : {"likelihood", "kl"}, default="likelihood"
        "likelihood" is the reconstruction improbability of each pixel. "kl" is the divergence of a
        window's latent distribution from the standard normal one, averaged over the windows that
        cover a pixel: a coarse map that asks how unusual the whole window is.
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

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseSegmenter._parameter_constraints,
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "kl_weight": [Interval(Real, 0, LARGEST_WEIGHT, closed="both")],
        "residual": [StrOptions({"likelihood", "kl"})],
    }

    def __init__(
        self,
        *,
        n_samples: int = 6,
        kl_weight: float = 1,
        residual: Literal["likelihood", "kl"] = "likelihood",
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.n_samples = n_samples
        self.kl_weight = kl_weight
        self.residual = residual

    def make_loss(self) -> EvidenceLowerBound:
        """Make the evidence lower bound."""
        return EvidenceLowerBound(self.kl_weight)

    def make_module(self, n_channels: int, generator: torch.Generator) -> VariationalAutoencoder:
        """Make the variational autoencoder."""
        return VariationalAutoencoder(
            n_channels, self.latent_dim, self.patch_size, self.normalization, generator=generator
        )

    def _residual(self, image: Tensor, windows: Windows) -> Tensor:
        measure = self._divergences if self.residual == "kl" else self._improbabilities
        return self._average_windows(image, measure, windows)[0]

    def reconstruct_windows(self, windows: Tensor) -> Tensor:
        """Decode the mean of each window's latent distribution."""
        network = self.net_.inference_module_
        reconstructions: Tensor = network.decode(network.encode(windows)[0])
        return reconstructions

    def _calibration_key(self) -> tuple[Any, ...]:
        return *super()._calibration_key(), self.residual

    def _improbabilities(self, windows: Tensor, origins: Sequence[Origin]) -> Tensor:
        network, loss = self.net_.inference_module_, self.net_.criterion_
        mean, log_variance = network.encode(windows)
        deviation = torch.exp(0.5 * log_variance)
        key, shape = network.noise_key, (self.n_samples, mean.shape[1])
        noise = np.stack([window_noise(key, origin, shape) for origin in origins], axis=1)
        total = torch.zeros_like(windows[:, 0])
        for sample in torch.from_numpy(noise).to(mean):
            total += loss.residual_map(windows, network.decode(mean + deviation * sample))
        return total[:, None] / self.n_samples

    def _divergences(self, windows: Tensor, origins: Sequence[Origin]) -> Tensor:
        divergence = kl_divergence(*self.net_.inference_module_.encode(windows))
        return divergence[:, None, None, None].expand(-1, 1, *windows.shape[-2:])
