from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from sk_ssimae.modules import (
    ConvolutionalAutoencoder,
    VariationalAutoencoder,
    fold_normalization,
)


def trained(network, shape):
    """Change the statistics and scales of the normalization from their initial values."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        network(torch.rand(shape, generator=generator))
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.affine:
            nn.init.uniform_(layer.weight, 0.5, 2, generator=generator)
            nn.init.uniform_(layer.bias, -1, 1, generator=generator)
    return network.double().eval()


def layers_of_kind(network, kind):
    return [layer for layer in network.modules() if isinstance(layer, kind)]


@pytest.mark.parametrize("patch_size", [16, 48])
def test_folded_network_computes_the_same(patch_size):
    network = trained(
        ConvolutionalAutoencoder(2, 7, patch_size, "batch"), (8, 2, patch_size, patch_size)
    )
    folded = fold_normalization(network)
    patches = torch.rand(3, 2, patch_size, patch_size, dtype=torch.float64)
    torch.testing.assert_close(folded(patches), network(patches))
    assert not layers_of_kind(folded, nn.BatchNorm2d)
    assert len(layers_of_kind(network, nn.BatchNorm2d)) == 16


def test_folding_keeps_the_methods_of_a_network():
    network = trained(VariationalAutoencoder(1, 4, 32, "batch"), (8, 1, 32, 32))
    folded = fold_normalization(network)
    patches = torch.rand(3, 1, 32, 32, dtype=torch.float64)
    mean, _ = folded.encode(patches)
    torch.testing.assert_close(folded.decode(mean), network.decode(network.encode(patches)[0]))


class Skipping(nn.Module):
    """A network that names its layers and selects them by index."""

    def __init__(self):
        super().__init__()
        names = ("first", "norm", "act", "second", "second_norm")
        layers = (
            nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.LeakyReLU(),
            nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3),
        )  # fmt: skip
        self.layers = nn.Sequential(OrderedDict(zip(names, layers, strict=True)))

    def forward(self, maps):
        hidden = self.layers[:3](maps)
        return self.layers.second_norm(self.layers.second(hidden)) + hidden


def test_folding_keeps_indices_and_names_of_layers():
    network = trained(Skipping(), (8, 3, 9, 9))
    images = torch.rand(5, 3, 9, 9, dtype=torch.float64)
    folded = fold_normalization(network)
    torch.testing.assert_close(folded(images), network(images))
    assert not layers_of_kind(folded, nn.BatchNorm2d)


class Doubling(nn.Sequential):
    def forward(self, maps):
        return 2 * super().forward(maps)


class Halving(nn.Conv2d):
    def forward(self, maps):
        return super().forward(maps) / 2


@pytest.mark.parametrize(
    ("layers", "n_left"),
    [
        ((nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3)), 1),
        ((nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)), 1),
        ((nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, affine=False)), 0),
        ((nn.Conv2d(4, 4, 3, groups=2, bias=False), nn.BatchNorm2d(4)), 0),
        ((nn.ConvTranspose2d(4, 2, 3), nn.BatchNorm2d(2)), 0),
        ((nn.ConvTranspose2d(4, 4, 3, groups=2), nn.BatchNorm2d(4)), 1),
        ((parametrizations.weight_norm(nn.Conv2d(4, 4, 3)), nn.BatchNorm2d(4)), 1),
        ((Halving(4, 4, 3), nn.BatchNorm2d(4)), 1),
        ((Doubling(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)),), 1),
    ],
)
def test_only_foldable_layers_are_folded(layers, n_left):
    # One more pair, so that at least one can be folded.
    network = trained(
        nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Tanh(), *layers), (8, 4, 9, 9)
    )
    folded = fold_normalization(network)
    images = torch.rand(5, 4, 9, 9, dtype=torch.float64)
    torch.testing.assert_close(folded(images), network(images))
    assert len(layers_of_kind(folded, nn.BatchNorm2d)) == n_left
    assert not any(layer.training for layer in folded.modules())


def test_wrong_module():
    with pytest.raises(TypeError, match="module must be a torch module, got 'network' instead"):
        fold_normalization("network")


def test_without_normalization_nothing_is_copied():
    network = ConvolutionalAutoencoder(1, 4, 16)
    assert fold_normalization(network) is network
