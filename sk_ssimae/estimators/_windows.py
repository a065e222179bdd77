"""Overlapping windows of an image, passed through a network and averaged where they overlap."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sk_ssimae._patches import coverage, window_positions

Origin = tuple[int, int]
Transform = Callable[[Tensor, Sequence[Origin]], Tensor]


def average_windows(
    image: Tensor,
    transform: Transform,
    *,
    patch_size: int,
    stride: int,
    batch_size: int,
) -> Tensor:
    """Transform every window of an image and average the results pixel by pixel.

    Parameters
    ----------
    image : Tensor of shape (C, H, W)
        Image of at least `patch_size` pixels each way.
    transform : callable
        From a batch (N, C, P, P) and its origins, N pairs of the first row and column, to results
        of the same height and width (N, C', P, P).
    patch_size : int
        Side P of a window in pixels.
    stride : int
        Distance between windows in pixels; the last one is aligned with the far edge.
    batch_size : int
        Windows transformed at once. It bounds the memory and changes nothing else.

    Returns
    -------
    Tensor of shape (C', H, W)
        Averages over all windows that cover a pixel.
    """
    height, width = image.shape[-2:]
    rows = window_positions(height, patch_size, stride)
    columns = window_positions(width, patch_size, stride)
    origins = [(int(row), int(column)) for row in rows for column in columns]
    total: Tensor | None = None
    for start in range(0, len(origins), batch_size):
        batch = origins[start : start + batch_size]
        windows = torch.stack([_window(image, *origin, patch_size) for origin in batch])
        results = transform(windows.contiguous(memory_format=torch.channels_last), batch)
        if total is None:
            total = results.new_zeros((results.shape[1], height, width))
        for origin, result in zip(batch, results, strict=True):
            _window(total, *origin, patch_size).add_(result)
    assert total is not None  # There is always a window.
    for axis, positions in ((-2, rows), (-1, columns)):
        counts = torch.from_numpy(coverage(total.shape[axis], patch_size, positions)).to(total)
        total.div_(counts.unsqueeze(-1) if axis == -2 else counts)
    return total


def average_orientations(transform: Transform) -> Transform:
    """Make a transform of windows that averages over their turns and flips, undone again."""

    def averaged(windows: Tensor, origins: Sequence[Origin]) -> Tensor:
        total: Tensor | None = None
        for flip in (False, True):
            flipped = windows.flip(-1) if flip else windows
            for n_turns in range(4):
                turned = torch.rot90(flipped, n_turns, (-2, -1))
                result = transform(turned.contiguous(memory_format=torch.channels_last), origins)
                result = torch.rot90(result, -n_turns, (-2, -1))
                result = result.flip(-1) if flip else result
                total = result if total is None else total + result
        assert total is not None  # There are eight.
        return total / 8

    return averaged


def _window(image: Tensor, row: int, column: int, size: int) -> Tensor:
    return image[:, row : row + size, column : column + size]
