"""Subregions of an image around the cells of a grid, each enlarged to the input of a network."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sk_ssimae._areas import Area
from sk_ssimae._intensity import Image


class Subregions(NamedTuple):
    """Squares around the cells of an even grid; beyond the edges, the image is mirrored.

    Attributes
    ----------
    size : int
        Side of a subregion in pixels.
    stride : int
        Side of a cell in pixels.
    input_size : int
        Side in pixels to which subregions are enlarged.
    """

    size: int
    stride: int
    input_size: int

    def grid_shape(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return rows and columns of the grid of an image of that height and width."""
        return -(-shape[0] // self.stride), -(-shape[1] // self.stride)

    def rows(
        self, read: Callable[[slice, slice], Image], shape: tuple[int, int], cells: Area
    ) -> Iterator[NDArray[np.generic]]:
        """Yield the subregions (n, size, size, c) of each row of cells.

        Parameters
        ----------
        read : callable
            Returns rows and columns of the image, as an array (h, w, c).
        shape : tuple of two int
            Height and width of the image.
        cells : tuple of two slice
            Rows and columns of the grid.
        """
        rows, columns = (
            self._pixels(part, length) for part, length in zip(cells, shape, strict=True)
        )
        first, left = int(rows.min()), int(columns.min())
        part = read(slice(first, int(rows.max()) + 1), slice(left, int(columns.max()) + 1))
        for start in range(0, (cells[0].stop - cells[0].start) * self.stride, self.stride):
            strip = part[rows[start : start + self.size] - first][:, columns - left]
            windows = np.lib.stride_tricks.sliding_window_view(strip, self.size, axis=1)
            yield windows[:, :: self.stride].transpose(1, 0, 3, 2)

    def enlarge(self, subregions: Tensor) -> Tensor:
        """Enlarge subregions (N, C, size, size) bilinearly."""
        return functional.interpolate(
            subregions, size=(self.input_size, self.input_size), mode="bilinear"
        )

    def _pixels(self, cells: slice, length: int) -> NDArray[np.intp]:
        """Return the pixels of the subregions of cells along an axis, mirrored at the edges."""
        first = cells.start * self.stride - (self.size - self.stride) // 2
        n_pixels = (cells.stop - cells.start - 1) * self.stride + self.size
        places = (first + np.arange(n_pixels)) % (2 * length)
        return np.minimum(places, 2 * length - 1 - places)
