"""Filters learned from images, and their rectified responses averaged over the cells of a grid."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sk_ssimae._intensity import Image
from sk_ssimae._interest import Inside, resize_inside
from sk_ssimae._pixels import as_unit_float

Array = NDArray[np.float32]

_N_WINDOWS = 20_000
# Rows of cells whose windows are in memory at once.
_CELL_ROWS_AT_ONCE = 16
# Keeps components that good images lack from being amplified without limit.
_LEAST_DEVIATION = 1e-4


class FilterBank(NamedTuple):
    """Principal components of windows, at several scales.

    Attributes
    ----------
    filters : list of arrays (size * size * c, k)
        Filters of each scale, divided by the square root of the deviation of their responses.
    scales : tuple of int
        Factors by which images are shrunk.
    size : int
        Side of a filter in pixels.
    stride : int
        Side of a cell of the grid in pixels.
    """

    filters: list[Array]
    scales: tuple[int, ...]
    size: int
    stride: int

    @classmethod
    def learn(
        cls,
        images: Sequence[Image],
        inside: Sequence[Inside] | None = None,
        *,
        size: int,
        n_filters: int,
        scales: tuple[int, ...],
        stride: int,
        rng: np.random.Generator,
    ) -> Self:
        """Learn the filters from windows around pixels of images (h, w, c), if given inside."""
        share = -(-_N_WINDOWS // len(images))
        masks: Sequence[Inside | None] = inside or [None] * len(images)
        filters = []
        for scale in scales:
            drawn = [
                _draw(_windows(_shrink(_whole_cells(image, stride), scale), size), mask, share, rng)
                for image, mask in zip(images, masks, strict=True)
            ]
            filters.append(_principal_components(np.concatenate(drawn), n_filters))
        return cls(filters, scales, size, stride)

    def compute(self, image: Image) -> Array:
        """Compute the features (h', w', d) of an image (h, w, c): one of each cell."""
        whole = _whole_cells(image, self.stride)
        features = [
            _pool(_windows(_shrink(whole, scale), self.size), filters, self.stride // scale)
            for scale, filters in zip(self.scales, self.filters, strict=True)
        ]
        return np.concatenate(features, axis=2)


def _whole_cells(image: Image, stride: int) -> Array:
    """Extend an image by its mirror image to whole cells."""
    missing = [-side % stride for side in image.shape[:2]]
    return np.pad(
        as_unit_float(image), [(0, missing[0]), (0, missing[1]), (0, 0)], mode="symmetric"
    )


def _shrink(image: Array, scale: int) -> Array:
    height, width, channels = image.shape
    cells = image.reshape(height // scale, scale, width // scale, scale, channels)
    return cells.mean(axis=(1, 3), dtype=np.float32)


def _windows(image: Array, size: int) -> Array:
    """Return the window (c, size, size) around each pixel, as a view (h, w, c, size, size)."""
    margin = size // 2
    padded = np.pad(image, [(margin, margin), (margin, margin), (0, 0)], mode="symmetric")
    return sliding_window_view(padded, (size, size), axis=(0, 1))


def _draw(windows: Array, inside: Inside | None, number: int, rng: np.random.Generator) -> Array:
    shape = windows.shape[0], windows.shape[1]
    if inside is None:
        rows, columns = (rng.integers(0, side, number) for side in shape)
    else:
        allowed = np.argwhere(resize_inside(inside, shape))
        rows, columns = allowed[rng.integers(0, len(allowed), number)].T
    return windows[rows, columns].reshape(number, -1)


def _principal_components(windows: Array, n_filters: int) -> Array:
    centred = windows.astype(np.float64)
    centred -= centred.mean(axis=0)
    variances, components = np.linalg.eigh(centred.T @ centred / len(centred))
    # The largest come last. Signs are arbitrary, but must not depend on the machine.
    variances, components = variances[::-1][:n_filters], components[:, ::-1][:, :n_filters]
    largest = np.abs(components).argmax(axis=0)
    components = components * np.sign(components[largest, np.arange(components.shape[1])])
    deviations = np.sqrt(np.maximum(variances, _LEAST_DEVIATION**2))
    return (components / np.sqrt(deviations)).astype(np.float32)


def _pool(windows: Array, filters: Array, cell: int) -> Array:
    """Average the positive and the negative responses over square cells."""
    height, width = windows.shape[:2]
    n_filters = filters.shape[1]
    pooled = np.empty((height // cell, width // cell, 2 * n_filters), dtype=np.float32)
    step = _CELL_ROWS_AT_ONCE * cell
    for first in range(0, height, step):
        strip = windows[first : first + step]
        centred = strip.reshape(-1, len(filters))
        responses = (centred @ filters).reshape(len(strip) // cell, cell, width // cell, cell, -1)
        rows = slice(first // cell, (first + len(strip)) // cell)
        pooled[rows, :, :n_filters] = np.maximum(responses, 0).mean(axis=(1, 3))
        pooled[rows, :, n_filters:] = np.maximum(-responses, 0).mean(axis=(1, 3))
    return pooled
