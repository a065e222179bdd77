"""Segmenters in other processes, and the pickles that take them there."""

import copy
import io
import multiprocessing
import pickle
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from torch import nn

from sk_ssimae import FeatureMatchingAutoencoderSegmenter
from sk_ssimae.estimators._pickling import for_pickling


class Odd(nn.Module):
    """Network with weights that are shared, not contiguous, frozen or of other types."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        self.second = nn.Conv2d(3, 4, 3)
        self.second.weight = self.first.weight
        self.frozen = nn.Parameter(torch.rand(3, 5).T, requires_grad=False)
        self.narrow = nn.Parameter(torch.rand(2, 3).to(torch.bfloat16))
        self.register_buffer("count", torch.tensor(3))
        self.register_buffer("wide", torch.rand(3, 1).expand(3, 4))
        self.register_buffer("flags", torch.tensor([True, False]))
        self.attribute = torch.rand(2)[::2]
        self.lstm = nn.LSTM(2, 2)

    def tensors(self):
        return [*self.parameters(), *self.buffers(), self.attribute]


def through_multiprocessing(module):
    file = io.BytesIO()
    pickler = ForkingPickler(file)
    pickler.dump(for_pickling(module))
    return pickle.loads(file.getvalue())


@pytest.mark.parametrize(
    "transfer",
    [
        lambda module: pickle.loads(pickle.dumps(for_pickling(module))),
        lambda module: copy.deepcopy(for_pickling(module)),
        through_multiprocessing,
    ],
)
def test_a_module_comes_back_as_it_was(transfer):
    module = Odd()
    restored = transfer(module)
    assert restored.second.weight is restored.first.weight
    assert len(restored.tensors()) == len(module.tensors())
    for one, other in zip(restored.tensors(), module.tensors(), strict=True):
        assert (one.dtype, one.requires_grad, type(one)) == (
            other.dtype,
            other.requires_grad,
            type(other),
        )
        assert torch.equal(one, other)
        assert one.data_ptr() != other.data_ptr()
    assert restored.first.weight.stride() == module.first.weight.stride()
    assert restored.frozen.stride() == module.frozen.stride()
    restored.lstm(torch.rand(1, 1, 2))[0].sum().backward()


def test_a_pickle_has_no_tensors(segmenter_class, tiny, good):
    segmenter = segmenter_class(**tiny).fit(good)

    class NoTensors(pickle.Pickler):
        def reducer_override(self, obj):
            assert not isinstance(obj, torch.Tensor | torch.UntypedStorage)
            return NotImplemented

    NoTensors(io.BytesIO()).dump(segmenter)


def test_shallow_copies_work(segmenter_class, tiny, good):
    segmenter = segmenter_class(**tiny).fit(good)
    expected = segmenter.decision_function(good)
    copied = copy.copy(segmenter)
    assert copied.net_ is segmenter.net_
    copied.net_ = copy.copy(segmenter.net_)
    np.testing.assert_array_equal(copied.decision_function(good), expected)
    assert copied.get_params() == segmenter.get_params()


@pytest.fixture(scope="module")
def fitted(tiny, good):
    segmenter = FeatureMatchingAutoencoderSegmenter(
        **tiny, feature_extractor=nn.Conv2d(1, 2, 3)
    ).fit(good)
    segmenter.predict(good)  # It also makes the network for inference.
    return segmenter


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_segmenter_is_an_argument_of_a_process(fitted, good, method):
    process = multiprocessing.get_context(method).Process(target=fitted.predict, args=(good,))
    process.start()
    process.join()
    assert process.exitcode == 0


def test_processes_of_a_pool_compute_the_same(fitted, good):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.map(fitted.decision_function, [good[:2], good[2:]])
    np.testing.assert_array_equal(np.concatenate(found), fitted.decision_function(good))
