"""Where the overlapping windows of an image lie, and what each pixel of them weighs."""

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


def window_weights(patch_size: int, taper: float) -> NDArray[np.float64]:
    """Weigh the pixels of a window along an axis: a Tukey window, sampled at pixel centres.

    Parameters
    ----------
    patch_size : int
        Length of the window in pixels.
    taper : float
        Share of the window, in [0, 1], over which weights rise from both edges, as half a cosine.

    Returns
    -------
    array of float64, shape (patch_size,)
        Weights in (0, 1]. All are 1 with a taper of 0; one of 1 gives a Hann window.

    References
    ----------
    F. J. Harris, "On the use of windows for harmonic analysis with the discrete Fourier
    transform", Proceedings of the IEEE 66(1), 1978, section V.C.

    Examples
    --------
    >>> from sk_ssimae._patches import window_weights
    >>> window_weights(8, 0.5).round(2).tolist()
    [0.15, 0.85, 1.0, 1.0, 1.0, 1.0, 0.85, 0.15]
    """
    width = taper * patch_size / 2
    centres = np.arange(patch_size) + 0.5
    to_edge = np.minimum(centres, patch_size - centres)
    if width <= to_edge[0]:
        return np.ones(patch_size)
    weights: NDArray[np.float64] = np.sin(np.pi / 2 * np.minimum(to_edge / width, 1)) ** 2
    return weights


def coverage(
    length: int, positions: NDArray[np.intp], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sum the weights of all windows over each pixel of an axis of `length` pixels."""
    total = np.zeros(length)
    for position in positions:
        total[position : position + len(weights)] += weights
    return total
