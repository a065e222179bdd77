"""Full precision and reproducible results, on a GPU too."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch

_lock = threading.Lock()
_n_computing = 0
_undo: list[Callable[[], None]] = []


class _Setting(NamedTuple):
    """A setting of the process, and its required value."""

    read: Callable[[], Any]
    write: Callable[[Any], None]
    value: Any


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
    global _n_computing
    with _lock:
        if _n_computing == 0:
            _set()
        _n_computing += 1
    try:
        yield
    finally:
        with _lock:
            _n_computing -= 1
            while _n_computing == 0 and _undo:
                _undo.pop()()


def _set() -> None:
    for setting in _settings():
        _undo.append(partial(setting.write, setting.read()))
        setting.write(setting.value)


def _settings() -> Iterator[_Setting]:
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


def _attribute(owner: Any, name: str, value: Any) -> _Setting:
    return _Setting(partial(getattr, owner, name), partial(setattr, owner, name), value)


def _readable(setting: _Setting) -> bool:
    try:
        setting.read()
    except RuntimeError:
        return False
    return True
