"""Parts shared by the generators of synthetic images."""

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Field = NDArray[np.float32]


def check_n_samples_and_shape(n_samples: int, shape: tuple[int, int]) -> None:
    """Check the number and the shape of the images to generate.

    Raises
    ------
    ValueError
        If `n_samples` is not a positive integer or `shape` is not a pair of positive integers.
    """
    if not _is_number(n_samples, Integral) or n_samples < 1:
        raise ValueError(f"n_samples must be an integer of at least 1, got {n_samples!r} instead.")
    if not is_pair(shape, Integral) or min(shape) < 1:
        raise ValueError(
            f"shape must be (height, width), both integers of at least 1, got {shape!r} instead."
        )


def is_pair(value: Any, kind: Any) -> bool:
    """Tell whether a value is a pair of numbers of the given type."""
    return (
        isinstance(value, tuple | list | np.ndarray)
        and getattr(value, "ndim", 1) == 1
        and len(value) == 2
        and all(_is_number(number, kind) for number in value)
    )


def _is_number(value: Any, kind: Any) -> bool:
    # True is an integer for Python, but not a length for NumPy.
    return isinstance(value, kind) and not isinstance(value, bool)


def smooth_noise(shape: tuple[int, ...], scale: float, rng: np.random.Generator) -> Field:
    """Draw noise of unit variance that varies over about `scale` pixels."""
    coarse = rng.standard_normal([int(np.ceil(length / scale)) + 3 for length in shape])
    first = rng.uniform(0.5, 1.5, size=len(shape))
    grid = np.meshgrid(
        *(np.arange(length) / scale + start for length, start in zip(shape, first, strict=True)),
        indexing="ij",
    )
    smooth: Field = ndimage.map_coordinates(coarse, grid, order=3, mode="nearest")
    return smooth.astype(np.float32)
