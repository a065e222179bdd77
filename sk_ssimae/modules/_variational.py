"""The variational autoencoder: Table 1 of Bergmann et al. with a distribution per latent vector."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sk_ssimae.modules._autoencoder import EncoderDecoder, Normalization

# Training starts with samples near the mean: noise as large as the differences between means would
# leave the decoder no signal.
INITIAL_LOG_VARIANCE = -4
# On unusual images the variance could overflow.
LOG_VARIANCE_RANGE = (-20, 10)


class VariationalOutput(NamedTuple):
    """Output of a variational autoencoder for N patches.

    Attributes
    ----------
    reconstruction : Tensor of shape (N, C, P, P)
        Decoded from one sample of the posterior.
    mean, log_variance : Tensor of shape (N, latent_dim)
        The posterior q(z | x), a normal distribution with independent components.
    """

    reconstruction: Tensor
    mean: Tensor
    log_variance: Tensor


class VariationalAutoencoder(EncoderDecoder):
    """Encode patches into normal distributions of latent vectors and decode samples from them.

    The layers are those of :class:`ConvolutionalAutoencoder` with twice as many encoder outputs:
    means and log-variances.

    Parameters
    ----------
    n_channels : int
        Channels C of a patch.
    latent_dim : int, default=100
        Latent dimension d.
    patch_size : int, default=128
        Side P of a patch in pixels, a multiple of 16.
    normalization : {"batch"} or None, default=None
        Whether batch normalization follows every hidden layer.
    generator : torch.Generator, optional
        Source of the noise in :meth:`forward`. Copies and pickles leave it out.

    Attributes
    ----------
    noise_key : int
        Seed of `generator`, for noise that does not depend on earlier draws.

    References
    ----------
    D. P. Kingma, M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014.

    Examples
    --------
    >>> import torch
    >>> from sk_ssimae.modules import VariationalAutoencoder
    >>> network = VariationalAutoencoder(n_channels=1, latent_dim=8, patch_size=32)
    >>> output = network(torch.rand(5, 1, 32, 32))
    >>> output.reconstruction.shape, output.mean.shape
    (torch.Size([5, 1, 32, 32]), torch.Size([5, 8]))
    """

    def __init__(
        self,
        n_channels: int,
        latent_dim: int = 100,
        patch_size: int = 128,
        normalization: Normalization = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(n_channels, latent_dim, patch_size, normalization, n_moments=2)
        self.generator = generator
        self.noise_key = 0 if generator is None else generator.initial_seed()

    def forward(self, patches: Tensor) -> VariationalOutput:
        """Reconstruct patches (N, C, P, P) in [0, 1] from one sample each."""
        mean, log_variance = self.encode(patches)
        noise = torch.randn(
            mean.shape, generator=self.generator, device=mean.device, dtype=mean.dtype
        )
        reconstruction = self.decode(mean + torch.exp(0.5 * log_variance) * noise)
        return VariationalOutput(reconstruction, mean, log_variance)

    def encode(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Compute mean and log-variance (N, d) of the posterior of patches (N, C, P, P)."""
        mean, log_variance = self.encoder(patches).flatten(1).chunk(2, dim=1)
        return mean, (log_variance + INITIAL_LOG_VARIANCE).clamp(*LOG_VARIANCE_RANGE)

    def decode(self, latent: Tensor) -> Tensor:
        """Decode latent vectors (N, d) into patches (N, C, P, P)."""
        reconstruction: Tensor = self.decoder(latent[:, :, None, None])
        return reconstruction

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call]
        return {**state, "generator": None}
