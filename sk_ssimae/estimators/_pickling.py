"""Modules whose pickles contain NumPy arrays instead of tensors.

The pickler of multiprocessing moves tensors into shared memory, on whatever device they are. A
tensor that exists only while a pickle is written is gone before the other process opens it.
"""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def for_pickling(module: nn.Module) -> nn.Module:
    """Return a copy of a module that can be pickled, and nothing else.

    Its pickle is one of the module itself, on the CPU: the copy has no tensors, but the arrays from
    which unpickling makes them. Layouts and shared weights stay as they are.
    """
    memo: dict[int, Any] = {
        id(tensor): _StoredTensor(tensor) for tensor in _tensors(module) if _is_plain(tensor)
    }
    return copy.deepcopy(module, memo)


class _StoredTensor:
    """Pickle of a tensor: its bytes, and everything that is needed to make it again."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def __reduce__(self) -> tuple[Any, ...]:
        tensor = self._tensor.detach()
        # Torch's choice for a copy: in the same order, without gaps and overlaps.
        stride = torch.empty_like(tensor, device="meta").stride()
        values = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
        values.copy_(tensor.cpu())
        return _restore, (
            *(values.flatten().view(torch.uint8).numpy(), tensor.dtype),
            *(tuple(tensor.shape), stride),
            *(isinstance(self._tensor, nn.Parameter), self._tensor.requires_grad),
        )


@torch.inference_mode(False)
def _restore(
    stored: NDArray[np.uint8],
    dtype: torch.dtype,
    shape: tuple[int, ...],
    stride: tuple[int, ...],
    is_parameter: bool,
    requires_grad: bool,
) -> Tensor:
    # A copy, because joblib opens large arrays as read-only memmaps.
    values = torch.from_numpy(np.array(stored)).view(dtype).reshape(shape)
    tensor = torch.empty_strided(shape, stride, dtype=dtype, device="cpu").copy_(values)
    if is_parameter:
        return nn.Parameter(tensor, requires_grad=requires_grad)
    return tensor.requires_grad_(requires_grad)


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    for part in module.modules():
        yield from part.parameters(recurse=False)
        yield from part.buffers(recurse=False)
        yield from (value for value in vars(part).values() if isinstance(value, Tensor))


def _is_plain(tensor: Tensor) -> bool:
    is_known = type(tensor) in (Tensor, nn.Parameter)
    return is_known and tensor.layout == torch.strided and not tensor.is_quantized
