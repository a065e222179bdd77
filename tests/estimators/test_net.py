import copy
import gc
import io
import pickle
import warnings
import weakref

import joblib
import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn
from torch.overrides import TorchFunctionMode

from sk_ssimae import (
    FeatureMatchingAutoencoderSegmenter,
    GenerativeAdversarialSegmenter,
    L2AutoencoderSegmenter,
    SSIMAutoencoderSegmenter,
    VariationalAutoencoderSegmenter,
)
from sk_ssimae.estimators import _sampler
from sk_ssimae.estimators._sampler import _DevicePixels

READS = {
    "item", "tolist", "numpy", "cpu", "__array__", "__bool__", "__int__", "__float__", "__index__",
    "nonzero", "argwhere", "masked_select", "unique", "equal", "allclose",
    "tensor", "as_tensor", "from_numpy",
}  # fmt: skip


class CountHostReads(TorchFunctionMode):
    """Count calls that make a GPU wait: reads by the host, and tensors made from its numbers."""

    def __init__(self):
        super().__init__()
        self.n_reads = self.n_calls = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.n_calls += 1
        name = getattr(function, "__name__", "")
        selects = name in ("__getitem__", "__setitem__") and any(
            isinstance(index, torch.Tensor) and index.dtype == torch.bool
            for index in (args[1] if isinstance(args[1], tuple) else args[1:2])
        )
        self.n_reads += selects or name in READS
        return function(*args, **kwargs or {})


@pytest.fixture(autouse=True)
def on_device(monkeypatch):
    """Cut patches as on a GPU, from pixels that the host does not see."""
    device = torch.device("cpu")
    monkeypatch.setattr(_sampler, "_HostPixels", lambda images: _DevicePixels(images, device))


def host_reads(segmenter, images):
    """Count reads and calls of a fit, and of one with twice as many patches."""
    counts = []
    for n_patches in (256, 512):
        with CountHostReads() as count:
            segmenter.set_params(n_patches=n_patches, threshold=1.0).fit(images)
        counts.append((count.n_reads, count.n_calls))
    return zip(*counts, strict=True)


def test_steps_do_not_wait_for_the_device(segmenter_class, tiny, good):
    reads, calls = host_reads(segmenter_class(**tiny, augmentation="dihedral"), good)
    assert calls[1] > 1.3 * calls[0]
    assert reads[1] == reads[0]


def test_steps_between_checkpoints_do_not_wait_either(tiny, good, tmp_path):
    reads, _ = host_reads(SSIMAutoencoderSegmenter(**tiny, checkpoint_dir=tmp_path), good)
    assert reads[1] == reads[0]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_steps_in_half_precision_do_not_wait_either(tiny, good, precision):
    segmenter = SSIMAutoencoderSegmenter(**tiny, precision=precision)
    reads, _ = host_reads(segmenter, good)
    assert reads[1] == reads[0]


@pytest.mark.parametrize(
    "read",
    [
        lambda loss: loss.item(),
        lambda loss: loss.tolist(),
        lambda loss: loss.detach().cpu(),
        lambda loss: bool(loss > 0),
        lambda loss: loss[loss > 0],
        lambda loss: torch.tensor(1.0),
    ],
)
def test_the_count_sees_reads(tiny, good, read):
    class Impatient(Callback):
        def on_batch_end(self, net, loss=None, **kwargs):
            read(loss)

    reads, _ = host_reads(SSIMAutoencoderSegmenter(**tiny, callbacks=[Impatient()]), good)
    assert reads[1] == reads[0] + 32


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.half)])
def test_precision_is_that_of_the_products_alone(tiny, good, precision, dtype):
    seen = set()

    def watch(layer, inputs, output):
        if isinstance(layer, nn.Conv2d):
            seen.add((layer.training, output.dtype))

    exact = SSIMAutoencoderSegmenter(**tiny).fit(good)
    segmenter = SSIMAutoencoderSegmenter(**tiny, precision=precision)
    handle = nn.modules.module.register_module_forward_hook(watch)
    try:
        segmenter.fit(good)
    finally:
        handle.remove()
    assert seen == {(True, dtype), (False, torch.float32)}
    assert {p.dtype for p in segmenter.net_.module_.parameters()} == {torch.float32}
    losses, exact_losses = (s.history_[:, "train_loss"] for s in (segmenter, exact))
    assert losses != exact_losses
    np.testing.assert_allclose(losses, exact_losses, rtol=0.1)


