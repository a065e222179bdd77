"""Overlapping windows of an image, passed through a network and averaged where they overlap."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sk_ssimae._patches import coverage, window_positions, window_weights

Origin = tuple[int, int]
Transform = Callable[[Tensor, Sequence[Origin]], Tensor]
Area = tuple[slice, slice]


class Windows(NamedTuple):
    """Where windows of an image lie: all of them, or those over a part of it.

    Attributes
    ----------
    rows, columns : array of int
        First pixels of the windows, ascending, in the coordinates of the whole image.
    patch_size : int
        Side of a window in pixels.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    patch_size: int

    @classmethod
    def of_image(cls, shape: tuple[int, int], patch_size: int, stride: int) -> Self:
        """Place windows over an image: `stride` apart, the last aligned with the far edge."""
        rows, columns = (window_positions(length, patch_size, stride) for length in shape)
        return cls(rows, columns, patch_size)

    def over(self, area: Area) -> Self:
        """Select the windows that cover a pixel of an area at least."""
        rows, columns = (
            positions[(positions < part.stop) & (positions + self.patch_size > part.start)]
            for positions, part in zip(self[:2], area, strict=True)
        )
        return self._replace(rows=rows, columns=columns)

    @property
    def area(self) -> Area:
        """What the windows cover together."""
        rows, columns = (
            slice(int(positions[0]), int(positions[-1]) + self.patch_size)
            for positions in (self.rows, self.columns)
        )
        return rows, columns


def average_windows(
    image: Tensor, transform: Transform, windows: Windows, *, taper: float, batch_size: int
) -> Tensor:
    """Transform windows of an image and average the results pixel by pixel.

    Parameters
    ----------
    image : Tensor of shape (C, H, W)
        What the windows cover together: the whole image, or a part of it.
    transform : callable
        From a batch (N, C, P, P) and its origins in the whole image, N pairs of the first row and
        column, to results of the same height and width (N, C', P, P).
    windows : Windows
        Where the windows lie in the whole image.
    taper : float
        Share of a window over which its weight rises from the edges, see `window_weights`.
    batch_size : int
        Windows transformed at once. It bounds the memory and changes nothing else.

    Returns
    -------
    Tensor of shape (C', H, W)
        Weighted averages over all windows that cover a pixel.
    """
    height, width = image.shape[-2:]
    rows, columns, patch_size = windows
    first_row, first_column = int(rows[0]), int(columns[0])
    origins = [(int(row), int(column)) for row in rows for column in columns]
    of_axis = window_weights(patch_size, taper)
    weights = torch.from_numpy(np.outer(of_axis, of_axis)).to(image)
    total: Tensor | None = None
    for start in range(0, len(origins), batch_size):
        batch = origins[start : start + batch_size]
        places = [(row - first_row, column - first_column) for row, column in batch]
        stacked = torch.stack([_window(image, *place, patch_size) for place in places])
        results = transform(stacked.contiguous(memory_format=torch.channels_last), batch)
        if total is None:
            total = results.new_zeros((results.shape[1], height, width))
        for place, result in zip(places, results, strict=True):
            _window(total, *place, patch_size).addcmul_(result, weights)
    assert total is not None  # There is always a window.
    for axis, positions in ((-2, rows - first_row), (-1, columns - first_column)):
        sums = torch.from_numpy(coverage(total.shape[axis], positions, of_axis)).to(total)
        total.div_(sums.unsqueeze(-1) if axis == -2 else sums)
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
