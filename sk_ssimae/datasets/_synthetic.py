"""Functions shared by the generators of synthetic images."""

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sk_ssimae._validation import make_rng

Field = NDArray[np.float32]


def generate(
    n_samples: int,
    shape: tuple[int, int],
    random_state: int | np.random.RandomState | np.random.Generator | None,
    draw: Callable[[np.random.Generator], Field],
) -> Field:
    """Draw `n_samples` images of a shape, all with one random generator.

    Raises
    ------
    ValueError
        If `n_samples` is not a positive integer, `shape` is not two positive integers, or
        `random_state` is not a seed.
    """
    if not _is_number(n_samples, Integral) or n_samples < 1:
        raise ValueError(f"n_samples must be an integer of at least 1, got {n_samples!r} instead.")
    if not is_pair(shape, Integral) or min(shape) < 1:
        raise ValueError(
            f"shape must be (height, width), both integers of at least 1, got {shape!r} instead."
        )
    rng = make_rng(random_state)
    images = np.empty((n_samples, *shape), dtype=np.float32)
    for image in images:
        image[:] = draw(rng)
    return images


def is_pair(value: Any, kind: Any) -> bool:
    """Return whether a value is two numbers of a kind."""
    return (
        isinstance(value, tuple | list | np.ndarray)
        and getattr(value, "ndim", 1) == 1
        and len(value) == 2
        and all(_is_number(number, kind) for number in value)
    )


def _is_number(value: Any, kind: Any) -> bool:
    # True is an Integral, but NumPy rejects it in a shape.
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
