import pytest
import torch
from torch import nn

from sk_ssimae.modules import (
    ConvolutionalAutoencoder,
    VariationalAutoencoder,
    initialize_autoencoder,
)


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("n_channels", [1, 3, 5])
@pytest.mark.parametrize("latent_dim", [1, 100, 500])
@pytest.mark.parametrize("patch_size", [16, 32, 128, 256])
def test_number_of_parameters(n_channels, latent_dim, patch_size):
    # Layer by layer from Table 1: kernel² · inputs · outputs + outputs.
    bottleneck = (patch_size // 16) ** 2
    channels = [n_channels, 32, 32, 32, 64, 64, 128, 64, 32]
    kernels = [4, 4, 3, 4, 3, 4, 3, 3]
    derived = 0
    for i, kernel in enumerate(kernels):
        weights = kernel**2 * channels[i] * channels[i + 1]
        derived += 2 * weights + channels[i + 1] + channels[i]  # Encoder and its mirror.
    derived += 32 * bottleneck * latent_dim + latent_dim + 32 * bottleneck * latent_dim + 32
    network = ConvolutionalAutoencoder(n_channels, latent_dim, patch_size)
    assert n_parameters(network) == derived
    assert derived == 638_849 + 1_025 * (n_channels - 1) + (64 * bottleneck + 1) * latent_dim


@pytest.mark.parametrize("normalization", [None, "batch"])
@pytest.mark.parametrize(("patch_size", "n_channels"), [(16, 1), (48, 2), (128, 3)])
def test_shapes(patch_size, n_channels, normalization):
    network = ConvolutionalAutoencoder(n_channels, 7, patch_size, normalization)
    patches = torch.zeros(2, n_channels, patch_size, patch_size)
    assert network.encoder(patches).shape == (2, 7, 1, 1)
    assert network(patches).shape == patches.shape


def test_layers_match_table_1():
    network = ConvolutionalAutoencoder(1, 100)
    sizes = []
    patches = torch.zeros(1, 1, 128, 128)
    for layer in network.encoder:
        patches = layer(patches)
        if isinstance(layer, nn.Conv2d):
            sizes.append((patches.shape[-1], patches.shape[1]))
    assert sizes == [
        (64, 32), (32, 32), (32, 32), (16, 64), (16, 64), (8, 128), (8, 64), (8, 32), (1, 100),
    ]  # fmt: skip
    slopes = {m.negative_slope for m in network.modules() if isinstance(m, nn.LeakyReLU)}
    assert slopes == {0.2}
    assert isinstance(network.encoder[-1], nn.Conv2d)
    assert isinstance(network.decoder[-1], nn.ConvTranspose2d)


def test_batch_normalization_follows_every_hidden_layer():
    network = ConvolutionalAutoencoder(1, 10, 32, "batch")
    for part in (network.encoder, network.decoder):
        kinds = [type(layer) for layer in part]
        assert kinds.count(nn.BatchNorm2d) == kinds.count(nn.LeakyReLU) == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "n_channels must be an integer of at least 1, got 0"),
        ((1, 2.5), "latent_dim must be an integer of at least 1, got 2.5"),
        ((1, 0), "latent_dim must be an integer of at least 1, got 0"),
        ((1, 10, 40), "patch_size must be a positive multiple of 16, got 40"),
        ((1, 10, 32, "layer"), "normalization must be 'batch' or None, got 'layer'"),
    ],
)
def test_wrong_parameters(arguments, message):
    with pytest.raises(ValueError, match=message):
        ConvolutionalAutoencoder(*arguments)


@pytest.mark.parametrize("patch_size", [32, 128])
def test_initialization_keeps_activations_alive(patch_size):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8, 1, patch_size, patch_size, generator=generator)

    @torch.no_grad()
    def deviations(network):
        """Measure how much latent vectors and outputs differ between patches."""
        latent = network.encoder(x)
        return latent.std(dim=0).mean(), network.decoder(latent).std(dim=0).mean()

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ConvolutionalAutoencoder(1, 100, patch_size)
    by_default = deviations(network)
    initialize_autoencoder(network, generator=generator, mean_intensity=torch.tensor([0.4]))
    latent, output = deviations(network)
    assert torch.equal(network.decoder[-1].bias, torch.tensor([0.4]))
    assert 0.1 < latent < 2
    assert latent > 1_000 * by_default[0]
    assert output > 100_000 * by_default[1]


