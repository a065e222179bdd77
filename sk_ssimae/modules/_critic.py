"""The critic of adversarial training: a number for each patch, high for real ones."""

from itertools import pairwise
from numbers import Integral

import torch
from torch import Tensor, nn

from sk_ssimae.modules._autoencoder import LEAKY_SLOPE

# Output channels of the convolutions, each of which halves the patch.
_CHANNELS = (32, 64, 128, 128)
_HIDDEN = 128


class Critic(nn.Module):
    """Rate patches, or pairs of a patch and a latent vector, by how real they look.

    Four convolutions of kernel 4 and stride 2 halve the patch each, to 32, 64, 128 and 128 maps:
    the features. A linear layer turns them into one number without bounds. With `latent_dim`, a
    branch of 128 units reads the latent vector, and a layer of 128 units both. Nothing is
    normalised across a batch, which the gradient penalty would not allow.

    Parameters
    ----------
    n_channels : int
        Channels C of a patch.
    patch_size : int, default=128
        Side P of a patch in pixels, a multiple of 16.
    latent_dim : int or None, default=None
        Latent dimension d of the pairs; None for patches alone.

    Raises
    ------
    ValueError
        If a size is not positive, or `patch_size` is not a multiple of 16.

    References
    ----------
    A. Radford, L. Metz, S. Chintala, "Unsupervised Representation Learning with Deep Convolutional
    Generative Adversarial Networks", ICLR 2016, section 3. H. Zenati, C.-S. Foo, B. Lecouat,
    G. Manek, V. R. Chandrasekhar, "Efficient GAN-Based Anomaly Detection", arXiv:1802.06222, for
    the branch of the latent vector.

    Examples
    --------
    >>> import torch
    >>> from sk_ssimae.modules import Critic
    >>> critic = Critic(n_channels=1, patch_size=32)
    >>> critic(torch.rand(5, 1, 32, 32)).shape, critic.features(torch.rand(5, 1, 32, 32)).shape
    (torch.Size([5]), torch.Size([5, 512]))
    """

    def __init__(
        self, n_channels: int, patch_size: int = 128, latent_dim: int | None = None
    ) -> None:
        super().__init__()
        for name, value in [("n_channels", n_channels), ("latent_dim", latent_dim)]:
            if value is None and name == "latent_dim":
                continue
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1, got {value!r} instead.")
        downscaling = 2 ** len(_CHANNELS)
        is_size = isinstance(patch_size, Integral) and patch_size >= downscaling
        if not is_size or patch_size % downscaling:
            raise ValueError(
                f"patch_size must be a positive multiple of {downscaling}, got {patch_size!r} "
                "instead."
            )
        layers: list[nn.Module] = []
        for n_inputs, n_outputs in pairwise((n_channels, *_CHANNELS)):
            layers += [nn.Conv2d(n_inputs, n_outputs, 4, 2, 1), nn.LeakyReLU(LEAKY_SLOPE)]
        self.layers = nn.Sequential(*layers)
        n_features = _CHANNELS[-1] * (patch_size // downscaling) ** 2
        self.of_latent: nn.Module | None = None
        self.output: nn.Module = nn.Linear(n_features, 1)
        if latent_dim is not None:
            self.of_latent = nn.Sequential(
                nn.Linear(latent_dim, _HIDDEN), nn.LeakyReLU(LEAKY_SLOPE)
            )
            self.output = nn.Sequential(
                nn.Linear(n_features + _HIDDEN, _HIDDEN),
                nn.LeakyReLU(LEAKY_SLOPE),
                nn.Linear(_HIDDEN, 1),
            )

    def features(self, patches: Tensor) -> Tensor:
        """Compute the features (N, K) of patches (N, C, P, P)."""
        features: Tensor = self.layers(patches).flatten(1)
        return features

    def forward(self, patches: Tensor, latent: Tensor | None = None) -> Tensor:
        """Rate patches (N, C, P, P), with latent vectors (N, d) if it was made for pairs: (N,)."""
        features = self.features(patches)
        if self.of_latent is not None:
            features = torch.cat([features, self.of_latent(latent)], dim=1)
        ratings: Tensor = self.output(features)[:, 0]
        return ratings
