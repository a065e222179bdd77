"""Random regions, lines and noise that defects are made of."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_ssimae.datasets._defects._canvas import Mask, Weights

Shape = tuple[int, int]


class Line(NamedTuple):
    """Coordinates of each pixel along a slightly bent line and across it.

    Attributes
    ----------
    along, across : array of shape (h, w)
        Signed distances in pixels from the middle of the line, and from the line.
    """

    along: Weights
    across: Weights


def draw_line(shape: Shape, rng: np.random.Generator, bending: float) -> Line:
    """Draw an infinite line through the middle part of the image.

    `bending` is the largest deviation from straight, as a fraction of the image's shorter side, at
    a quarter of that side from the middle.
    """
    centre = [rng.uniform(0.3, 0.7) * n for n in shape]
    angle = rng.uniform(0, np.pi)
    side = min(shape)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    along = (rows - centre[0]) * np.cos(angle) + (columns - centre[1]) * np.sin(angle)
    across = (rows - centre[0]) * np.sin(angle) - (columns - centre[1]) * np.cos(angle)
    bend = rng.uniform(-bending, bending) * side
    return Line(along, across - bend * (along / (side / 4)) ** 2)


def draw_strip(
    shape: Shape, rng: np.random.Generator, width: int, margin: int
) -> tuple[Mask, int, int]:
    """Draw a straight region half as long as the image; also return its axis and first line."""
    axis = int(rng.integers(2))
    first = margin + int(rng.integers(shape[axis] - width - 2 * margin + 1))
    length = shape[1 - axis]
    start = int(rng.integers(length // 2))
    strip = [slice(first, first + width), slice(start, start + length // 2)]
    region = np.zeros(shape, dtype=bool)
    region[tuple(strip if axis == 0 else strip[::-1])] = True
    return region, axis, first


def draw_blob(shape: Shape, rng: np.random.Generator, radius: float) -> Mask:
    """Draw a region with a wavy outline; `radius` is a fraction of the image's shorter side."""
    size = radius * min(shape)
    centre = [rng.uniform(min(2 * size, n / 3), n - min(2 * size, n / 3)) for n in shape]
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    angle = np.arctan2(rows - centre[0], columns - centre[1])
    distance = np.hypot(rows - centre[0], (columns - centre[1]) / rng.uniform(0.7, 1.4))
    outline = np.ones(shape)
    for frequency in (2, 3, 5):
        outline += rng.uniform(-0.15, 0.15) * np.cos(frequency * angle + rng.uniform(0, 2 * np.pi))
    return distance <= np.maximum(size, 2.0) * outline


def draw_curve(shape: Shape, rng: np.random.Generator, length: float, bending: float) -> Mask:
    """Draw a curved line one pixel wide.

    `length` is a fraction of the image's shorter side; `bending` is the standard deviation, in
    radians, of the turn at every half pixel.
    """
    n_steps = max(int(length * min(shape) * 2), 1)
    bends = np.cumsum(rng.normal(0, bending, n_steps)) + rng.uniform(0, 2 * np.pi)
    path = 0.5 * np.cumsum([np.sin(bends), np.cos(bends)], axis=1)
    path += [[rng.uniform(0.25, 0.75) * n] for n in shape] - path.mean(axis=1, keepdims=True)
    rows, columns = np.rint(path).astype(int)
    line = np.zeros(shape, dtype=bool)
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    line[rows[inside], columns[inside]] = True
    return line


def perlin_noise(shape: Shape, rng: np.random.Generator, cell: float) -> NDArray[np.float64]:
    """Compute Perlin's gradient noise, about -0.7 to 0.7, with cells of `cell` pixels.

    References
    ----------
    K. Perlin, "Improving Noise", SIGGRAPH 2002, for the quintic weights.
    """
    rows, columns = (np.arange(n) / cell for n in shape)
    n_cells = [int(places[-1]) + 1 for places in (rows, columns)]
    angles = rng.uniform(0, 2 * np.pi, (n_cells[0] + 1, n_cells[1] + 1))
    first_row, first_column = rows.astype(int)[:, None], columns.astype(int)[None]
    from_row, from_column = rows[:, None] - first_row, columns[None] - first_column
    weight_row, weight_column = (x**3 * (x * (6 * x - 15) + 10) for x in (from_row, from_column))
    noise = np.zeros(shape)
    for step_row in (0, 1):
        for step_column in (0, 1):
            angle = angles[first_row + step_row, first_column + step_column]
            slope = np.cos(angle) * (from_row - step_row) + np.sin(angle) * (
                from_column - step_column
            )
            by_row = weight_row if step_row else 1 - weight_row
            by_column = weight_column if step_column else 1 - weight_column
            noise += by_row * by_column * slope
    return noise
