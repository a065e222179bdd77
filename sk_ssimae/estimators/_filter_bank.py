"""Filters learned from images, and their rectified responses pooled over the cells of a grid."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from sk_ssimae._intensity import Image
from sk_ssimae._interest import Inside, resize_inside
from sk_ssimae._pixels import as_unit_float

Array = NDArray[np.float32]

_N_WINDOWS = 20_000
# Rows of cells whose windows are in memory at once.
_CELL_ROWS_AT_ONCE = 16
# Keeps components that good images lack from being amplified without limit.
_LEAST_DEVIATION = 1e-4
# Added to the local deviation, in units of the intensity range, so that noise is not amplified.
_CONTRAST_OFFSET = 0.02
# Where the Gaussian of local contrast is cut off, in sigma.
_TRUNCATE = 3


class FilterBank(NamedTuple):
    """Principal components of windows, at several scales.

    Attributes
    ----------
    filters : list of arrays (size * size * c, k)
        Filters of each scale, for images and then for images of normalized contrast, divided by the
        square root of the deviation of their responses.
    scales : tuple of int
        Factors by which images are shrunk.
    size : int
        Side of a filter in pixels.
    stride : int
        Side of a cell of the grid in pixels.
    contrast_sigma : float
        Sigma in pixels of the neighbourhood of which contrast is normalized; 0 for images alone.
    """

    filters: list[Array]
    scales: tuple[int, ...]
    size: int
    stride: int
    contrast_sigma: float

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
        contrast_sigma: float,
        rng: np.random.Generator,
    ) -> Self:
        """Learn the filters from windows around pixels of images (h, w, c), if given inside."""
        share = -(-_N_WINDOWS // len(images))
        masks: Sequence[Inside | None] = inside or [None] * len(images)
        bank = cls([], scales, size, stride, contrast_sigma)
        drawn = [
            [_draw(windows, mask, share, rng) for windows, _ in bank._iter_windows(image)]
            for image, mask in zip(images, masks, strict=True)
        ]
        filters = [
            _principal_components(np.concatenate(windows), n_filters)
            for windows in zip(*drawn, strict=True)
        ]
        return bank._replace(filters=filters)

    @property
    def n_banks(self) -> int:
        """Number of arrays of filters."""
        return len(self.scales) * (2 if self.contrast_sigma else 1)

    @property
    def margin(self) -> int:
        """Number of cells around a cell, at least 1, that its features depend on."""
        # At least one, because the last cell may be extended by the mirror image of the one before.
        pixels = self.size // 2 * max(self.scales) + 2 * _radius(self.contrast_sigma)
        return max(1, -(-pixels // self.stride))

    def compute(self, image: Image) -> Array:
        """Compute the features (h', w', d) of an image (h, w, c): one of each cell.

        Square roots keep high contrast from outweighing everything else.
        """
        features = [
            np.sqrt(_pool(windows, filters, self.stride // scale))
            for (windows, scale), filters in zip(
                self._iter_windows(image), self.filters, strict=True
            )
        ]
        return np.concatenate(features, axis=2)

    def _iter_windows(self, image: Image) -> Iterator[tuple[Array, int]]:
        """Yield the windows for each array of filters, and their scale."""
        own = as_unit_float(image)
        views = [own]
        if self.contrast_sigma:
            views.append(_normalize_contrast(own, self.contrast_sigma))
        for view in views:
            whole = _whole_cells(view, self.stride)
            for scale in self.scales:
                yield _windows(_shrink(whole, scale), self.size), scale


def _radius(sigma: float) -> int:
    return int(_TRUNCATE * sigma + 0.5)


def _normalize_contrast(image: Array, sigma: float) -> Array:
    """Subtract the local mean of grey, and divide by its local deviation (Jarrett et al. 2009)."""

    def blur(values: Array) -> Array:
        blurred: Array = gaussian_filter(values, sigma, radius=_radius(sigma))
        return blurred

    grey = image.mean(axis=2, dtype=np.float32)
    mean = blur(grey)
    deviation = np.sqrt(blur((grey - mean) ** 2)) + np.float32(_CONTRAST_OFFSET)
    return (image - mean[..., None]) / deviation[..., None]


def _whole_cells(image: Array, stride: int) -> Array:
    """Extend an image by its mirror image to whole cells."""
    missing = [-side % stride for side in image.shape[:2]]
    return np.pad(image, [(0, missing[0]), (0, missing[1]), (0, 0)], mode="symmetric")


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
    # The layout in memory decides how products are rounded: it is that of a model file.
    return np.ascontiguousarray(components / np.sqrt(deviations), dtype=np.float32)


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
