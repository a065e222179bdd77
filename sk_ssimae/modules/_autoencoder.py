"""The convolutional autoencoder of Table 1 of Bergmann et al. (arXiv:1807.02011)."""

from collections.abc import Iterator
from numbers import Integral
from typing import Literal

import torch
from torch import Tensor, nn

Normalization = Literal["batch"] | None

LEAKY_SLOPE = 0.2
# (output channels, kernel, stride, padding) of conv1-conv8; conv9 outputs the latent vector.
_ENCODER_LAYERS = (
    (32, 4, 2, 1),
    (32, 4, 2, 1),
    (32, 3, 1, 1),
    (64, 4, 2, 1),
    (64, 3, 1, 1),
    (128, 4, 2, 1),
    (64, 3, 1, 1),
    (32, 3, 1, 1),
)
_DOWNSCALING = 16


class EncoderDecoder(nn.Module):
    """The layers of Table 1, without the step from encoder to decoder.

    Parameters
    ----------
    n_channels, latent_dim, patch_size, normalization
        As for :class:`ConvolutionalAutoencoder`.
    n_moments : int
        Outputs of the encoder per latent dimension.

    Attributes
    ----------
    n_channels, latent_dim, patch_size, normalization
        As given.
    """

    def __init__(
        self,
        n_channels: int,
        latent_dim: int,
        patch_size: int,
        normalization: Normalization,
        n_moments: int,
    ) -> None:
        super().__init__()
        for name, value in [("n_channels", n_channels), ("latent_dim", latent_dim)]:
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1, got {value!r} instead.")
        is_size = isinstance(patch_size, Integral) and patch_size >= _DOWNSCALING
        if not is_size or patch_size % _DOWNSCALING:
            raise ValueError(
                f"patch_size must be a positive multiple of 16, got {patch_size!r} instead."
            )
        if not (normalization is None or normalization == "batch"):
            raise ValueError(
                f"normalization must be 'batch' or None, got {normalization!r} instead."
            )
        self.n_channels, self.latent_dim = n_channels, latent_dim
        self.patch_size, self.normalization = patch_size, normalization
        bottleneck = patch_size // _DOWNSCALING
        self.encoder = nn.Sequential(
            *_encoder_layers(n_channels, n_moments * latent_dim, bottleneck, normalization)
        )
        self.decoder = nn.Sequential(
            *_decoder_layers(n_channels, latent_dim, bottleneck, normalization)
        )


class ConvolutionalAutoencoder(EncoderDecoder):
    """Encode patches into a latent vector and reconstruct them from it.

    For C channels, patches of P × P pixels and d latent dimensions, without normalization, it has
    638,849 + 1,025 · (C - 1) + (64 · (P / 16)² + 1) · d parameters.

    Parameters
    ----------
    n_channels : int
        Channels C of a patch.
    latent_dim : int, default=100
        Latent dimension d.
    patch_size : int, default=128
        Side P of a patch in pixels, a multiple of 16. The bottleneck's kernel is P / 16.
    normalization : {"batch"} or None, default=None
        Whether batch normalization follows every hidden layer. The paper has none.

    Raises
    ------
    ValueError
        If a size is not positive, `patch_size` is not a multiple of 16, or `normalization` is
        unknown.

    References
    ----------
    Bergmann et al., arXiv:1807.02011, Table 1. The decoder mirrors the encoder: transposed
    convolutions for stride 2, convolutions otherwise. The outputs of both are linear.

    Examples
    --------
    >>> from sk_ssimae.modules import ConvolutionalAutoencoder
    >>> network = ConvolutionalAutoencoder(n_channels=1, latent_dim=100)
    >>> sum(p.numel() for p in network.parameters())
    1048549
    """

    def __init__(
        self,
        n_channels: int,
        latent_dim: int = 100,
        patch_size: int = 128,
        normalization: Normalization = None,
    ) -> None:
        super().__init__(n_channels, latent_dim, patch_size, normalization, n_moments=1)

    def forward(self, patches: Tensor) -> Tensor:
        """Reconstruct patches (N, C, P, P) with values in [0, 1], in the same shape."""
        reconstruction: Tensor = self.decoder(self.encoder(patches))
        return reconstruction


