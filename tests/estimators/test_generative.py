import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone

from sk_ssimae import GenerativeAdversarialSegmenter
from sk_ssimae.estimators._latent_search import search_latent
from sk_ssimae.exceptions import ModeCollapseWarning
from sk_ssimae.modules import GenerativeAdversarialNetwork
from sk_ssimae.persistence import OnnxSegmenter, export_onnx, load, save

ENCODERS = ("after", "bigan", "search")


@pytest.fixture(scope="module")
def quick(tiny):
    return tiny | {"stride": 16, "n_patches": 32, "batch_size": 8, "search_steps": 4}


@pytest.fixture(scope="module")
def trained(quick, good):
    return {
        encoder: GenerativeAdversarialSegmenter(**quick, encoder=encoder).fit(good)
        for encoder in ENCODERS
    }


@pytest.fixture(params=ENCODERS)
def fitted(request, trained):
    return trained[request.param]


def state(segmenter):
    return {name: value.clone() for name, value in segmenter.net_.module_.state_dict().items()}


def changed(one, other, part):
    """Tell whether any tensor of a part of the network differs."""
    return any(not torch.equal(one[name], other[name]) for name in one if name.startswith(part))


def test_the_seed_gives_the_result_and_torch_s_does_not(fitted, good):
    with torch.random.fork_rng():
        torch.manual_seed(7)
        again = clone(fitted).fit(good)
        torch.manual_seed(8)
        assert not changed(state(fitted), state(again), "")
    np.testing.assert_array_equal(again.decision_function(good), fitted.decision_function(good))
    assert changed(state(fitted), state(clone(fitted).set_params(random_state=1).fit(good)), "dec")


def test_maps_do_not_depend_on_the_batch(fitted, good):
    maps = fitted.decision_function(good)
    for batch_size in (1, 5):
        one = clone(fitted)
        one.__dict__.update(fitted.__dict__, inference_batch_size=batch_size)
        np.testing.assert_allclose(one.decision_function(good), maps, atol=1e-5)


def test_an_opened_pickle_or_file_gives_the_same_maps(fitted, good, tmp_path, device):
    maps = fitted.decision_function(good)
    save(fitted, tmp_path / "m")
    for opened in (pickle.loads(pickle.dumps(fitted)), load(tmp_path / "m", device=device)):
        np.testing.assert_array_equal(opened.decision_function(good), maps)
        assert opened.history_ == fitted.history_


def test_an_opened_model_goes_on_with_its_critic(trained, good):
    opened = pickle.loads(pickle.dumps(trained["bigan"]))
    before = state(opened)
    opened.set_params(lr=1e-12, critic_lr=1e-12, weight_decay=0).partial_fit(good)
    for name, value in state(opened).items():
        if name.startswith("critic."):
            torch.testing.assert_close(value, before[name], atol=1e-6, rtol=0)


def test_the_encoder_is_trained_when_the_others_are_fixed(quick, good):
    states = {}
    for share in (0.25, 0.75):
        params = quick | {"max_epochs": 1, "encoder_share": share}
        segmenter = GenerativeAdversarialSegmenter(**params).fit(good)
        assert segmenter.net_.n_adversarial_steps == round(4 * (1 - share))
        states[share] = state(segmenter)
    assert changed(*states.values(), "decoder")

    untrained = quick | {"max_epochs": 1, "lr": 1e-12, "critic_lr": 1e-12}
    start = state(GenerativeAdversarialSegmenter(**untrained, weight_decay=0).fit(good))
    # The generator is trained in one of four steps: its weights move by at most the rate.
    segmenter = GenerativeAdversarialSegmenter(
        **(untrained | {"lr": 1e-3}), weight_decay=0, encoder_share=0.75
    ).fit(good)
    moved = {n: float((v - start[n]).abs().max()) for n, v in state(segmenter).items()}
    assert moved["decoder.0.weight"] <= 1.001e-3
    assert moved["encoder.0.weight"] > 1.5e-3


def test_the_critic_takes_more_steps_than_the_generator(quick, good):
    params = quick | {"max_epochs": 1, "weight_decay": 0, "encoder": "search"}
    start = state(GenerativeAdversarialSegmenter(**params, lr=1e-12, critic_lr=1e-12).fit(good))
    found = state(GenerativeAdversarialSegmenter(**params, lr=1e-3, critic_steps=4).fit(good))
    assert 0 < (found["decoder.0.weight"] - start["decoder.0.weight"]).abs().max() <= 1.001e-3
    assert (found["critic.layers.0.weight"] - start["critic.layers.0.weight"]).abs().max() > 1e-3


