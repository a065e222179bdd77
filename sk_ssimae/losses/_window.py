"""The SSIM window: its weights, and averages under it."""

from collections.abc import Sequence
from numbers import Integral
from typing import Literal

import torch
from torch import Tensor, nn

Window = Literal["uniform", "gaussian"]


def ssim_window(window_size: int, window: Window) -> Tensor:
    """Compute the one-dimensional weights of a separable window.

    Parameters
    ----------
    window_size : int
        Side of the window in pixels: odd, at least 3.
    window : {"uniform", "gaussian"}
        Kind of weights.

    Returns
    -------
    Tensor of shape (window_size,), float64
        Non-negative and symmetric, with sum 1.

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


def as_channels(images: Tensor) -> Tensor:
    """Reshape images (N, C, H, W) to the channels of one, (1, N · C, H, W), for one convolution.

    On a CPU the layout is channels-last: depthwise convolutions then take half the time.
    """
    channels = images.reshape(1, -1, *images.shape[-2:])
    if _is_on_cpu(images):
        return channels.contiguous(memory_format=torch.channels_last)
    return channels


def window_means(maps: Sequence[Tensor], kernel: Tensor) -> Sequence[Tensor]:
    """Average maps under a separable window, at fully covered positions.

    In float32 this is one depthwise convolution per axis. In float64, which has no such convolution
    on a CPU, adding up shifted maps is seven times faster.

    Parameters
    ----------
    maps : sequence of Tensor of shape (1, M, H, W)
        Maps of one shape, as returned by :func:`as_channels`.
    kernel : Tensor of shape (K,)
        Weights along one axis, symmetric.

    Returns
    -------
    sequence of Tensor of shape (1, M, H - K + 1, W - K + 1)
        The averages.
    """
    if maps[0].dtype == torch.float64:
        return [_sum_of_shifted(_sum_of_shifted(one, kernel, -1), kernel, -2) for one in maps]
    return _convolve_each(maps, kernel, padding=0)


def window_means_transposed(maps: Sequence[Tensor], kernel: Tensor) -> Sequence[Tensor]:
    """Apply the transpose of :func:`window_means`: turn gradients by averages into those by maps.

    Parameters
    ----------
    maps : sequence of Tensor of shape (1, M, H - K + 1, W - K + 1)
        Gradients with respect to the averages, of one shape.
    kernel : Tensor of shape (K,)
        Weights along one axis, symmetric.

    Returns
    -------
    sequence of Tensor of shape (1, M, H, W)
        Gradients with respect to the maps.
    """
    # The weights are symmetric, so these are averages too, with zeros around the maps.
    padding = len(kernel) - 1
    if maps[0].dtype == torch.float64:
        return window_means([nn.functional.pad(one, 4 * [padding]) for one in maps], kernel)
    return _convolve_each(maps, kernel, padding=padding)


def _convolve_each(maps: Sequence[Tensor], kernel: Tensor, padding: int) -> Sequence[Tensor]:
    if _is_on_cpu(maps[0]):
        return [_convolve(one, kernel, padding) for one in maps]
    # A GPU starts two convolutions for all maps. A CPU would spend longer on copying them.
    return _convolve(torch.cat(tuple(maps), dim=1), kernel, padding).chunk(len(maps), dim=1)


def _convolve(maps: Tensor, kernel: Tensor, padding: int) -> Tensor:
    n_maps = maps.shape[1]
    weights = kernel.to(maps).expand(n_maps, 1, 1, -1).contiguous()
    along_rows = nn.functional.conv2d(maps, weights, groups=n_maps, padding=(0, padding))
    return nn.functional.conv2d(along_rows, weights.mT, groups=n_maps, padding=(padding, 0))


def _is_on_cpu(maps: Tensor) -> bool:
    return maps.device.type == "cpu"


def _sum_of_shifted(maps: Tensor, kernel: Tensor, axis: int) -> Tensor:
    length = maps.shape[axis] - len(kernel) + 1
    total = maps.narrow(axis, 0, length) * kernel[0]
    for shift in range(1, len(kernel)):
        total.addcmul_(maps.narrow(axis, shift, length), kernel[shift])
    return total
