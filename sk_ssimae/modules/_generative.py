"""Generator, critic and encoder of a generative adversarial network, in one module."""

from typing import Literal

from torch import Tensor, nn

from sk_ssimae.modules._autoencoder import EncoderDecoder, Normalization
from sk_ssimae.modules._critic import Critic

Encoding = Literal["after", "bigan", "search"]
_ENCODINGS = ("after", "bigan", "search")


class GenerativeAdversarialNetwork(EncoderDecoder):
    """Generate patches from latent vectors, rate patches, and find the latent vectors of patches.

    The generator is the decoder of :class:`ConvolutionalAutoencoder`, and the encoder, if there is
    one, its encoder.

    Parameters
    ----------
    n_channels : int
        Channels C of a patch.
    latent_dim : int, default=100
        Latent dimension d.
    patch_size : int, default=128
        Side P of a patch in pixels, a multiple of 16.
    normalization : {"batch"} or None, default=None
        Whether batch normalization follows every hidden layer of generator and encoder.
    encoding : {"after", "bigan", "search"}, default="after"
        "search" has no encoder. "bigan" has one, and a critic of pairs of a patch and a latent
        vector; "after" has one, and a critic of patches.

    Raises
    ------
    ValueError
        As for :class:`ConvolutionalAutoencoder`, or if `encoding` is unknown.

    References
    ----------
    T. Schlegl et al., arXiv:1703.05921 ("search"); T. Schlegl et al., "f-AnoGAN", Medical Image
    Analysis 54, 2019 ("after"); H. Zenati et al., arXiv:1802.06222 ("bigan"). The layers are those
    of Bergmann et al., arXiv:1807.02011, Table 1.

    Examples
    --------
    >>> import torch
    >>> from sk_ssimae.modules import GenerativeAdversarialNetwork
    >>> network = GenerativeAdversarialNetwork(n_channels=1, latent_dim=8, patch_size=32)
    >>> generated = network.decode(torch.randn(5, 8))
    >>> generated.shape, network.encode(generated).shape, network.critic(generated).shape
    (torch.Size([5, 1, 32, 32]), torch.Size([5, 8]), torch.Size([5]))
    """

    encoder: nn.Sequential | None  # type: ignore[assignment]  # "search" has none
    decoder: nn.Sequential

    def __init__(
        self,
        n_channels: int,
        latent_dim: int = 100,
        patch_size: int = 128,
        normalization: Normalization = None,
        encoding: Encoding = "after",
    ) -> None:
        if encoding not in _ENCODINGS:
            raise ValueError(f"encoding must be one of {_ENCODINGS}, got {encoding!r} instead.")
        super().__init__(n_channels, latent_dim, patch_size, normalization, n_moments=1)
        if encoding == "search":
            self.encoder = None
        self.critic = Critic(n_channels, patch_size, latent_dim if encoding == "bigan" else None)

    def forward(self, patches: Tensor) -> Tensor:
        """Reconstruct patches (N, C, P, P): generate from their encoded latent vectors."""
        return self.decode(self.encode(patches))

    def encode(self, patches: Tensor) -> Tensor:
        """Encode patches (N, C, P, P) into latent vectors (N, d).

        Raises
        ------
        RuntimeError
            If there is no encoder.
        """
        if self.encoder is None:
            raise RuntimeError("A network with encoding='search' has no encoder.")
        latent: Tensor = self.encoder(patches).flatten(1)
        return latent

    def decode(self, latent: Tensor) -> Tensor:
        """Generate patches (N, C, P, P) from latent vectors (N, d)."""
        patches: Tensor = self.decoder(latent[:, :, None, None])
        return patches
