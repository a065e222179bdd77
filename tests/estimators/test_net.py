import io

import joblib
import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from sk_ssimae import SSIMAutoencoderSegmenter


class CountHostReads(TorchDispatchMode):
    """Count what makes a GPU wait: numbers that the host reads, and tensors made of its numbers."""

    def __init__(self):
        super().__init__()
        self.n_reads = self.n_calls = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.n_calls += 1
        name = function.overloadpacket.__name__
        self.n_reads += name in ("_local_scalar_dense", "nonzero", "equal", "lift_fresh")
        return function(*args, **kwargs or {})


def host_reads(segmenter, images):
    """Count reads while fitting once, and while fitting twice as many patches; calls likewise."""
    counts = []
    for n_patches in (64, 128):
        with CountHostReads() as count:
            segmenter.set_params(n_patches=n_patches, threshold=1.0).fit(images)
        counts.append((count.n_reads, count.n_calls))
    return zip(*counts, strict=True)


def test_steps_do_not_wait_for_the_device(segmenter_class, tiny, good):
    reads, calls = host_reads(segmenter_class(**tiny, augmentation="dihedral"), good)
    assert calls[1] > 1.5 * calls[0]
    assert reads[1] == reads[0]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_steps_in_half_precision_do_not_wait_either(tiny, good, precision):
    segmenter = SSIMAutoencoderSegmenter(**tiny, net_params={"precision": precision})
    reads, _ = host_reads(segmenter, good)
    assert reads[1] == reads[0]


def test_the_count_sees_a_read(tiny, good):
    class Impatient(Callback):
        def on_batch_end(self, net, loss=None, **kwargs):
            loss.item()

    reads, _ = host_reads(SSIMAutoencoderSegmenter(**tiny, callbacks=[Impatient()]), good)
    assert reads[1] == reads[0] + 8


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.half)])
def test_precision_is_that_of_the_products_alone(tiny, good, precision, dtype):
    seen = set()

    def watch(layer, inputs, output):
        if isinstance(layer, nn.Conv2d):
            seen.add((layer.training, output.dtype))

    exact = SSIMAutoencoderSegmenter(**tiny).fit(good)
    segmenter = SSIMAutoencoderSegmenter(**tiny, net_params={"precision": precision})
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


def test_losses_are_scaled_for_fp16_and_gradients_are_not(tiny, good):
    def largest_gradient(**net_params):
        largest = []

        class Watch(torch.optim.Adam):
            def step(self, closure=None):
                loss = super().step(closure)
                group = self.param_groups[0]["params"]
                largest.append(max(float(p.grad.abs().max()) for p in group))
                return loss

        SSIMAutoencoderSegmenter(
            **tiny, lr_schedule=None, net_params={"optimizer": Watch, **net_params}
        ).fit(good)
        return largest[0]

    exact = largest_gradient()
    assert largest_gradient(precision="fp16") == pytest.approx(exact, rel=0.1)


def test_unknown_precision(tiny, good):
    segmenter = SSIMAutoencoderSegmenter(**tiny, net_params={"precision": "half"})
    with pytest.raises(
        ValueError, match=r"one of \['float32', 'bf16', 'fp16'\], got 'half' instead"
    ):
        segmenter.fit(good)


@pytest.mark.filterwarnings("default")  # Tracing warns of what it does itself.
def test_compiled_training_is_the_same_training(tiny, good):
    # This backend computes as without it, but for rounding, which batch normalization would blow
    # up. That it compiles as a whole shows that nothing breaks the graph.
    compiled = {"compile": True, "compile__backend": "eager", "compile__fullgraph": True}
    params = {**tiny, "normalization": None}
    plain = SSIMAutoencoderSegmenter(**params).fit(good)
    segmenter = SSIMAutoencoderSegmenter(**params, net_params=compiled).fit(good)
    losses, plain_losses = (s.history_[:, "train_loss"] for s in (segmenter, plain))
    np.testing.assert_allclose(losses, plain_losses, rtol=1e-4)
    stored = io.BytesIO()
    joblib.dump(segmenter, stored)
    maps = joblib.load(stored).decision_function(good)
    np.testing.assert_array_equal(maps, segmenter.decision_function(good))
