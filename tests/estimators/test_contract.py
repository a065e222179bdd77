"""Families without a network, with further trained parts, and with their own networks."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from torch import nn

from sk_ssimae import L2AutoencoderSegmenter, SSIMAutoencoderSegmenter, estimators
from sk_ssimae.estimators import (
    BaseAutoencoderSegmenter,
    BaseSegmenter,
    Parameter,
    ReconstructionNet,
    Role,
)
from sk_ssimae.losses import L2Loss
from sk_ssimae.modules import ConvolutionalAutoencoder
from sk_ssimae.testing import image_estimator_checks

SEGMENTERS = list(estimators.all_segmenters().values())


class BrightnessSegmenter(BaseSegmenter):
    """Segment by the deviation from the mean grey."""

    def fit_regions(self, regions, rng):
        self.mean_ = np.mean([region.mean() for region in map(self.as_float, regions)])

    def compute_residual(self, image):
        return np.abs(self.as_float(image) - np.float32(self.mean_)).mean(axis=2)

    def residual_radius(self):
        return 0

    @staticmethod
    def as_float(image):
        return image / np.float32(255) if image.dtype == np.uint8 else image


class SmoothedSegmenter(BrightnessSegmenter):
    """Segment by the mean deviation around a pixel."""

    def compute_residual(self, image):
        return ndimage.uniform_filter(super().compute_residual(image), 7)

    def residual_radius(self):
        return 3


CASES = list(image_estimator_checks(BrightnessSegmenter(random_state=0)))


@pytest.mark.parametrize(("estimator", "check"), CASES, ids=[c.__name__ for _, c in CASES])
def test_a_segmenter_without_a_network_passes_all_checks(estimator, check):
    check(estimator)


def test_a_segmenter_without_a_network(good):
    assert {*BrightnessSegmenter().get_params()} == {
        *("image_size", "intensity_range", "alpha_channel", "max_image_pixels", "images_in_memory"),
        *("random_state", "smoothing", "threshold", "target_fpr"),
        *("extent_threshold", "extent_fpr", "min_region_area"),
        *("validation_fraction", "opening_diameter", "memory"),
    }
    segmenter = BrightnessSegmenter(random_state=0, image_size=(20, 28)).fit(good)
    assert segmenter.predict(good).shape == good.shape
    assert not hasattr(segmenter, "reconstruct")
    assert segmenter.residual_range() == (0, np.inf)
    segmenter = BrightnessSegmenter(random_state=0).fit(good)
    for image, found in zip(good, segmenter.segment_images(good), strict=True):
        np.testing.assert_array_equal(found.mask, segmenter.predict([image])[0])
        assert found.score == segmenter.score_images([image])[0]


@pytest.mark.parametrize("cls", [BrightnessSegmenter, SmoothedSegmenter])
@pytest.mark.parametrize("params", [{}, {"smoothing": 0, "opening_diameter": 0}])
def test_blocks_of_a_segmenter_without_a_network(good, cls, params):
    segmenter = cls(random_state=0, **params).fit(good)
    residual_map, mask = np.empty_like(good[0]), np.empty(good[0].shape, dtype=bool)
    for block in segmenter.segment_blocks(good[0], block_size=13):
        residual_map[block.rows, block.columns] = block.residual_map
        mask[block.rows, block.columns] = block.mask
    np.testing.assert_allclose(residual_map, segmenter.decision_function(good)[0], atol=1e-6)
    np.testing.assert_array_equal(mask, segmenter.predict(good)[0])


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (
            lambda image: image[..., 0][::2],
            r"Wrong must compute .* image, \(40, 56\), got .*\(20, 56",
        ),
        (lambda image: image, r"got shape \(40, 56, 1\) instead"),
        (lambda image: np.full(image.shape[:2], np.nan), "finite residuals, got NaN or infinity"),
    ],
)
def test_a_wrong_residual_is_refused(good, compute, message):
    class Wrong(BrightnessSegmenter):
        def compute_residual(self, image):
            return compute(image)

    segmenter = Wrong(threshold=0.5).fit(good)
    with pytest.raises(ValueError, match=message):
        segmenter.decision_function(good)
    with pytest.raises(ValueError, match="Wrong must compute"):
        list(segmenter.segment_blocks(good[0]))


def test_a_residual_in_float64_becomes_float32(good):
    class Precise(BrightnessSegmenter):
        def compute_residual(self, image):
            return super().compute_residual(image).astype(np.float64)

    for smoothing in (0, 1):
        segmenter = Precise(threshold=0.5, smoothing=smoothing).fit(good)
        assert segmenter.decision_function(good).dtype == np.float32


def test_bases_without_a_network_need_no_torch():
    code = (
        "import sys\n"
        "from sk_ssimae.estimators import BaseSegmenter, Segmentation\n"
        "from sk_ssimae import BaseSegmenter\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class CriticNet(ReconstructionNet):
    """Train a critic that tells patches from reconstructions, which both gradients use."""

    def initialize_module(self):
        super().initialize_module()
        self.critic_ = nn.Sequential(
            nn.Conv2d(1, 4, 4, 4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(1)
        )
        self.critic_(torch.zeros(1, 1, 16, 16))
        return self

    def initialize_optimizer(self, *args, **kwargs):
        super().initialize_optimizer(*args, **kwargs)
        self.critic_optimizer_ = torch.optim.Adam(self.critic_.parameters(), lr=1e-3)
        return self

    def train_step(self, batch, **fit_params):
        patches, target = batch
        mixed = torch.rand((len(target), 1, 1, 1), generator=self.generator, device=target.device)
        with torch.no_grad():
            fake = mixed * self.infer(patches) + (1 - mixed) * target
        self.critic_optimizer_.zero_grad()
        (self.critic_(fake) - self.critic_(target)).mean().backward()
        self.critic_optimizer_.step()
        self.optimizer_.zero_grad()
        output = self.infer(patches)
        loss = self.get_loss(output, target) - 0.1 * self.critic_(output).mean()
        loss.backward()
        self.optimizer_.step()
        return {"loss": loss, "y_pred": output}


class CriticSegmenter(BaseAutoencoderSegmenter):
    """An autoencoder with a critic."""

    net_class = CriticNet

    def make_loss(self):
        return L2Loss()


def weights(net, part="module_"):
    return torch.cat([value.flatten() for value in getattr(net, part).state_dict().values()])


def test_a_second_part_with_its_own_optimiser(tiny, good, tmp_path):
    params = {**tiny, "max_epochs": 3, "device": "cpu"}
    states = []
    for global_seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(global_seed)
            states.append(CriticSegmenter(**params).fit(good).net_)
    assert torch.equal(weights(states[0]), weights(states[1]))
    assert torch.equal(weights(states[0], "critic_"), weights(states[1], "critic_"))
    plain = L2AutoencoderSegmenter(**params).fit(good).net_
    assert not torch.equal(weights(plain), weights(states[0]))  # The critic has an effect.

    class Killed(BaseException):
        pass

    class Kill(CriticNet):
        def on_epoch_end(self, net, **kwargs):
            super().on_epoch_end(net, **kwargs)
            if len(net.history) == 2:
                raise Killed

    interrupted = CriticSegmenter(**params, checkpoint_dir=tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CriticSegmenter, "net_class", Kill)
        with pytest.raises(Killed):
            interrupted.fit(good)
    resumed = interrupted.fit(good).net_
    assert len(list(tmp_path.iterdir())) == 1
    for part in ("module_", "critic_"):
        assert torch.equal(weights(resumed, part), weights(states[0], part))

    segmenter = CriticSegmenter(**params).fit(good)
    restored = pickle.loads(pickle.dumps(segmenter))
    assert not hasattr(restored.net_, "critic_")
    assert not hasattr(restored.net_, "critic_optimizer_")
    assert restored.net_.optimizer_ is None
    maps = segmenter.decision_function(good)
    np.testing.assert_array_equal(restored.decision_function(good), maps)
    np.testing.assert_array_equal(copy.deepcopy(restored).decision_function(good), maps)


class Linear(nn.Module):
    """Linear layers around a pretrained encoder."""

    def __init__(self, side):
        super().__init__()
        self.encoder = nn.Linear(side**2, 3)
        nn.init.constant_(self.encoder.weight, 0.125)
        self.encoder.requires_grad_(False)
        self.critic = nn.Conv2d(1, 1, 1)
        nn.init.constant_(self.critic.bias, 7)
        self.critic.requires_grad_(False)
        self.decoder = nn.Linear(3, side**2)

    def forward(self, patches):
        return self.decoder(self.encoder(patches.flatten(1))).reshape(patches.shape)


class OwnNetwork(BaseAutoencoderSegmenter):
    """A family with a network of any patch size."""

    patch_size_multiple = 1

    def make_loss(self):
        return L2Loss()

    def make_module(self, n_channels, generator):
        return Linear(self.patch_size)


def test_a_network_of_its_own_keeps_its_weights_and_shape(tiny, good):
    segmenter = OwnNetwork(**{**tiny, "patch_size": 13, "stride": 5}).fit(good)
    assert segmenter.predict(good).shape == good.shape
    network = segmenter.net_.module_
    assert (network.encoder.weight == 0.125).all()
    assert (network.critic.bias == 7).all()
    with pytest.raises(ValueError, match="patch_size must be a multiple of 16, got 13"):
        L2AutoencoderSegmenter(**{**tiny, "patch_size": 13, "stride": 5}).fit(good)


class Pretrained(ConvolutionalAutoencoder):
    """A network of Table 1 with weights of its own."""


class OfPretrained(L2AutoencoderSegmenter):
    def make_module(self, n_channels, generator):
        network = Pretrained(n_channels, self.latent_dim, self.patch_size)
        network.decoder[-1].bias.requires_grad_(False).fill_(9)
        return network


def test_a_subclass_of_the_network_of_table_1_keeps_its_weights(tiny, good):
    segmenter = OfPretrained(**tiny, threshold=1.0).fit(good)
    assert (segmenter.net_.module_.decoder[-1].bias == 9).all()


@pytest.mark.parametrize(
    ("hooks", "message"),
    [
        ({"make_loss": lambda self: None}, "make_loss of Wrong must return a torch module, got N"),
        ({"make_module": lambda self, n, g: 3}, "make_module of Wrong must return a torch module"),
        ({"make_loss": lambda self: nn.MSELoss()}, r"a method residual_map, got MSELoss\(\)"),
        ({"net_class": dict}, "net_class of Wrong must be a subclass of ReconstructionNet, got"),
    ],
)
def test_hooks_are_checked_before_the_first_epoch(tiny, good, hooks, message):
    segmenter = type("Wrong", (L2AutoencoderSegmenter,), hooks)(**tiny)
    with pytest.raises(TypeError, match=message):
        segmenter.fit(good)
    assert not hasattr(segmenter, "net_")


@pytest.mark.parametrize("cls", SEGMENTERS)
def test_roles_partition_the_parameters(cls):
    names = {role: cls.parameter_names(role) for role in Role}
    listed = [name for of_role in names.values() for name in of_role]
    assert sorted(listed) == sorted(cls._get_param_names())


STALE = {
    "smoothing": 2.0, "stride": 5, "taper": 1, "opening_diameter": 0, "target_fpr": 0.2,
    "test_time_augmentation": "dihedral", "n_samples": 2, "residual": "kl",
    "residual_params": {"gamma": 2}, "absolute_weight": 3, "threshold": "pixel_fpr",
    "extent_threshold": "pixel_fpr", "extent_fpr": 0.2, "min_region_area": 5, "search_steps": 9,
    "search_lr": 0.5,
}  # fmt: skip


def test_a_change_of_residual_maps_makes_the_threshold_stale(segmenter_class, tiny, good):
    segmenter = segmenter_class(**tiny).fit(good)
    before = segmenter.get_params(deep=False)
    acting = segmenter.parameter_names(Role.INFERENCE, Role.DECISION)
    assert {*acting} <= STALE.keys()
    for name in acting:
        segmenter.set_params(**{name: STALE[name]})
        with pytest.raises(NotFittedError, match=rf"not been calibrated for {name}=.*calibrate"):
            segmenter.predict(good)
        segmenter.decision_function(good)
        segmenter.set_params(**{name: before[name]}).predict(good)
    others = {"verbose": 1, "inference_batch_size": 3, "latent_dim": 3, "patch_size": 32}
    segmenter.set_params(**others).predict(good)
    assert clone(segmenter).set_params(stride=5).fit(good).threshold_ > -np.inf


def test_a_dictionary_changed_in_place_is_noticed(tiny, good):
    changes = {"gamma": 2}
    segmenter = SSIMAutoencoderSegmenter(**tiny, residual_params=changes).fit(good)
    segmenter.predict(good)
    changes["gamma"] = 3
    with pytest.raises(NotFittedError, match="residual_params"):
        segmenter.predict(good)


def test_a_role_is_no_text():
    with pytest.raises(TypeError, match=r"role must be a Role, .* got 'network' instead"):
        Parameter("network", int)
    with pytest.raises(TypeError, match=r"role must be a Role, .* got 'network' instead"):
        BaseSegmenter.parameter_names("network")


def test_a_table_lists_the_parameters_of_the_constructor():
    with pytest.raises(TypeError, match=r"Extra must not list \['alpha'\]"):
        type("Extra", (BaseSegmenter,), {"parameters": {"alpha": Parameter(Role.TRAINING)}})
    with pytest.raises(TypeError, match=r"Other must list its parameters \['smoothing'\]"):
        type("Other", (BaseSegmenter,), {"parameters": {"smoothing": [float]}})


def test_a_parameter_needs_a_role():
    with pytest.raises(TypeError, match=r"Unlisted must list its parameters \['alpha'\]"):

        class Unlisted(BaseSegmenter):
            def __init__(self, *, alpha=1, **shared):
                super().__init__(**shared)
                self.alpha = alpha


class Labelled:
    """Mixin with its own parameter; the class that uses it has no constructor."""

    parameters = {"label": Parameter(Role.MACHINE, str)}

    def __init__(this, *, label="", **rest):  # noqa: N805
        super().__init__(**rest)
        this.label = label


class LabelledL2(Labelled, L2AutoencoderSegmenter):
    """Uses the constructor of the mixin."""


def test_a_mixin_completes_the_signature():
    expected = {*L2AutoencoderSegmenter().get_params()} | {"label"}
    assert {*LabelledL2().get_params()} == expected
    assert clone(LabelledL2(label="a", latent_dim=3)).get_params()["label"] == "a"
    assert Ridge().get_params()  # Nothing of scikit-learn was changed.
    with pytest.raises(TypeError, match="has no parameter 'labl'"):
        LabelledL2(labl="a")


def test_calibrated_maps_mean_the_same_everywhere(good):
    held_out = good[::-1, :, ::-1].copy()
    for params in ({}, {"smoothing": 0}, {"threshold": "image_fpr", "target_fpr": 0.5}):
        segmenter = SmoothedSegmenter(random_state=0, **params).fit([*good, *good])
        maps = segmenter.calibrate(held_out).calibrated_map(held_out)
        assert (maps.shape, maps.dtype) == (good.shape, np.float32)
        for probability in (0.5, 0.1, 0.02):
            assert (maps > -np.log(probability)).mean() == pytest.approx(probability, rel=0.05)
        order = np.argsort(segmenter.decision_function(held_out), axis=None)
        assert (np.diff(maps.ravel()[order]) >= 0).all()
    assert isinstance(segmenter.calibrated_map(list(good)), list)


def test_a_calibrated_map_needs_held_out_pixels(good):
    segmenter = BrightnessSegmenter(threshold=0.5, random_state=0)
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        segmenter.calibrated_map(good)
    segmenter.fit(good)
    message = "calibrated_map needs .* set threshold to 'image_fpr' and call calibrate with good"
    with pytest.raises(NotFittedError, match=message):
        segmenter.calibrated_map(good)
    segmenter.set_params(threshold="pixel_fpr").calibrate(good).calibrated_map(good)
    # Decisions act on no residual map; inference does.
    segmenter.set_params(target_fpr=0.3, opening_diameter=0, threshold=0.7).calibrated_map(good)
    with pytest.raises(NotFittedError, match=r"calibrated for smoothing=3: .* Call calibrate"):
        segmenter.set_params(smoothing=3).calibrated_map(good)
    segmenter.fit(good)
    with pytest.raises(NotFittedError, match="calibrated_map needs the residuals of good pixels"):
        segmenter.set_params(threshold="pixel_fpr").calibrated_map(good)
