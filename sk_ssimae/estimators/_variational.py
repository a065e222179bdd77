"""The variational autoencoder: improbability of pixels, and measures of whole patches."""

import math
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Unpack, get_args

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor

from sk_ssimae._formulas._squared_error import squared_error
from sk_ssimae._inference._noise import patch_noise
from sk_ssimae._intensity import Image
from sk_ssimae._patches import Origin, Patches, Transform
from sk_ssimae.estimators._arithmetic import reproducible, torch_defaults
from sk_ssimae.estimators._autoencoder import BaseAutoencoderSegmenter
from sk_ssimae.estimators._autoencoder_parameters import AutoencoderParameters
from sk_ssimae.estimators._net import resolve_device
from sk_ssimae.estimators._parameters import Parameter, Role
from sk_ssimae.estimators._posteriors import Posteriors
from sk_ssimae.estimators._residuals import (
    DivergenceResidual,
    LikelihoodResidual,
    ReconstructionErrorResidual,
)
from sk_ssimae.estimators._results import Mask
from sk_ssimae.estimators._sampler import PatchSampler
from sk_ssimae.estimators._training import torch_generator
from sk_ssimae.losses import EvidenceLowerBound, kl_divergence
from sk_ssimae.losses._variational import LARGEST_WEIGHT
from sk_ssimae.modules import VariationalAutoencoder

Measure = Literal["likelihood", "reconstruction_error", "kl", "euclidean", "bhattacharyya"]
LARGEST_N_POSTERIORS = 100_000


