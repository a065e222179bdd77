"""Grids of cells over an image: values of cells between which pixels are interpolated."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._areas import Area

Values = NDArray[np.float32]


def cells_of(area: Area, grid: tuple[int, int], shape: tuple[int, int]) -> Area:
    """Return the cells between which `interpolate` finds the values of an area of an image."""
    rows, columns = (
        _neighbours(np.array([part.start, part.stop - 1]), n_cells, length)
        for part, n_cells, length in zip(area, grid, shape, strict=True)
    )
    return _span(*rows[:2]), _span(*columns[:2])


def interpolate(
    values: Values, cells: Area, grid: tuple[int, int], area: Area, shape: tuple[int, int]
) -> Values:
    """Interpolate values of cells at the pixels of an area, bilinearly.

    A grid covers the image evenly, and pixels beyond the centres of the outer cells have the values
    of these. The result for a pixel is the same whatever the area.

    Parameters
    ----------
    values : array of shape (m, n) or (m, n, d)
        Values of `cells`, which contain those of `cells_of`.
    cells : tuple of two slice
        Rows and columns of the grid.
    grid : tuple of two int
        Rows and columns of the whole grid.
    area : tuple of two slice
        Rows and columns of the image.
    shape : tuple of two int
        Height and width of the whole image.

    Returns
    -------
    array of float32, shape (h, w) or (h, w, d)
        Values of the area.
    """
    for axis in (0, 1):
        pixels = np.arange(area[axis].start, area[axis].stop)
        before, after, weights = _neighbours(pixels, grid[axis], shape[axis])
        shares = weights.astype(np.float32).reshape(-1, *(1,) * (values.ndim - 1 - axis))
        first = cells[axis].start
        lower = np.take(values, before - first, axis=axis)
        upper = np.take(values, after - first, axis=axis)
        values = lower + shares * (upper - lower)
    return values


def _neighbours(
    places: NDArray[np.intp], n_cells: int, length: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Return the cells before and after each place of an axis, and the share of the latter."""
    positions = np.clip((places + 0.5) * (n_cells / length) - 0.5, 0, n_cells - 1)
    before = positions.astype(np.intp)
    return before, np.minimum(before + 1, n_cells - 1), positions - before


def _span(before: NDArray[Any], after: NDArray[Any]) -> slice:
    return slice(int(before[0]), int(after[-1]) + 1)
