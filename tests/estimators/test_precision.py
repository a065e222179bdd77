import copy
import types

import joblib
import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae.estimators import _precision
from sk_ssimae.estimators._precision import resolve_precision
from sk_ssimae.persistence import load, save

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def with_instructions(monkeypatch):
    """Return a function that makes torch report these instructions of the processor."""

    def report(*names):
        capabilities = dict.fromkeys(names, True)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)

    return report


@pytest.fixture
def on_cpu(tiny):
    return tiny | {"device": "cpu"}


def weights(segmenter):
    state = segmenter.net_.module_.state_dict().values()
    return [tensor.numpy().tobytes() for tensor in state]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("avx2",), "float32"),
        (("avx2", "avx512_bf16"), "bf16"),
        (("avx2", "amx_bf16"), "bf16"),
        (("neon", "bf16"), "float32"),
        ((), "float32"),
    ],
)
def test_instructions_of_the_processor_decide(with_instructions, names, expected):
    with_instructions(*names)
    assert resolve_precision("auto", CPU) == expected
    assert resolve_precision("fp16", CPU) == "fp16"


def test_float32_where_torch_reports_no_instructions(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert resolve_precision("auto", CPU) == "float32"


def test_float32_without_onednn(with_instructions, monkeypatch):
    with_instructions("amx_bf16")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert resolve_precision("auto", CPU) == "float32"


@pytest.mark.parametrize(("has_cores", "expected"), [(True, "bf16"), (False, "float32")])
def test_tensor_cores_decide_on_a_gpu(with_instructions, monkeypatch, has_cores, expected):
    asked = []

    class Entered:
        def __init__(self, device):
            self.device = device

        def __enter__(self):
            asked.append(self.device)

        def __exit__(self, *args):
            pass

    def is_bf16_supported(including_emulation=True):
        return has_cores or including_emulation

    cuda = types.SimpleNamespace(device=Entered, is_bf16_supported=is_bf16_supported)
    monkeypatch.setattr(torch, "cuda", cuda)
    with_instructions(*([] if has_cores else ["amx_bf16"]))
    assert resolve_precision("auto", GPU) == expected
    assert asked == [GPU]


def test_other_devices_compute_in_float32(with_instructions):
    with_instructions("amx_bf16")
    assert resolve_precision("auto", torch.device("mps")) == "float32"


@pytest.mark.parametrize(("names", "expected"), [(["amx_bf16"], "bf16"), ([], "float32")])
def test_auto_trains_as_the_precision_that_it_chooses(
    on_cpu, good, with_instructions, names, expected
):
    with_instructions(*names)
    chosen = [SSIMAutoencoderSegmenter(**on_cpu, precision="auto").fit(good) for _ in range(2)]
    given = SSIMAutoencoderSegmenter(**on_cpu, precision=expected).fit(good)
    assert chosen[0].precision_ == given.precision_ == expected
    assert weights(chosen[0]) == weights(chosen[1]) == weights(given)
    other = SSIMAutoencoderSegmenter(
        **on_cpu, precision="float32" if expected == "bf16" else "bf16"
    ).fit(good)
    assert weights(other) != weights(given)


def test_the_choice_is_stored(on_cpu, good, with_instructions, tmp_path):
    with_instructions("avx512_bf16")
    segmenter = SSIMAutoencoderSegmenter(**on_cpu, precision="auto").fit(good)
    save(segmenter, tmp_path / "model")
    joblib.dump(segmenter, tmp_path / "pickle")
    with_instructions()
    for loaded in (load(tmp_path / "model"), joblib.load(tmp_path / "pickle")):
        assert (loaded.precision, loaded.precision_) == ("auto", "bf16")
        maps = [each.decision_function(good[:1]) for each in (loaded, segmenter)]
        np.testing.assert_array_equal(*maps)
        # More training is in the precision of the machine that it runs on.
        assert copy.deepcopy(loaded).partial_fit(good).precision_ == "float32"


def test_memory_tells_choices_apart(on_cpu, good, with_instructions, tmp_path):
    segmenter = SSIMAutoencoderSegmenter(**on_cpu, precision="auto", memory=tmp_path)
    with_instructions("amx_bf16")
    in_bf16 = copy.deepcopy(segmenter).fit(good)
    with_instructions()
    assert copy.deepcopy(segmenter).fit(good).precision_ == "float32"
    with_instructions("amx_bf16")
    recalled = copy.deepcopy(segmenter).fit(good)
    assert recalled.precision_ == "bf16"
    assert weights(recalled) == weights(in_bf16)


class Killed(Callback):
    """Raise an error in the second epoch."""

    is_armed = True

    def on_epoch_begin(self, net, **kwargs):
        if Killed.is_armed and len(net.history) == 2:
            raise MemoryError


@pytest.mark.parametrize("begins_in", ["bf16", "float32"])
def test_a_resumed_fit_keeps_its_precision(
    on_cpu, good, with_instructions, tmp_path, monkeypatch, begins_in
):
    has = {"bf16": ["amx_bf16"], "float32": []}
    with_instructions(*has[begins_in])
    uninterrupted = SSIMAutoencoderSegmenter(**on_cpu, precision="auto").fit(good)
    segmenter = SSIMAutoencoderSegmenter(
        **on_cpu, precision="auto", checkpoint_dir=tmp_path, callbacks=[Killed()]
    )
    with pytest.raises(MemoryError):
        copy.deepcopy(segmenter).fit(good)
    monkeypatch.setattr(Killed, "is_armed", False)
    with_instructions(*has["float32" if begins_in == "bf16" else "bf16"])  # On another machine.
    resumed = segmenter.fit(good)
    assert resumed.precision_ == begins_in
    assert weights(resumed) == weights(uninterrupted)


def test_all_precisions_have_a_type():
    assert _precision.DTYPES.keys() == {*_precision.PRECISIONS}
