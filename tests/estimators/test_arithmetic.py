import threading

import pytest
import torch

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae.estimators import _arithmetic, _autoencoder, _training
from sk_ssimae.estimators._arithmetic import reproducible

# Builds of torch without CUDA have these settings too.
CUDNN = torch.backends.cudnn
CUDA = torch.device("cuda")
OF_THE_PROCESS = False, True, True, "medium"
REPRODUCIBLE = True, False, False, "highest"


@pytest.fixture(autouse=True)
def _settings_of_the_process():
    before = settings()
    write(OF_THE_PROCESS)
    yield
    write(before)


def settings():
    precision = torch.get_float32_matmul_precision()
    return CUDNN.deterministic, CUDNN.benchmark, CUDNN.allow_tf32, precision


def write(values):
    CUDNN.deterministic, CUDNN.benchmark, CUDNN.allow_tf32, precision = values
    torch.set_float32_matmul_precision(precision)


def test_settings_hold_inside_and_come_back():
    with reproducible(CUDA):
        assert settings() == REPRODUCIBLE
        with pytest.raises(KeyError), reproducible(CUDA):
            raise KeyError
        assert settings() == REPRODUCIBLE
    assert settings() == OF_THE_PROCESS


def test_other_devices_leave_them_alone():
    with reproducible(torch.device("cpu")):
        assert settings() == OF_THE_PROCESS


def test_they_hold_until_the_last_thread_has_computed():
    entered, leave = threading.Event(), threading.Event()

    def compute():
        with reproducible(CUDA):
            entered.set()
            leave.wait(10)

    with reproducible(CUDA):
        thread = threading.Thread(target=compute)
        thread.start()
        assert entered.wait(10)
    assert settings() == REPRODUCIBLE
    leave.set()
    thread.join()
    assert settings() == OF_THE_PROCESS


@pytest.mark.skipif(not hasattr(CUDNN, "conv"), reason="torch has one setting for all layers")
def test_where_layers_are_set_apart():
    matmul = torch.backends.cuda.matmul
    owners = CUDNN.conv, CUDNN.rnn, matmul
    before = [owner.fp32_precision for owner in owners]
    apart = ["tf32", "ieee", "tf32"]
    torch.set_float32_matmul_precision("highest")
    try:
        for owner, precision in zip(owners, apart, strict=True):
            owner.fp32_precision = precision
        with reproducible(CUDA):
            assert [CUDNN.conv.fp32_precision, matmul.fp32_precision] == ["ieee", "ieee"]
        assert [owner.fp32_precision for owner in owners] == apart
    finally:
        for owner, precision in zip(owners, before, strict=True):
            owner.fp32_precision = precision


def test_training_and_inference_compute_so(tiny, good, monkeypatch):
    for module in (_training, _autoencoder):  # On any device.
        monkeypatch.setattr(module, "reproducible", lambda device: _arithmetic.reproducible(CUDA))
    seen = []

    def watch(module, inputs, output):
        seen.append(settings())

    segmenter = SSIMAutoencoderSegmenter(**tiny, threshold=1.0)
    with torch.nn.modules.module.register_module_forward_hook(watch):
        segmenter.fit(good)
        n_in_training = len(seen)
        segmenter.decision_function(good)
        n_in_both = len(seen)
        segmenter.reconstruct(good)
    assert 0 < n_in_training < n_in_both < len(seen)
    assert set(seen) == {REPRODUCIBLE}
