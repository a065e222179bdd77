"""The judgement whether a network learned the texture, and its warnings."""

import warnings

import numpy as np
import pytest
import torch
from scipy import ndimage
from skorch.callbacks import Callback
from torch import nn

from sk_ssimae import (
    GenerativeAdversarialSegmenter,
    L2AutoencoderSegmenter,
    SSIMAutoencoderSegmenter,
    VariationalAutoencoderSegmenter,
)
from sk_ssimae._inference._region import Region
from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.estimators._learning import is_constant, sample_patches, structure_correlation
from sk_ssimae.exceptions import InterruptedFitWarning, UnlearnedTextureWarning

UNLEARNED = r"learned hardly any texture: .* correlation of -?0\.0\d \(structure_correlation_\)"
REMEDIES = (
    r"smaller patch_size, got 16, or image_size; a larger latent_dim; more n_patches or max_epochs;"
    r" a smaller lr; another method\.$"
)


@pytest.fixture
def patches():
    return list(np.random.default_rng(0).random((5, 32, 32, 2), dtype=np.float32))


def shading(patch):
    return ndimage.gaussian_filter(patch, 16, axes=(0, 1))


def test_a_correlation_is_one_for_copies_and_ignores_gradual_shading(patches):
    assert structure_correlation(patches, patches) == pytest.approx(1)
    ramp = np.linspace(0, 1, 32, dtype=np.float32)[:, None, None]
    shaded = [0.5 * patch + ramp for patch in patches]
    assert structure_correlation(patches, shaded) == pytest.approx(1, abs=0.05)
    assert structure_correlation(patches, [1 - patch for patch in patches]) == pytest.approx(-1)
    blurred = [shading(patch) for patch in patches]
    assert structure_correlation(patches, blurred) < 0.3
    assert abs(structure_correlation(patches, patches[1:] + patches[:1])) < 0.05


def test_constant_patches_have_no_structure_and_constant_reconstructions_none_of_it(patches):
    constant = [np.full_like(patch, 0.3) for patch in patches]
    assert structure_correlation(constant, patches) is None
    assert structure_correlation(patches, constant) == 0
    as_bytes = [np.uint8(255 * patch) for patch in patches]
    assert structure_correlation(as_bytes, patches) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("n_regions", [1, 3, 16, 50])
def test_patches_are_spread_over_regions(n_regions):
    regions = [
        Region.of_image(np.full((20, 30 + index, 1), index, dtype=np.uint8), None)
        for index in range(n_regions)
    ]
    patches = list(sample_patches(regions, 20))
    assert [patch.shape for patch in patches] == [(20, 20, 1)] * 16
    assert len({int(patch.max()) for patch in patches}) == min(n_regions, 16)
    again = sample_patches(regions, 20)
    assert all(np.array_equal(one, other) for one, other in zip(patches, again, strict=True))


def test_rounding_makes_no_difference():
    ones = np.ones((3, 3), dtype=np.float32)
    assert is_constant([ones, ones + np.float32(2e-7)])
    assert not is_constant([ones, ones + np.float32(1e-5)])
    assert is_constant([0 * ones])
    assert not is_constant([1e-12 * ones, 2e-12 * ones])


@pytest.mark.filterwarnings("error::sk_ssimae.exceptions.UnlearnedTextureWarning")
@pytest.mark.parametrize(
    "cls", [SSIMAutoencoderSegmenter, L2AutoencoderSegmenter, VariationalAutoencoderSegmenter]
)
def test_a_network_that_learned_does_not_warn(tiny, cls):
    good = make_woven_fabric(2, shape=(64, 64), thread_spacing=6, random_state=0)
    params = tiny | {"latent_dim": 32, "n_patches": 256, "max_epochs": 20}
    segmenter = cls(**params).fit(good)
    assert segmenter.structure_correlation_ > 0.5


def test_a_network_that_did_not_learn_warns_where_fit_was_called(tiny, good, segmenter_class):
    # A step for the generator, and one for the encoder.
    n_steps = 2 if segmenter_class is GenerativeAdversarialSegmenter else 1
    segmenter = segmenter_class(**tiny).set_params(n_patches=16, max_epochs=n_steps)
    with pytest.warns(
        UnlearnedTextureWarning, match=rf"{UNLEARNED}, below 0\.1\. .*{REMEDIES}"
    ) as w:
        segmenter.fit(good)
    assert [warning.filename for warning in w] == [__file__]
    assert segmenter.structure_correlation_ < 0.1


@pytest.mark.parametrize("threshold", ["pixel_fpr", "image_fpr", 0.5])
@pytest.mark.parametrize(
    ("params", "value"),
    [
        ({"lr": 1e3}, 1),
        ({"alpha": 0, "beta": 0, "gamma": 0}, 0),
        ({"alpha": 100, "beta": 100, "gamma": 100}, 1),
        ({"c1": 1e6, "c2": 1e6}, 0),
        ({"residual_params": {"c1": 1e6, "c2": 1e6}}, 0),
    ],
)
def test_constant_maps_warn(tiny, good, params, value, threshold):
    segmenter = SSIMAutoencoderSegmenter(**(tiny | params), threshold=threshold, target_fpr=0.5)
    message = (
        rf"All residuals of good patches are {value}: .* smaller lr, got .*, or exponents, con"
    )
    with pytest.warns(UnlearnedTextureWarning, match=message):
        segmenter.fit(good)
    maps = segmenter.decision_function(good)
    assert np.ptp(maps) < 1e-5


@pytest.mark.filterwarnings("error::sk_ssimae.exceptions.UnlearnedTextureWarning")
def test_constant_images_have_no_texture_to_learn(segmenter_class, tiny):
    images = np.full((3, 40, 56), 0.5, dtype=np.float32)
    assert segmenter_class(**tiny).fit(images).structure_correlation_ is None


@pytest.mark.filterwarnings("error::sk_ssimae.exceptions.UnlearnedTextureWarning")
def test_an_interrupted_fit_is_not_judged(tiny, good):
    class PressCtrlC(Callback):
        def on_batch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    segmenter = L2AutoencoderSegmenter(**tiny, callbacks=[PressCtrlC()])
    with pytest.warns(InterruptedFitWarning):
        segmenter.fit(good)
    assert abs(segmenter.structure_correlation_) < 0.1


class Sums(nn.Module):
    """Network without reconstructions."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, patches):
        return self.weight * patches.sum(dim=(1, 2, 3))


class SumLoss(nn.Module):
    def forward(self, output, target):
        return (output - target.sum(dim=(1, 2, 3))).square().mean()


class Brightness(L2AutoencoderSegmenter):
    """Family that shows a residual without reconstructing patches."""

    def make_module(self, n_channels, generator):
        return Sums()

    def make_loss(self):
        return SumLoss()

    def residual_over_patches(self, image, patches):
        return image.mean(dim=0)


def test_a_family_without_reconstructions_is_not_judged(tiny, good):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        segmenter = Brightness(**tiny).fit(good)
    assert segmenter.structure_correlation_ is None