def test_callbacks_see_gradients_as_they_are(tiny, good):
    class Watch(Callback):
        def on_train_begin(self, net, **kwargs):
            self.largest = []

        def on_grad_computed(self, net, named_parameters, **kwargs):
            self.largest.append(max(float(p.grad.abs().max()) for _, p in named_parameters))

    def largest_gradient(precision):
        segmenter = SSIMAutoencoderSegmenter(**tiny, callbacks=[Watch()], precision=precision)
        return dict(segmenter.fit(good).net_.callbacks_)["Watch"].largest[0]

    # The loss of fp16 is a thousand times as large.
    assert largest_gradient("fp16") == pytest.approx(largest_gradient("float32"), rel=0.1)


def test_fp16_takes_steps_though_a_loss_sums_over_pixels(tiny, good):
    params = {**tiny, "threshold": 1.0, "max_epochs": 4}
    segmenter = L2AutoencoderSegmenter(**params, precision="fp16").fit(good)
    losses = segmenter.history_[:, "train_loss"]
    exact = L2AutoencoderSegmenter(**params).fit(good).history_[:, "train_loss"]
    np.testing.assert_allclose(losses, exact, rtol=0.1)
    assert segmenter.net_._scaler.get_scale() > 1


def test_fp16_works_with_other_optimisers(tiny, good):
    params = {**tiny, "max_epochs": 6, "lr_schedule": None}
    net_params = {"optimizer": torch.optim.SGD, "optimizer__lr": 0.1}
    segmenter = SSIMAutoencoderSegmenter(**params, precision="fp16", net_params=net_params)
    segmenter.fit(good)
    losses = segmenter.history_[:, "train_loss"]
    assert losses[-1] < losses[0]


def test_unknown_precision(tiny, good):
    with pytest.raises(ValueError, match=r"'precision' parameter .* must be a str among"):
        SSIMAutoencoderSegmenter(**tiny, precision="half").fit(good)
    with pytest.raises(
        ValueError, match=r"names that the segmenter sets itself, got \['precision'"
    ):
        SSIMAutoencoderSegmenter(**tiny, net_params={"precision": "bf16"}).fit(good)


@pytest.mark.filterwarnings("default")  # Tracing warns of its own operations.
def test_compiled_training_is_the_same_training(segmenter_class, tiny, good):
    if segmenter_class is GenerativeAdversarialSegmenter:
        pytest.skip("It refuses compilation: see test_generative.py.")
    # This backend only rounds differently, which batch normalization and the first steps of Adam
    # would amplify.
    sgd = {"optimizer": torch.optim.SGD}
    compiled = {**sgd, "compile": True, "compile__backend": "eager"}
    # The evidence lower bound sums over a patch and diverges at the learning rate of the others.
    lr = 1e-5 if segmenter_class is VariationalAutoencoderSegmenter else 4e-3
    params = {**tiny, "normalization": None, "lr": lr}
    plain = segmenter_class(**params, net_params=sgd).fit(good)
    segmenter = segmenter_class(**params, net_params=compiled).fit(good)
    losses, plain_losses = (s.history_[:, "train_loss"] for s in (segmenter, plain))
    np.testing.assert_allclose(losses, plain_losses, rtol=1e-4)
    stored = io.BytesIO()
    joblib.dump(segmenter, stored)
    maps = joblib.load(stored).decision_function(good)
    np.testing.assert_array_equal(maps, segmenter.decision_function(good))


@pytest.mark.filterwarnings("default")
def test_nothing_breaks_the_graph_of_the_ssim_segmenter(tiny, good):
    net_params = {"compile": True, "compile__backend": "aot_eager", "compile__fullgraph": True}
    SSIMAutoencoderSegmenter(**tiny, net_params=net_params).fit(good)


