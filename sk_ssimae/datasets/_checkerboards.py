"""Synthetic checkerboards of many scales and orientations."""

from numbers import Real

import numpy as np
from numpy.typing import NDArray

from sk_ssimae.datasets._synthetic import Field, generate, is_pair

_LARGEST = 10_000


def make_checkerboards(
    n_samples: int = 10,
    *,
    shape: tuple[int, int] = (256, 256),
    square_size: tuple[float, float] = (8.0, 24.0),
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
) -> NDArray[np.float32]:
    """Make images of checkerboards that differ in scale, orientation, phase and grey values.

    The paper's toy example: an autoencoder learns such boards, then reconstructs boards with
    strokes and dots on them (:func:`draw_defects` with the families ``"scratch"``, ``"cut"`` and
    ``"contamination"``).

    Parameters
    ----------
    n_samples : int, default=10
        Number of images.
    shape : tuple of two int, default=(256, 256)
        Height and width in pixels.
    square_size : tuple of two float, default=(8, 24)
        Least and largest side of a square in pixels, from 2 to 10,000. The side is drawn uniformly
        from this interval for each board; pass the same number twice to fix it.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the images; the same seed produces the same images.

    Returns
    -------
    array of float32, shape (n_samples, height, width)
        Dark squares have one grey value from [0, 0.3], bright ones one from [0.7, 1]. Edges are
        anti-aliased.

    Raises
    ------
    ValueError
        If a parameter is outside its interval.

    References
    ----------
    P. Bergmann et al., "Improving Unsupervised Defect Segmentation by Applying Structural
    Similarity to Autoencoders", 2019, Figure 3.

    Examples
    --------
    >>> from sk_ssimae.datasets import make_checkerboards
    >>> boards = make_checkerboards(2, shape=(64, 96), random_state=0)
    >>> boards.shape, boards.dtype
    ((2, 64, 96), dtype('float32'))
    """
    if not is_pair(square_size, Real) or not 2 <= square_size[0] <= square_size[1] <= _LARGEST:
        raise ValueError(
            "square_size must be (least, largest) in pixels with 2 <= least <= largest <= "
            f"{_LARGEST}, got {square_size!r} instead."
        )
    return generate(n_samples, shape, random_state, lambda rng: _board(shape, square_size, rng))


def _board(
    shape: tuple[int, int], square_size: tuple[float, float], rng: np.random.Generator
) -> Field:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    size = rng.uniform(*square_size)
    angle = rng.uniform(0, np.pi / 2)  # A board repeats itself after a quarter turn.
    dark, bright = rng.uniform(0, 0.3), rng.uniform(0.7, 1)
    across, down = rng.uniform(0, 2 * size, size=2)
    across = across + columns * np.cos(angle) + rows * np.sin(angle)
    down = down + rows * np.cos(angle) - columns * np.sin(angle)
    sign = _square_wave(across, size) * _square_wave(down, size)
    board = (bright + dark) / 2 + (bright - dark) / 2 * sign
    return np.clip(board, 0, 1).astype(np.float32)


def _square_wave(position: NDArray[np.float64], size: float) -> NDArray[np.float64]:
    """Alternate between -1 and 1 every `size` pixels, with edges one pixel wide."""
    in_period = position % (2 * size)
    to_edge = size / 2 - np.abs(np.abs(in_period - size) - size / 2)
    return np.clip(2 * to_edge, 0, 1) * np.where(in_period < size, 1.0, -1.0)
