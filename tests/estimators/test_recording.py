"""Steps recorded on a GPU. Most tests need one: ``pytest --device cuda``."""

from contextlib import contextmanager

import joblib
import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, GradientNormClipping
from torch import nn

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae.estimators._recording import RecordedStep
from sk_ssimae.losses import SSIMLoss

RECORDED = {"cuda_graph": True}


@pytest.fixture
def gpu(device):
    if torch.device(device).type != "cuda":
        # The other tests here use stand-ins.
        pytest.skip("only a GPU records CUDA graphs")


@pytest.fixture
def many_steps(tiny):
    """Two shapes of batches, each often enough to be recorded."""
    return {**tiny, "n_patches": 100, "batch_size": 16, "max_epochs": 6, "threshold": 1.0}


def ends(segmenter):
    """Return the final weights, to be compared exactly."""
    tensors = [
        *segmenter.net_.module_.state_dict().values(),
        *segmenter.net_.criterion_.state_dict().values(),
    ]
    losses = segmenter.history_[:, "train_loss"]
    return [tensor.cpu().numpy().tobytes() for tensor in tensors], losses


def test_device_without_graphs(tiny, good):
    segmenter = SSIMAutoencoderSegmenter(**tiny | {"device": "cpu"}, net_params=RECORDED)
    with pytest.raises(ValueError, match=r"net_params.*cuda_graph=True.*'cpu'"):
        segmenter.fit(good)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
def test_recorded_steps_compute_the_same(segmenter_class, many_steps, good, precision):
    many_steps["augmentation"] = "dihedral"
    fits = [
        segmenter_class(**many_steps, precision=precision, net_params=recorded).fit(good)
        for recorded in ({}, RECORDED)
    ]
    assert ends(fits[0]) == ends(fits[1])


@pytest.mark.usefixtures("gpu")
def test_callbacks_reach_recorded_gradients(many_steps, good):
    params = many_steps | {"callbacks": [("clip", GradientNormClipping(1e-3))]}
    fits = [
        SSIMAutoencoderSegmenter(**params, net_params=net_params).fit(good)
        for net_params in (None, RECORDED)
    ]
    assert ends(fits[0]) == ends(fits[1])
    unclipped = SSIMAutoencoderSegmenter(**many_steps, net_params=RECORDED).fit(good)
    assert ends(unclipped) != ends(fits[1])


@pytest.mark.usefixtures("gpu")
def test_resume_and_pickle(many_steps, good, tmp_path):
    def fit(**params):
        return SSIMAutoencoderSegmenter(**many_steps | params, net_params=RECORDED).fit(good)

    whole = fit()
    path = tmp_path / "segmenter.joblib"
    joblib.dump(whole, path)
    np.testing.assert_array_equal(
        joblib.load(path).decision_function(good), whole.decision_function(good)
    )
    again = fit(checkpoint_dir=tmp_path / "checkpoints")
    assert ends(fit(checkpoint_dir=tmp_path / "checkpoints")) == ends(again) == ends(whole)


class LossThatReads(SSIMLoss):
    def forward(self, reconstruction, target):
        loss = super().forward(reconstruction, target)
        return loss * 2 if loss.item() > 1 else loss


class SegmenterThatReads(SSIMAutoencoderSegmenter):
    def make_loss(self) -> nn.Module:
        return LossThatReads()


@pytest.mark.usefixtures("gpu")
def test_what_depends_on_values_is_refused(many_steps, good):
    many_steps["patch_size"] = 16
    segmenter = SegmenterThatReads(**many_steps, net_params=RECORDED)
    before = torch.cuda.current_stream()
    with pytest.raises(ValueError, match=r"cuda_graph.*must not depend on values"):
        segmenter.fit(good)
    assert torch.cuda.current_stream() == before
    torch.rand(1, device="cuda")  # Uses the default generator.
    segmenter.set_params(net_params=None).fit(good)


class Freeze(Callback):
    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 5:
            next(net.module_.parameters()).requires_grad_(False)


@pytest.mark.usefixtures("gpu")
def test_what_is_frozen_afterwards_is_refused(many_steps, good):
    params = many_steps | {"callbacks": [("freeze", Freeze())]}
    with pytest.raises(ValueError, match=r"cuda_graph.*frozen or released"):
        SSIMAutoencoderSegmenter(**params, net_params=RECORDED).fit(good)


class NoisySegmenter(SSIMAutoencoderSegmenter):
    """Draws from a generator."""

    def make_module(self, n_channels, generator):
        module = super().make_module(n_channels, generator)
        module.encoder.insert(0, Noise(generator))
        return module