class LatentEncoding(nn.Conv2d):
    """A convolution with a kernel as large as its input.

    One matrix product computes it several times faster on a CPU.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Encode maps (N, C, k, k), for a kernel of k × k, into (N, d, 1, 1)."""
        if maps.shape[-2:] != self.kernel_size:
            sides = tuple(_DOWNSCALING * side for side in self.kernel_size)
            raise ValueError(f"Patches must have the patch_size of the network, {sides}.")
        rows = _channels_last_rows(maps)
        latent = nn.functional.linear(rows, _channels_last_rows(self.weight), self.bias)
        return latent[:, :, None, None]


class LatentDecoding(nn.ConvTranspose2d):
    """A transposed convolution of a single pixel, likewise one matrix product."""

    def forward(self, latent: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Decode latent vectors (N, d, 1, 1) into maps (N, C, k, k)."""
        rows = latent.flatten(1) @ _channels_last_rows(self.weight)
        maps = rows.reshape(len(rows), *self.kernel_size, self.out_channels).permute(0, 3, 1, 2)
        return maps if self.bias is None else maps + self.bias[:, None, None]


class OutputDecoding(nn.ConvTranspose2d):
    """A transposed convolution to few channels, with kernel 4, stride 2 and padding 1.

    At inference one matrix product computes 4 × 4 values per pixel, and blocks of 2 × 2 of them are
    added to the output. PyTorch's own layer takes a sixth of the network's time on a CPU and is
    more than twice as slow. Its gradient is not slower, so training keeps it.
    """

    def forward(self, maps: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Decode maps (N, F, H, W) into patches (N, C, 2H, 2W)."""
        if torch.is_grad_enabled():
            return super().forward(maps, output_size)
        n, _, height, width = maps.shape
        values = maps.permute(0, 2, 3, 1) @ self.weight.flatten(1)
        # (N, H, W, C, block row, row, block column, column) to (block row, block column, N, C, ...)
        blocks = values.reshape(n, height, width, -1, 2, 2, 2, 2).permute(4, 6, 0, 3, 1, 5, 2, 7)
        padded = values.new_zeros((n, blocks.shape[3], height + 1, 2, width + 1, 2))
        for row in (0, 1):
            for column in (0, 1):
                padded[:, :, row : row + height, :, column : column + width] += blocks[row, column]
        patches = padded.reshape(n, -1, 2 * height + 2, 2 * width + 2)[..., 1:-1, 1:-1]
        return patches if self.bias is None else patches + self.bias[:, None, None]


def _channels_last_rows(maps: Tensor) -> Tensor:
    """Flatten (N, C, H, W) into (N, H·W·C): a view in the channels-last layout of training."""
    return maps.permute(0, 2, 3, 1).flatten(1)


def _encoder_layers(
    n_channels: int, n_outputs: int, bottleneck: int, normalization: Normalization
) -> Iterator[nn.Module]:
    in_channels = n_channels
    for out_channels, kernel, stride, padding in _ENCODER_LAYERS:
        yield nn.Conv2d(in_channels, out_channels, kernel, stride, padding)
        yield from _hidden_layer_end(out_channels, normalization)
        in_channels = out_channels
    yield LatentEncoding(in_channels, n_outputs, bottleneck)


def _decoder_layers(
    n_channels: int, latent_dim: int, bottleneck: int, normalization: Normalization
) -> Iterator[nn.Module]:
    in_channels = _ENCODER_LAYERS[-1][0]
    yield LatentDecoding(latent_dim, in_channels, bottleneck)
    inputs_of_encoder = [layer[0] for layer in _ENCODER_LAYERS[:-1]]
    for out_channels, (_, kernel, stride, padding) in zip(
        reversed(inputs_of_encoder), reversed(_ENCODER_LAYERS[1:]), strict=True
    ):
        yield from _hidden_layer_end(in_channels, normalization)
        layer = nn.Conv2d if stride == 1 else nn.ConvTranspose2d
        yield layer(in_channels, out_channels, kernel, stride, padding)
        in_channels = out_channels
    yield from _hidden_layer_end(in_channels, normalization)
    yield OutputDecoding(in_channels, n_channels, *_ENCODER_LAYERS[0][1:])


def _hidden_layer_end(n_channels: int, normalization: Normalization) -> Iterator[nn.Module]:
    if normalization == "batch":
        yield nn.BatchNorm2d(n_channels)
    yield nn.LeakyReLU(LEAKY_SLOPE, inplace=True)
