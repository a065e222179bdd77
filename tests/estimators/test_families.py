"""Custom families over the base classes."""

import inspect

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae.estimators import BaseAutoencoderSegmenter, Parameter, Role
from sk_ssimae.losses import EvidenceLowerBound, L2Loss
from sk_ssimae.modules import VariationalAutoencoder


class Sharper(SSIMAutoencoderSegmenter):
    """A family over a family.

    Parameters
    ----------
    sharpness : float, default=2
        A parameter of its own.
    {parameters}
    """

    parameters = {"sharpness": Parameter(Role.TRAINING)}

    def __init__(self, *, sharpness=2, **kwargs):
        super().__init__(**kwargs)
        self.sharpness = sharpness


class Named:
    parameters = {"label": Parameter(Role.MACHINE, str)}

    # The first argument is not called self here.
    def __init__(this, *, label="", **rest):  # noqa: N805
        super().__init__(**rest)
        this.label = label


class NamedSharper(Named, Sharper):
    parameters = {"note": Parameter(Role.MACHINE)}

    def __init__(self, *, note=None, **rest):
        super().__init__(**rest)
        self.note = note


def test_parameters_of_all_bases_are_seen():
    shared = set(SSIMAutoencoderSegmenter().get_params())
    assert set(Sharper().get_params()) == shared | {"sharpness"}
    assert set(NamedSharper().get_params()) == shared | {"sharpness", "label", "note"}
    given = {"note": 1, "label": "a", "sharpness": 3, "window_size": 5, "latent_dim": 7}
    assert given.items() <= clone(NamedSharper(**given)).get_params().items()
    assert "**" not in str(inspect.signature(Sharper))
    with pytest.raises(
        TypeError, match=r"Sharper has no parameter 'sharpnes'\. Did you mean 'sharpness'"
    ):
        Sharper(sharpnes=3)


def test_documentation_is_completed():
    documentation = inspect.getdoc(Sharper)
    assert "{parameters}" not in documentation
    lines = documentation.splitlines()
    assert "sharpness : float, default=2" in lines
    assert "latent_dim : int, default=100" in lines


class Linear(nn.Module):
    """Network whose layers the package does not initialise."""

    def __init__(self, n_channels, patch_size):
        super().__init__()
        size = n_channels * patch_size**2
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(size, 3), nn.Linear(3, size),
            nn.Unflatten(1, (n_channels, patch_size, patch_size)),
            nn.Conv2d(n_channels, n_channels, 1),
        )  # fmt: skip

    def forward(self, patches):
        return self.layers(patches)


class LinearSegmenter(BaseAutoencoderSegmenter):
    def make_loss(self):
        return L2Loss()

    def make_module(self, n_channels, generator):
        return Linear(n_channels, self.patch_size)


def test_seed_fixes_layers_of_a_family(tiny, good):
    maps = []
    for global_seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(global_seed)
            maps.append(LinearSegmenter(**tiny).fit(good).decision_function(good))
    np.testing.assert_array_equal(*maps)


class PlainVariational(BaseAutoencoderSegmenter):
    """Family whose network returns more than a reconstruction."""

    def make_loss(self):
        return EvidenceLowerBound()

    def make_module(self, n_channels, generator):
        return VariationalAutoencoder(
            n_channels, self.latent_dim, self.patch_size, generator=generator
        )

    def reconstruct_patches(self, windows):
        return self.net_.module_.decode(self.net_.module_.encode(windows)[0])


def test_network_that_gives_more_than_a_reconstruction(tiny, good):
    segmenter = PlainVariational(**tiny).fit(good)
    assert segmenter.predict(good).shape == segmenter.reconstruct(good).shape == good.shape
