"""Results do not depend on torch's global state, and do not change it."""

import contextlib
import pickle
import threading

import numpy as np
import pytest
import torch
from torch import nn

from sk_ssimae import L2AutoencoderSegmenter
from sk_ssimae.estimators._arithmetic import torch_defaults
from sk_ssimae.estimators._drawing import DrawFrom
from sk_ssimae.losses import FeatureMatchingLoss
from sk_ssimae.persistence import load, save


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def default_device(device):
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


STATES = {
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "meta": lambda: default_device("meta"),
    "cpu": lambda: default_device("cpu"),
    "within-meta": lambda: torch.device("meta"),
    "inference-mode": torch.inference_mode,
    "no-grad": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


@pytest.fixture(params=STATES)
def state(request):
    return STATES[request.param]


def results(segmenter, images):
    return [
        segmenter.decision_function(images),
        segmenter.reconstruct(images),
        segmenter.predict(images),
        segmenter.threshold_,
    ]


def assert_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def expected(tiny, good):
    """Fit each class once, in the state in which torch starts."""
    cache = {}

    def fit(cls):
        name = cls.__name__
        if name not in cache:
            segmenter = cls(**tiny).fit(good)
            cache[name] = segmenter, results(segmenter, good)
        return cache[name]

    return fit


def test_fit_and_prediction(state, segmenter_class, expected, tiny, good):
    with state():
        segmenter = segmenter_class(**tiny).fit(good)
        inside = results(segmenter, good)
    _, usual = expected(segmenter_class)
    assert_equal(inside, usual)
    assert_equal(results(segmenter, good), usual)
    assert all(
        parameter.dtype == torch.float32 for parameter in segmenter.net_.module_.parameters()
    )
    assert not any(parameter.is_inference() for parameter in segmenter.net_.module_.parameters())


def test_files_and_pickles(state, segmenter_class, expected, good, tmp_path):
    segmenter, usual = expected(segmenter_class)
    with state():
        pickled = pickle.dumps(segmenter)
        if segmenter_class.__name__ != "FeatureMatchingAutoencoderSegmenter":
            save(segmenter, tmp_path / "model.safetensors")
            assert_equal(results(load(tmp_path / "model.safetensors"), good), usual)
        assert_equal(results(pickle.loads(pickled), good), usual)
    restored = pickle.loads(pickled)
    assert_equal(results(restored, good), usual)
    assert_equal(results(restored.fit(good), good), usual)


def test_a_segmenter_from_inference_mode_can_be_trained(tiny, good):
    with torch.inference_mode():
        segmenter = pickle.loads(pickle.dumps(L2AutoencoderSegmenter(**tiny).fit(good)))
        segmenter.predict(good)
    for parameter in segmenter.net_.module_.parameters():
        parameter.requires_grad_()
    loss = segmenter.net_.module_.train()(torch.rand(2, 1, 16, 16)).sum()
    loss.backward()


def test_the_state_comes_back():
    with default_dtype(torch.float64), default_device("meta"), torch.inference_mode():
        with torch_defaults():
            assert torch.get_default_dtype() == torch.float32
            assert torch.get_default_device().type == "cpu"
            assert torch.is_grad_enabled()
            with pytest.raises(KeyError), torch_defaults():
                raise KeyError
            assert torch.get_default_dtype() == torch.float32
        assert torch.get_default_dtype() == torch.float64
        assert torch.get_default_device().type == "meta"
        assert torch.is_inference_mode_enabled()


class Plain(nn.Module):
    """Network whose layers draw their weights as torch does."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Linear(3, 3),
                nn.Conv2d(1, 2, 3),
                nn.Embedding(4, 2),
                nn.LSTM(2, 2),
                nn.Bilinear(2, 2, 2),
            ]
        )
        self.noise = nn.Parameter(torch.randn(4) + torch.rand(4))
        nn.init.orthogonal_(self.layers[0].weight)
        nn.init.trunc_normal_(self.layers[1].weight)
        nn.init.xavier_uniform_(self.layers[2].weight)
        self.bits = torch.bernoulli(torch.full((4,), 0.5)) + torch.randperm(4)


def test_layers_draw_from_the_generator_what_they_would_draw_from_the_global_one():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        expected = Plain()
    before = torch.get_rng_state()
    with DrawFrom(torch.Generator().manual_seed(5)):
        drawn = Plain()
        own = torch.rand(3, generator=torch.Generator().manual_seed(0))
        torch.empty(3, device="meta").uniform_()
    assert torch.equal(torch.get_rng_state(), before)
    for one, other in zip(drawn.parameters(), expected.parameters(), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(drawn.bits, expected.bits)
    assert torch.equal(own, torch.rand(3, generator=torch.Generator().manual_seed(0)))


def test_fit_leaves_the_random_numbers_of_other_threads_alone(segmenter_class, tiny, good):
    torch.manual_seed(0)
    expected = torch.rand(20_000)
    torch.manual_seed(0)
    thread = threading.Thread(target=segmenter_class(**tiny).fit, args=(good,))
    thread.start()
    drawn = []
    while thread.is_alive() or len(drawn) < 1000:
        if len(drawn) < len(expected):
            drawn.append(float(torch.rand(())))
    thread.join()
    np.testing.assert_array_equal(drawn, expected[: len(drawn)])


def test_no_step_of_fit_touches_the_global_generator(tiny, good):
    states = []

    class Own(L2AutoencoderSegmenter):
        def make_module(self, n_channels, generator):
            states.append(torch.get_rng_state())
            module = super().make_module(n_channels, generator)
            states.append(torch.get_rng_state())
            return module

        def make_loss(self):
            states.append(torch.get_rng_state())
            return FeatureMatchingLoss(nn.Conv2d(1, 2, 3))

    before = torch.get_rng_state()
    segmenters = [Own(**tiny).fit(good) for _ in range(2)]
    assert all(torch.equal(state, before) for state in [*states, torch.get_rng_state()])
    assert_equal(*(results(segmenter, good) for segmenter in segmenters))