def test_maps_are_computed_without_compilation(tiny, good):
    calls = []

    def backend(graph, inputs):
        calls.append(graph)
        return graph.forward

    segmenter = SSIMAutoencoderSegmenter(
        **tiny, threshold=1.0, normalization=None,
        net_params={"compile": True, "compile__backend": backend},
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Tracing warns of its own operations.
        segmenter.fit(good)
    n_calls = len(calls)
    assert n_calls > 0
    segmenter.decision_function(good)
    assert len(calls) == n_calls


def test_the_network_of_inference_follows_the_trained_one(tiny, good):
    segmenter = SSIMAutoencoderSegmenter(**tiny, threshold=1.0).fit(good)
    device = next(segmenter.net_.module_.parameters()).device
    windows = torch.rand(2, 1, 16, 16).to(device)
    made = segmenter.net_.inference_module_
    with torch.no_grad():
        before = segmenter.reconstruct_patches(windows)
        for copied in (copy.deepcopy(segmenter), pickle.loads(pickle.dumps(segmenter))):
            copied.net_.prepare_inference(device)
            assert torch.equal(copied.reconstruct_patches(windows), before)
        segmenter.decision_function(good)
        assert segmenter.net_.inference_module_ is made
        segmenter.net_.module_.decoder[-1].bias.add_(1)
        torch.testing.assert_close(segmenter.reconstruct_patches(windows), before + 1)


def test_other_implementations_of_adam(tiny, good):
    net_params = {"optimizer__foreach": True}
    segmenter = SSIMAutoencoderSegmenter(**tiny, net_params=net_params).fit(good)
    assert segmenter.net_.optimizer_.param_groups[0]["foreach"]
    assert not segmenter.net_.optimizer_.param_groups[0]["fused"]


def pickled_devices(thing):
    """Return the devices of all tensors in a pickle, and "generator" for generators."""
    devices = set()

    class Recorder(pickle.Pickler):
        def reducer_override(self, part):
            if isinstance(part, torch.Tensor | torch.UntypedStorage):
                devices.add(part.device.type)
                return float, ()
            if isinstance(part, torch.Generator):
                devices.add("generator")
                return float, ()
            return NotImplemented

    Recorder(io.BytesIO()).dump(thing)
    return devices


@pytest.fixture
def other_device(monkeypatch):
    """Return a device that stands for a GPU: no tensor of it may be in a pickle."""
    bring = torch.Tensor.cpu

    def cpu(tensor):
        return torch.full_like(tensor, 1e-3, device="cpu") if tensor.is_meta else bring(tensor)

    monkeypatch.setattr(torch.Tensor, "cpu", cpu)
    return torch.device("meta")


def test_pickles_made_on_a_gpu_open_without_one(segmenter_class, tiny, good, other_device):
    segmenter = segmenter_class(**tiny).fit(good)
    net = segmenter.net_
    modules = [net.module_, net.criterion_]
    net.criterion_.register_buffer("some", torch.ones(3))  # Not all losses have a buffer.
    if isinstance(segmenter, FeatureMatchingAutoencoderSegmenter):
        segmenter.feature_extractor = nn.Linear(2, 2)
        modules.append(segmenter.feature_extractor)
    for module in modules:
        module.to(other_device)
    net.device, segmenter.device = other_device, "auto"
    assert pickled_devices([module.state_dict() for module in modules]) == {"meta"}
    assert pickled_devices(segmenter) == set()
    loaded = pickle.loads(pickle.dumps(segmenter))
    assert loaded.net_.device == "cpu"
    assert loaded.predict(good).shape == good.shape
    assert {tensor.device for tensor in net.module_.parameters()} == {other_device}  # Unchanged.


def test_a_net_is_gone_with_its_last_reference(tiny, good):
    segmenter = SSIMAutoencoderSegmenter(**tiny).fit(good)
    net = weakref.ref(segmenter.net_)
    gc.collect()
    gc.disable()
    try:
        del segmenter
        assert net() is None
    finally:
        gc.enable()