class Noise(nn.Module):
    def __init__(self, source):
        super().__init__()
        self.source = source

    def forward(self, patches):
        shape, device = patches.shape, patches.device
        return patches + 0.1 * torch.randn(shape, generator=self.source, device=device)


@pytest.mark.usefixtures("gpu")
def test_random_numbers_of_a_network_go_on(many_steps, good):
    losses = []
    for net_params in (None, RECORDED):
        params = many_steps | {"max_epochs": 4, "lr": 1e-9, "lr_schedule": None, "n_patches": 96}
        params |= {"cutout": 0, "callbacks": [("crops", SameCrops())]}
        fitted = NoisySegmenter(**params, net_params=net_params).fit(good)
        losses.append(fitted.history_[:, "train_loss"])
    assert losses[0] == losses[1]
    assert len(set(losses[1])) == len(losses[1])


class SameCrops(Callback):
    def on_epoch_begin(self, net, dataset_train, **kwargs):
        dataset_train.generator.manual_seed(0)


@pytest.mark.usefixtures("gpu")
def test_memory_is_given_back(many_steps, good):
    fitted = SSIMAutoencoderSegmenter(**many_steps, net_params=RECORDED).fit(good)
    assert fitted.net_._recorded is None


class NoGraph:
    """Stand-in for a CUDA graph: recording computes, and a replay does nothing."""

    def register_generator_state(self, generator):
        pass

    def replay(self):
        pass


class NoGenerator:
    state = "as if recording were still active"

    def clone_state(self):
        return "a copy"

    def graphsafe_set_state(self, state):
        self.state = state


class NoGenerators:
    """Stand-in for the default generators of all devices."""

    default = NoGenerator()

    def __getitem__(self, index):
        return self.default


class NoStream:
    def wait_stream(self, other):
        pass


@pytest.fixture
def without_gpu(monkeypatch):
    @contextmanager
    def capture(graph, stream, capture_error_mode):
        try:
            yield
        except BaseException:
            raise RuntimeError("the record had failed") from None

    @contextmanager
    def switch(stream):
        yield

    stand_ins = {
        "CUDAGraph": NoGraph, "Stream": lambda device: NoStream(), "graph": capture,
        "stream": switch, "set_stream": lambda stream: None,
        "current_stream": lambda device: NoStream(), "default_generators": NoGenerators(),
    }  # fmt: skip
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)


def make_step(compute, generators=()):
    """Return a recorded step of a parameter, and a function that takes steps of n patches."""
    weight = nn.Parameter(torch.ones(()))
    recorded = RecordedStep([weight], generators)

    def step(n_patches):
        weight.grad = None
        patches = torch.ones(n_patches, 1, 2, 2)
        return recorded(lambda *batch: compute(weight, *batch), patches, patches)

    return weight, step


@pytest.mark.usefixtures("without_gpu")
def test_each_size_of_batch_is_computed_three_times_then_recorded_then_replayed():
    calls = []

    def compute(weight, patches, target):
        assert patches is target
        calls.append(len(patches))
        loss = weight * patches.sum()
        loss.backward()
        return {"loss": loss}

    weight, step = make_step(compute)
    for n_patches in (4, 4, 4, 3, 4, 4, 4, 3, 3, 3, 3):
        result = step(n_patches)
        assert result["loss"] == weight.grad == 4 * n_patches
    assert calls == [4, 4, 4, 3, 4, 3, 3, 3]


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (
            RuntimeError("not while recording\nmore"),
            ValueError,
            r"cuda_graph.*\(not while recording\)",
        ),
        (torch.OutOfMemoryError("20 GiB"), torch.OutOfMemoryError, "20 GiB"),
        (TypeError("unsupported"), TypeError, "unsupported"),
        (KeyboardInterrupt("Ctrl-C"), KeyboardInterrupt, "Ctrl-C"),
    ],
)
def test_why_a_record_failed_is_said(error, raised, message):
    n_calls = 0

    def compute(weight, patches, target):
        nonlocal n_calls
        n_calls += 1
        if n_calls == 4:
            raise error
        return {"loss": weight * patches.sum()}

    generators = [NoGenerator(), NoGenerator()]
    _, step = make_step(compute, generators)
    for _ in range(3):
        step(1)
    NoGenerators.default.state = "as if recording were still active"
    with pytest.raises(raised, match=message):
        step(1)
    assert {generator.state for generator in (NoGenerators.default, *generators)} == {"a copy"}