def test_initialization_depends_only_on_the_generator():
    networks = []
    for default_seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(default_seed)
            network = ConvolutionalAutoencoder(1, 10, 16)
        generator = torch.Generator().manual_seed(0)
        initialize_autoencoder(network, generator=generator, mean_intensity=torch.tensor([0.5]))
        networks.append(network.state_dict())
    assert all(torch.equal(networks[0][key], networks[1][key]) for key in networks[0])


def convolutions(network):
    return [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]


@pytest.mark.parametrize(("patch_size", "latent_dim"), [(32, 20), (16, 50)])
@pytest.mark.parametrize("kind", [ConvolutionalAutoencoder, VariationalAutoencoder])
def test_decoder_starts_as_the_mirror_of_the_encoder(kind, patch_size, latent_dim):
    network = kind(2, latent_dim, patch_size).double()
    initialize_autoencoder(
        network, generator=torch.Generator().manual_seed(0), mean_intensity=torch.tensor([0.4, 0.6])
    )
    layers = convolutions(network)
    maps = torch.rand(3, 2, patch_size, patch_size, dtype=torch.float64)
    for encoding, decoding in zip(layers[:9], reversed(layers), strict=False):
        nn.init.zeros_(encoding.bias)
        nn.init.zeros_(decoding.bias)
        encoded = encoding(maps)
        other = torch.rand_like(encoded[:, : decoding.in_channels])
        # A layer and its transpose: <Ax, y> = <x, Aᵀy>, up to a factor.
        direct = (encoded[:, : decoding.in_channels] * other).sum()
        factor = decoding.weight.norm() / encoding.weight[: decoding.in_channels].norm()
        torch.testing.assert_close((maps * decoding(other)).sum(), direct * factor)
        maps = encoded


@pytest.mark.parametrize(("patch_size", "latent_dim"), [(32, 20), (16, 50)])
def test_encoder_starts_orthogonal(patch_size, latent_dim):
    network = ConvolutionalAutoencoder(2, latent_dim, patch_size).double()
    initialize_autoencoder(
        network, generator=torch.Generator().manual_seed(0), mean_intensity=torch.tensor([0.4, 0.6])
    )
    for layer in convolutions(network)[:9]:
        weight = layer.weight.detach()
        if layer.stride == (1, 1) and layer.padding == (1, 1):
            centre = weight[..., 1, 1].clone()
            weight[..., 1, 1] = 0
            assert not weight.any()
            weight = centre
        rows = weight.flatten(1)
        gram = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
        torch.testing.assert_close(gram / gram[0, 0], torch.eye(len(gram), dtype=torch.float64))
        # The same norm as He's weights: 2 / (1 + slope²) per output.
        assert rows.square().sum() / len(rows) == pytest.approx(2 / (1 + 0.2**2))


def test_patches_of_another_size_are_refused():
    network = ConvolutionalAutoencoder(1, 4, 32)
    with pytest.raises(ValueError, match=r"must have the patch_size of the network, \(32, 32\)"):
        network(torch.zeros(1, 1, 48, 48))


def test_asymmetric_networks_are_initialized_too():
    layers = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 3, bias=False), nn.ConvTranspose2d(2, 1, 5)
    )
    generator = torch.Generator().manual_seed(0)
    initialize_autoencoder(layers, generator=generator, mean_intensity=torch.tensor([0.4]))
    assert all(layer.weight.std() > 0 for layer in layers)
    assert torch.equal(layers[-1].bias, torch.tensor([0.4]))


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_own_layers_match_those_of_pytorch(n_channels, layout):
    network = ConvolutionalAutoencoder(n_channels, 7, 48).double().to(memory_format=layout)
    encoding, decoding, output = network.encoder[-1], network.decoder[0], network.decoder[-1]
    shapes = {encoding: (2, 32, 3, 3), decoding: (2, 7, 1, 1), output: (2, 32, 5, 7)}
    for layer, shape in shapes.items():
        maps = torch.rand(shape, dtype=torch.float64).to(memory_format=layout)
        kind = nn.Conv2d if isinstance(layer, nn.Conv2d) else nn.ConvTranspose2d
        with torch.no_grad():
            torch.testing.assert_close(layer(maps), kind.forward(layer, maps))
        torch.testing.assert_close(layer(maps), kind.forward(layer, maps))


def test_networks_without_convolutions_are_refused():
    with pytest.raises(ValueError, match=r"must have convolutions to initialize, got Linear"):
        initialize_autoencoder(
            nn.Linear(2, 2), generator=torch.Generator(), mean_intensity=torch.tensor([0.5])
        )
