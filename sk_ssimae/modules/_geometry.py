"""How far the layers of a network see, found by probing it with noise."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

# The sides of two probes differ by a multiple of all common strides.
_SIDE, _DIFFERENCE = 128, 480
_POINTWISE = (
    *(nn.BatchNorm2d, nn.Identity, nn.Dropout, nn.Dropout2d, nn.LocalResponseNorm, nn.Softplus),
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Hardswish, nn.Hardtanh, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh),
)
_WINDOWED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)


class Geometry(NamedTuple):
    """Strides of the outputs of a network, and how far they see.

    Attributes
    ----------
    strides : tuple of int
        Pixels between neighbouring values of each output.
    reach : int
        Number of pixels on each side of a value, an upper bound, on which it depends.
    """

    strides: tuple[int, ...]
    reach: int


def find_geometry(
    network: nn.Module, outputs: Callable[[Tensor], Sequence[Tensor]], n_channels: int
) -> Geometry:
    """Find the strides and the reach of outputs of a network.

    Parameters
    ----------
    network : Module
        The network, in evaluation mode.
    outputs : callable
        Computes the outputs (1, K, h, w) of images (1, C, H, W), on the CPU, with the network.
    n_channels : int
        Number of channels C.

    Raises
    ------
    ValueError
        If a value depends on the whole image, or that cannot be ruled out; the message says why.
    """
    small, calls = _probe(network, outputs, (1, n_channels, _SIDE, _SIDE))
    wide, wide_calls = _probe(network, outputs, (1, n_channels, _SIDE, _SIDE + _DIFFERENCE))
    tall, _ = _probe(network, outputs, (1, n_channels, _SIDE + _DIFFERENCE, _SIDE))
    strides, others = (
        tuple(_stride(one, two, axis, "a layer") for one, two in zip(small, longer, strict=True))
        for axis, longer in ((3, wide), (2, tall))
    )
    if strides != others:
        raise ValueError("strides differ between height and width")
    reach = sum(
        _window(module) * _stride(one, other, 3, type(module).__name__)
        for (module, one), (_, other) in zip(calls, wide_calls, strict=True)
    )
    _check_reach(outputs, reach, strides, n_channels)
    return Geometry(strides, reach)


def _probe(
    network: nn.Module, outputs: Callable[[Tensor], Sequence[Tensor]], shape: tuple[int, ...]
) -> tuple[Sequence[Tensor], list[tuple[nn.Module, Tensor]]]:
    """Compute outputs of noise, and the inputs of all modules with windows."""
    calls: list[tuple[nn.Module, Tensor]] = []

    def note(module: nn.Module, inputs: Any, _output: Any) -> None:
        if isinstance(module, _WINDOWED):
            calls.append((module, inputs[0]))
        elif not isinstance(module, _POINTWISE):
            raise ValueError(f"{type(module).__name__} may depend on the whole image")

    leaves = [module for module in network.modules() if not [*module.children()]]
    handles = [leaf.register_forward_hook(note) for leaf in leaves]
    try:
        found = outputs(_noise(shape))
    finally:
        for handle in handles:
            handle.remove()
    return found, calls


def _stride(one: Tensor, other: Tensor, axis: int, name: str) -> int:
    more = other.shape[axis] - one.shape[axis]
    if more <= 0 or _DIFFERENCE % more:
        raise ValueError(f"{name} has {more} values for {_DIFFERENCE} pixels, not one every few")
    return _DIFFERENCE // more


def _window(module: nn.Module) -> int:
    """Return how many values of its input a module sees on one side at most."""
    sizes, dilations = _pair(module.kernel_size), _pair(getattr(module, "dilation", 1))
    return max(dilation * (size - 1) for size, dilation in zip(sizes, dilations, strict=True))


def _pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _check_reach(
    outputs: Callable[[Tensor], Sequence[Tensor]],
    reach: int,
    strides: tuple[int, ...],
    n_channels: int,
) -> None:
    """Check that pixels beyond the reach change nothing: not all operations are modules."""
    side = _SIDE + _DIFFERENCE * (1 + 2 * reach // _DIFFERENCE)
    image = _noise((1, n_channels, _SIDE, side))
    changed = image.clone()
    changed[..., side // 2 + reach :] = 1 - changed[..., side // 2 + reach :]
    for one, other, stride in zip(outputs(image), outputs(changed), strides, strict=True):
        first = side // 2 // stride
        if not torch.allclose(one[..., :first], other[..., :first], atol=1e-5):
            raise ValueError("an operation that is no module depends on the whole image")


def _noise(shape: tuple[int, ...]) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))