class VariationalAutoencoderSegmenter(BaseAutoencoderSegmenter):
    r"""Segment defects by their improbability under a variational autoencoder.

    For each patch, the network learns a distribution of latent vectors close to a standard normal
    one, :math:`q(z | x) = \mathcal N(\mu, \operatorname{diag} \sigma^2)`. The residual of a pixel
    is its reconstruction improbability: the negative log-likelihood, averaged over samples of the
    latent vector. It may be negative.

    Four other measures are numbers of a whole patch, averaged over the patches that cover a pixel.
    Their maps are as coarse as a patch: they show large unusual areas, such as shading. A defect
    that is small compared with a patch hardly changes them. Small patches and a small `stride` make
    them finer.

    Parameters
    ----------
    n_samples : int, default=6
        Number of samples of the latent vector for each patch, N in the paper. Their noise depends
        only on `random_state` and on the place of the patch in the image. Used by the residuals
        "likelihood" and "reconstruction_error".
    kl_weight : float, default=1
        Weight of the divergence of latent distributions from the standard normal one, from 0 to
        1e6. The paper does not state its own.
    residual : str, default="likelihood"
        The measure. It can be set after `fit`; then call `calibrate`.

        - "likelihood": the reconstruction improbability of each pixel. It shows where a defect is.
        - "reconstruction_error": the squared error :math:`\|x - D(z)\|^2` of a patch, averaged over
          samples z and divided by the number of its pixels and channels. It is for defects that
          change many pixels a little. There is none of single pixels: with one variance for all
          pixels, it would rank them exactly as "likelihood" does.
        - "kl": the divergence of a patch's distribution from the standard normal one. It needs no
          decoder, which saves more than half of the time.
        - "euclidean": the distance of the mean to the nearest mean of a training patch,
          :math:`\min_i \|\mu - \mu_i\|`. Unlike "kl", it notices patches whose mean is likely
          under the prior, but unlike that of any training patch.
        - "bhattacharyya": the smallest Bhattacharyya distance of the distribution to that of a
          training patch, :math:`\min_i \sum_k
          \frac{(\mu_k - \mu_{ik})^2}{4 (\sigma_k^2 + \sigma_{ik}^2)} + \frac12 \ln
          \frac{\sigma_k^2 + \sigma_{ik}^2}{2 \sigma_k \sigma_{ik}}`. It measures differences of
          means in units of their uncertainty, and differences of the uncertainty. Its time is
          proportional to `n_posteriors`, since each patch is compared with all.
    n_posteriors : int, default=1000
        Number of random training patches whose distributions `fit` keeps for "euclidean" and
        "bhattacharyya", from 1 to 100,000. Each takes ``8 * latent_dim`` bytes in memory and files.
    {parameters}

    Attributes
    ----------
    posteriors_ : Posteriors
        Means and log-variances of the distributions of `n_posteriors` random patches from the
        training images of the last `fit` or `partial_fit`, turned and flipped as in training.
    {attributes}

    See Also
    --------
    L2AutoencoderSegmenter : Without distributions.

    References
    ----------
    J. An, S. Cho, "Variational Autoencoder based Anomaly Detection using Reconstruction
    Probability", SNU Data Mining Center, 2015, algorithm 4, for "likelihood".
    A. Vasilev et al., "q-Space Novelty Detection with Variational Autoencoders", arXiv:1806.02997,
    for the other measures.
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
        "residual": Parameter(Role.INFERENCE, StrOptions({*get_args(Measure)})),
        "n_posteriors": Parameter(
            Role.TRAINING, Interval(Integral, 1, LARGEST_N_POSTERIORS, closed="both")
        ),
    }

    method_name = "vae"

    posteriors_: Posteriors

    def __init__(
        self,
        *,
        n_samples: int = 6,
        kl_weight: float = 1,
        residual: Measure = "likelihood",
        n_posteriors: int = 1000,
        **shared: Unpack[AutoencoderParameters],
    ) -> None:
        super().__init__(**shared)
        self.n_samples = n_samples
        self.kl_weight = kl_weight
        self.residual = residual
        self.n_posteriors = n_posteriors

    def make_loss(self) -> EvidenceLowerBound:
        """Return the evidence lower bound."""
        return EvidenceLowerBound(self.kl_weight)

    def make_module(self, n_channels: int, generator: torch.Generator) -> VariationalAutoencoder:
        """Return the variational autoencoder."""
        return VariationalAutoencoder(
            n_channels, self.latent_dim, self.patch_size, self.normalization, generator=generator
        )

    @torch_defaults()
    def fit_regions(
        self,
        regions: Sequence[Image],
        rng: np.random.Generator,
        inside: Sequence[Mask] | None = None,
    ) -> None:
        """Train a network on random patches, and keep the distributions of some."""
        super().fit_regions(regions, rng, inside)
        self._keep_posteriors(regions, rng, inside, self.patch_size)

    @torch_defaults()
    def update_regions(
        self,
        regions: Sequence[Image],
        rng: np.random.Generator,
        inside: Sequence[Mask] | None = None,
    ) -> None:
        """Train the network for `max_epochs` more, and keep the distributions of other patches."""
        super().update_regions(regions, rng, inside)
        self._keep_posteriors(regions, rng, inside, self.min_image_size)

    def residual_range(self) -> tuple[float, float]:
        """Return the smallest and largest residual of two images in [0, 1].

        For "likelihood", these are the residuals of a perfect reconstruction and of an error of the
        whole range; "kl" and distances have no upper bound.
        """
        if self.residual == "reconstruction_error":
            return 0.0, 1.0
        if self.residual != "likelihood":
            return 0.0, math.inf
        variance = float(self.net_.criterion_.variance)
        lowest = 0.5 * math.log(2 * math.pi * variance)
        return lowest, lowest + 0.5 / variance

    def residual_over_patches(self, image: Tensor, patches: Patches) -> Tensor:
        """Compute the measure of pixels or patches, averaged."""
        measures: dict[str, Transform] = {
            "likelihood": self._improbabilities,
            "reconstruction_error": self._reconstruction_errors,
            "kl": lambda batch, _: _spread(kl_divergence(*self._encode(batch)), batch),
            "euclidean": self._euclidean_distances,
            "bhattacharyya": self._bhattacharyya_distances,
        }
        return self.average_over_patches(image, measures[self.residual], patches)[0]

    def reconstruct_patches(self, patches: Tensor) -> Tensor:
        """Decode the mean of each patch's latent distribution."""
        network = self.net_.inference_module_
        reconstructions: Tensor = network.decode(network.encode(patches)[0])
        return reconstructions

    def numpy_residual(
        self,
    ) -> LikelihoodResidual | ReconstructionErrorResidual | DivergenceResidual:
        """Return the measure as NumPy computes it.

        Raises
        ------
        TypeError
            If it is a distance to training patches.
        """
        if self.residual in ("euclidean", "bhattacharyya"):
            raise TypeError(
                f"residual={self.residual!r} cannot be exported: an ONNX file does not contain "
                "posteriors_, the training patches to compare with. Use persistence.save, or set "
                "residual to 'likelihood', 'reconstruction_error' or 'kl' and call calibrate."
            )
        if self.residual == "kl":
            return DivergenceResidual()
        n_samples, key = int(self.n_samples), int(self.net_.module_.noise_key)
        if self.residual == "reconstruction_error":
            return ReconstructionErrorResidual(n_samples, key)
        return LikelihoodResidual(float(self.net_.criterion_.variance), n_samples, key)

    def _improbabilities(self, patches: Tensor, origins: Sequence[Origin]) -> Tensor:
        residual_map = self.net_.criterion_.residual_map
        return self._average_over_samples(patches, origins, residual_map)[:, None]

    def _reconstruction_errors(self, patches: Tensor, origins: Sequence[Origin]) -> Tensor:
        errors = self._average_over_samples(patches, origins, squared_error)
        return _spread(errors.mean(dim=(1, 2, 3)), patches)

    def _average_over_samples(
        self,
        patches: Tensor,
        origins: Sequence[Origin],
        measure: Callable[[Tensor, Tensor], Tensor],
    ) -> Tensor:
        """Average a measure of patches and reconstructions over samples of the latent vector."""
        mean, log_variance = self._encode(patches)
        network = self.net_.inference_module_
        deviation = torch.exp(0.5 * log_variance)
        key, shape = network.noise_key, (self.n_samples, mean.shape[1])
        noise = np.stack([patch_noise(key, origin, shape) for origin in origins], axis=1)
        samples = (mean + deviation * one for one in torch.from_numpy(noise).to(mean))
        total: Any = sum(measure(patches, network.decode(sample)) for sample in samples)
        averaged: Tensor = total / self.n_samples
        return averaged

    def _euclidean_distances(self, patches: Tensor, _: Sequence[Origin]) -> Tensor:
        return _spread(self.posteriors_.euclidean(self._encode(patches)[0]), patches)

    def _bhattacharyya_distances(self, patches: Tensor, _: Sequence[Origin]) -> Tensor:
        return _spread(self.posteriors_.bhattacharyya(*self._encode(patches)), patches)

    def _encode(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        posterior: tuple[Tensor, Tensor] = self.net_.inference_module_.encode(patches)
        return posterior

    def _keep_posteriors(
        self,
        regions: Sequence[Image],
        rng: np.random.Generator,
        inside: Sequence[Mask] | None,
        patch_size: int,
    ) -> None:
        """Encode random training patches, each region and place as likely as in training."""
        device = resolve_device(self.device)
        self.net_.prepare_inference(device)
        sampler = PatchSampler(
            regions,
            inside=inside,
            patch_size=patch_size,
            n_patches=self.n_posteriors,
            batch_size=self.inference_batch_size,
            dihedral=self.augmentation == "dihedral",
            cutout=0,
            generator=torch_generator(rng, device),
        )
        with torch.inference_mode(), reproducible(device):
            encoded = [self._encode(patches) for patches, _ in sampler]
        posteriors = Posteriors(
            *(torch.cat(part).cpu().numpy() for part in zip(*encoded, strict=True))
        )
        if not np.isfinite(posteriors).all():
            raise ValueError(
                "Training diverged in its last step: the latent distributions of training patches "
                f"contain NaN or infinity. Fit again with a smaller lr, got {self.lr:g}."
            )
        self.posteriors_ = posteriors


def _spread(of_patches: Tensor, patches: Tensor) -> Tensor:
    """Give all pixels of a patch its number: (N,) to (N, 1, P, P)."""
    return of_patches[:, None, None, None].expand(-1, 1, *patches.shape[-2:])