def test_an_interrupted_fit_resumes_in_the_encoder_s_part(quick, good, tmp_path):
    class KilledError(Exception):
        pass

    class Killed(GenerativeAdversarialSegmenter.net_class):
        def on_epoch_begin(self, net, **kwargs):
            super().on_epoch_begin(net, **kwargs)
            if len(net.history) == 4:
                raise KilledError

    params = quick | {"max_epochs": 4}
    whole = GenerativeAdversarialSegmenter(**params).fit(good)
    killed = GenerativeAdversarialSegmenter(**params, checkpoint_dir=tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GenerativeAdversarialSegmenter, "net_class", Killed)
        with pytest.raises(KilledError):
            killed.fit(good)
    assert not changed(state(killed.fit(good)), state(whole), "")


def test_the_search_finds_a_latent_vector_that_generates_the_patch():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = GenerativeAdversarialNetwork(1, 4, 16, None, "search").eval()
        for value in network.decoder.parameters():
            value.detach().mul_(1.7)  # So that patches differ.
        patches = network.decode(torch.randn(3, 4)).detach()
    errors = []
    for n_steps in (1, 200):
        with torch.inference_mode():
            latent = search_latent(network, patches, n_steps=n_steps, lr=0.1, feature_weight=1)
            errors.append(float((network.decode(latent) - patches).abs().mean()))
    assert errors[1] < 0.3 * errors[0]
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize("change", [{"search_steps": 8}, {"search_lr": 0.5}])
def test_parameters_of_the_search_act_at_once(trained, good, change):
    one = pickle.loads(pickle.dumps(trained["search"]))
    maps = one.decision_function(good)
    one.set_params(**change)
    assert np.abs(one.decision_function(good) - maps).max() > 1e-6
    with pytest.raises(ValueError, match=next(iter(change))):
        one.predict(good)


def test_feature_weight_acts_on_the_search(trained, good):
    one = pickle.loads(pickle.dumps(trained["search"]))
    maps = one.decision_function(good)
    one.fitted_parameters_["feature_weight"] = 0
    assert np.abs(one.decision_function(good) - maps).max() > 1e-6


@pytest.mark.parametrize("encoder", ["after", "bigan"])
def test_encoders_are_exported(trained, good, tmp_path, encoder):
    export_onnx(trained[encoder], tmp_path / "a.onnx")
    exported = OnnxSegmenter(tmp_path / "a.onnx", n_threads=1)
    np.testing.assert_allclose(
        exported.decision_function(good), trained[encoder].decision_function(good), atol=1e-5
    )


def test_a_search_is_not_exported(trained, tmp_path):
    with pytest.raises(TypeError, match="encoder='search' cannot be exported: the search needs"):
        export_onnx(trained["search"], tmp_path / "a.onnx")


def test_collapse_is_named_with_a_remedy(quick, good):
    class Collapsed(GenerativeAdversarialSegmenter):
        """A generator that ignores its latent vector."""

        def initialize_module(self, module, **kwargs):
            super().initialize_module(module, **kwargs)
            module.decoder[0].weight.data.zero_()

    segmenter = Collapsed(**quick, normalization=None, lr=1e-12)
    message = r"The generator has collapsed: .* below 0\.05; critic_accuracy is .* more critic_step"
    with pytest.warns(ModeCollapseWarning, match=message) as warned:
        segmenter.fit(good)
    own = [warning for warning in warned if warning.category is ModeCollapseWarning]
    assert [warning.filename for warning in own] == [__file__]
    assert segmenter.history_[-1, "generated_variance"] < 1e-6


def test_healthy_generators_and_flat_images_do_not_warn(quick, good):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ModeCollapseWarning)
        history = GenerativeAdversarialSegmenter(**quick).fit(good).history_
        assert history[-1, "generated_variance"] > 0.05
        flat = np.full((3, 40, 56), 0.5, dtype=np.float32)
        assert (
            GenerativeAdversarialSegmenter(**quick).fit(flat).history_[-1, "generated_variance"]
            is None
        )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"encoder": "before"}, "The 'encoder' parameter .* must be a str among"),
        ({"encoder_share": 1}, "The 'encoder_share' parameter .* must be a float in the range"),
        ({"critic_steps": 0}, "The 'critic_steps' parameter .* must be an int in the range"),
        ({"search_steps": 0}, "The 'search_steps' parameter .* must be an int in the range"),
        ({"search_lr": 0.0}, "The 'search_lr' parameter .* must be a float in the range"),
        ({"feature_weight": -1}, "The 'feature_weight' parameter .* must be a float in the range"),
        ({"max_epochs": 1, "n_patches": 8}, "encoder='after' needs at least 2 training steps"),
        ({"net_params": {"compile": True}}, "compile must be left out: parts of the network learn"),
    ],
)
def test_wrong_parameters(quick, good, params, message):
    with pytest.raises(ValueError, match=message):
        GenerativeAdversarialSegmenter(**(quick | params)).fit(good)
