"""Full precision and reproducible results, whatever a process has set, on a GPU too."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch


class _Setting(NamedTuple):
    """A setting of the process, and its required value."""

    read: Callable[[], Any]
    write: Callable[[Any], None]
    value: Any


class _SharedSettings:
    """Settings of the process, restored when the last of its threads has finished."""

    def __init__(self, settings: Callable[[], Iterable[_Setting]]) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._n_computing = 0
        self._undo: list[Callable[[], None]] = []

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Set the required values."""
        with self._lock:
            if self._n_computing == 0:
                self._set()
            self._n_computing += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_computing -= 1
                while self._n_computing == 0 and self._undo:
                    self._undo.pop()()

    def _set(self) -> None:
        for setting in self._settings():
            self._undo.append(partial(setting.write, setting.read()))
            setting.write(setting.value)


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Make a GPU round as float32 does, and add in the same order each time.

    Otherwise torch rounds the factors of convolutions to 11 bits (TF32), and those of matrix
    products if a process asks for it, so that results depend on the batch size, and gradients are
    added in a random order. The settings belong to the process; they are restored when the last of
    its threads has finished.

    Parameters
    ----------
    device : torch.device
        Device of the computation; only "cuda" has these settings.
    """
    if device.type != "cuda":
        yield
        return
    with _OF_GPU.hold():
        yield


@contextmanager
def torch_defaults() -> Iterator[None]:
    """Compute as if the process had changed none of torch's defaults.

    New tensors are float32 and on the CPU unless their maker says otherwise, gradients are
    recorded, and autocast is off: whatever the caller has set, results are the same, and networks
    can be trained. The default type belongs to the process; it is restored when the last of its
    threads has finished.
    """
    with ExitStack() as stack:
        stack.enter_context(_OF_TENSORS.hold())
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        # Entered only where needed: each slows all operations down.
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for device in _WITH_AUTOCAST:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def _rounding() -> Iterator[_Setting]:
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    yield _attribute(cudnn, "deterministic", True)
    yield _attribute(cudnn, "benchmark", False)
    # Since torch 2.9 there are settings per kind of layer. The older names, which compilation
    # reads, raise an error in a process that uses the new ones.
    convolutions = _attribute(cudnn, "allow_tf32", False)
    products = _Setting(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"
    )
    yield (
        convolutions
        if _readable(convolutions)
        else _attribute(cudnn.conv, "fp32_precision", "ieee")
    )
    yield products if _readable(products) else _attribute(matmul, "fp32_precision", "ieee")


def _default_type() -> Iterator[_Setting]:
    yield _Setting(torch.get_default_dtype, torch.set_default_dtype, torch.float32)


def _attribute(owner: Any, name: str, value: Any) -> _Setting:
    return _Setting(partial(getattr, owner, name), partial(setattr, owner, name), value)


def _readable(setting: _Setting) -> bool:
    try:
        setting.read()
    except RuntimeError:
        return False
    return True


_WITH_AUTOCAST = ("cpu", "cuda")
_OF_GPU = _SharedSettings(_rounding)
_OF_TENSORS = _SharedSettings(_default_type)
