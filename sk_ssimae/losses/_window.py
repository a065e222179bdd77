"""The window of SSIM: its weights, and the averages under it."""

import math
from numbers import Integral
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

Window = Literal["uniform", "gaussian"]


def window_weights(window_size: int, window: Window) -> Tensor:
    """Compute the one-dimensional weights of a separable window.

    Parameters
    ----------
    window_size : int
        Side of the window in pixels: odd, at least 3.
    window : {"uniform", "gaussian"}
        Kind of the weights.

    Returns
    -------
    Tensor of shape (window_size,), float64
        Non-negative, symmetric, of sum 1.

    Raises
    ------
    ValueError
        If `window_size` is even or below 3, or `window` is unknown.
    """
    if not isinstance(window_size, Integral) or window_size < 3 or window_size % 2 == 0:
        raise ValueError(
            f"window_size must be an odd integer of at least 3, got {window_size!r} instead."
        )
    if window == "uniform":
        weights = torch.ones(window_size, dtype=torch.float64)
    elif window == "gaussian":
        offsets = torch.arange(window_size, dtype=torch.float64) - window_size // 2
        weights = torch.exp(-0.5 * (offsets / (1.5 * window_size / 11)) ** 2)
    else:
        raise ValueError(f"window must be 'uniform' or 'gaussian', got {window!r} instead.")
    return weights / weights.sum()


def window_mean(maps: Tensor, kernel: Tensor) -> Tensor:
    """Average maps under a separable window, at fully covered positions.

    All maps are folded into the channels of one depthwise convolution per axis: on a CPU ten times
    faster than convolutions with one channel each. In float64, which has no such convolution on a
    CPU, shifted maps are added up, seven times faster.

    Parameters
    ----------
    maps : Tensor of shape (..., H, W)
        Maps to average.
    kernel : Tensor of shape (K,)
        Weights along one axis.

    Returns
    -------
    Tensor of shape (..., H - K + 1, W - K + 1)
        The averages.
    """
    if maps.dtype == torch.float64:
        return _sum_of_shifted(_sum_of_shifted(maps, kernel, -1), kernel, -2)
    channels = _as_channels(maps)
    n_maps = channels.shape[1]
    weights = kernel.to(maps).expand(n_maps, 1, 1, -1)
    channels = nn.functional.conv2d(channels, weights, groups=n_maps)
    channels = nn.functional.conv2d(channels, weights.mT, groups=n_maps)
    return channels.reshape(*maps.shape[:-2], *channels.shape[-2:])


def window_mean_transposed(maps: Tensor, kernel: Tensor) -> Tensor:
    """Transpose :func:`window_mean`: bring gradients by averages back to what was averaged.

    Parameters
    ----------
    maps : Tensor of shape (..., H - K + 1, W - K + 1)
        Gradients by the averages.
    kernel : Tensor of shape (K,)
        Weights along one axis.

    Returns
    -------
    Tensor of shape (..., H, W)
        Gradients by the maps.
    """
    channels = _as_channels(maps)
    _, n_maps, height, width = channels.shape
    overhang = kernel.shape[0] - 1
    weights = kernel.to(maps).expand(n_maps, 1, 1, -1)
    # Several times faster on a CPU than the same as conv_transpose2d or with zeros for padding.
    for shape, weights_of_axis in (
        ((1, n_maps, height + overhang, width), weights.mT),
        ((1, n_maps, height + overhang, width + overhang), weights),
    ):
        channels = conv2d_input(  # type: ignore[no-untyped-call]
            shape, weights_of_axis, channels, groups=n_maps
        )
    return channels.reshape(*maps.shape[:-2], *channels.shape[-2:])


def mirrored_indices(n: int, width: int) -> Tensor:
    """Give the indices of n elements with `width` more mirrored at each end, the ends included."""
    return torch.from_numpy(np.pad(np.arange(n), width, mode="symmetric"))


def pad_symmetric(images: Tensor, width: int) -> Tensor:
    """Mirror the borders of images (..., H, W)."""
    rows, columns = (mirrored_indices(n, width).to(images.device) for n in images.shape[-2:])
    return images.index_select(-2, rows).index_select(-1, columns)


def _sum_of_shifted(maps: Tensor, kernel: Tensor, axis: int) -> Tensor:
    length = maps.shape[axis] - len(kernel) + 1
    total = maps.narrow(axis, 0, length) * kernel[0]
    for shift in range(1, len(kernel)):
        total.addcmul_(maps.narrow(axis, shift, length), kernel[shift])
    return total


def _as_channels(maps: Tensor) -> Tensor:
    return maps.reshape(1, math.prod(maps.shape[:-2]), *maps.shape[-2:])
