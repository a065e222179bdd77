"""Windows of images in NumPy, averaged as `estimators/_windows.py` averages them in torch."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._patches import coverage, window_positions, window_weights

Array = NDArray[np.float32]
Origin = tuple[int, int]
Transform = Callable[[Array, Sequence[Origin]], NDArray[Any]]


def average_windows(
    image: Array,
    transform: Transform,
    *,
    patch_size: int,
    stride: int,
    taper: float,
    batch_size: int,
) -> Array:
    """Transform every window of an image (C, H, W) and average the results (C', H, W).

    Parameters
    ----------
    image : array of shape (C, H, W)
        Image of at least `patch_size` pixels each way.
    transform : callable
        From a batch (N, C, P, P) and its N origins, first rows and columns, to (N, C', P, P).
    patch_size : int
        Side P of a window in pixels.
    stride : int
        Distance between windows in pixels.
    taper : float
        Share of a window over which its weight rises from the edges, see `window_weights`.
    batch_size : int
        Windows transformed at once.

    Returns
    -------
    array of float32, shape (C', H, W)
        Weighted averages over all windows that cover a pixel.
    """
    rows, columns = (window_positions(n, patch_size, stride) for n in image.shape[1:])
    origins = [(int(row), int(column)) for row in rows for column in columns]
    of_axis = window_weights(patch_size, taper)
    weights = np.outer(of_axis, of_axis).astype(np.float32)
    total: Array | None = None
    for start in range(0, len(origins), batch_size):
        batch = origins[start : start + batch_size]
        windows = np.stack([_window(image, origin, patch_size) for origin in batch])
        results = transform(windows, batch)
        if total is None:
            total = np.zeros((results.shape[1], *image.shape[1:]), dtype=np.float32)
        for origin, result in zip(batch, results, strict=True):
            _window(total, origin, patch_size)[...] += result * weights
    assert total is not None  # There is always a window.
    of_rows, of_columns = (
        coverage(n, positions, of_axis).astype(np.float32)
        for n, positions in zip(image.shape[1:], (rows, columns), strict=True)
    )
    total /= of_rows[:, np.newaxis]
    total /= of_columns
    return total


def average_orientations(transform: Transform) -> Transform:
    """Make a transform of windows that averages over their turns and flips, undone again."""

    def averaged(windows: Array, origins: Sequence[Origin]) -> NDArray[Any]:
        results = []
        for flip in (False, True):
            flipped = windows[..., ::-1] if flip else windows
            for n_turns in range(4):
                turned = np.ascontiguousarray(np.rot90(flipped, n_turns, (-2, -1)))
                result = np.rot90(transform(turned, origins), -n_turns, (-2, -1))
                results.append(result[..., ::-1] if flip else result)
        return sum(results[1:], start=results[0]) / 8

    return averaged


def _window(image: Array, origin: Origin, size: int) -> Array:
    row, column = origin
    return image[:, row : row + size, column : column + size]
