"""Where the overlapping windows of an image lie."""

import numpy as np
from numpy.typing import NDArray


def window_positions(length: int, patch_size: int, stride: int) -> NDArray[np.intp]:
    """Place windows along an axis at 0, stride, 2 · stride, … and one aligned with the far edge.

    Parameters
    ----------
    length : int
        Length of the axis in pixels, at least `patch_size`.
    patch_size : int
        Length of a window in pixels.
    stride : int
        Distance between windows in pixels, from 1 to `patch_size`.

    Returns
    -------
    array of int
        First pixels of the windows, ascending. Every pixel of the axis is covered.

    Examples
    --------
    >>> from sk_ssimae._patches import window_positions
    >>> window_positions(100, 32, 30).tolist()
    [0, 30, 60, 68]
    """
    last = length - patch_size
    positions = np.arange(0, last + 1, stride)
    return positions if positions[-1] == last else np.append(positions, last)


def coverage(length: int, patch_size: int, positions: NDArray[np.intp]) -> NDArray[np.intp]:
    """Count the windows over each pixel of an axis of `length` pixels."""
    steps = np.zeros(length + 1, dtype=np.intp)
    np.add.at(steps, positions, 1)
    np.add.at(steps, positions + patch_size, -1)
    return np.cumsum(steps[:-1])
