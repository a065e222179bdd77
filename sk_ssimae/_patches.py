"""Overlapping patches of an image: their places, and the weighted average where they overlap."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._areas import Area
from sk_ssimae._formulas._arrays import array_namespace

Origin = tuple[int, int]
# From patches (N, C, P, P) and their origins, first rows and columns, to (N, C', P, P).
Transform = Callable[[Any, Sequence[Origin]], Any]

# Share of the patch size, chosen by benchmarks/stride.py.
_AUTO_STRIDE = 0.25


class Patches(NamedTuple):
    """Places of patches on a grid: all of an image, or those over an area.

    Attributes
    ----------
    rows, columns : array of int
        First pixels of the patches, ascending, in the coordinates of the whole image.
    patch_size : int
        Side of a patch in pixels.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    patch_size: int

    @classmethod
    def of_image(cls, shape: tuple[int, int], patch_size: int, stride: int) -> Self:
        """Cover an image with patches `stride` pixels apart, the last aligned with the far edge."""
        rows, columns = (patch_positions(length, patch_size, stride) for length in shape)
        return cls(rows, columns, patch_size)

    def over(self, area: Area) -> Self:
        """Select the patches that cover at least one pixel of an area."""
        rows, columns = (
            positions[(positions < part.stop) & (positions + self.patch_size > part.start)]
            for positions, part in zip(self[:2], area, strict=True)
        )
        return self._replace(rows=rows, columns=columns)

    @property
    def area(self) -> Area:
        """Area that the patches cover together."""
        rows, columns = (
            slice(int(positions[0]), int(positions[-1]) + self.patch_size)
            for positions in (self.rows, self.columns)
        )
        return rows, columns


def average_patches(
    image: Any, transform: Transform, patches: Patches, *, taper: float, batch_size: int
) -> Any:
    """Transform patches of an image and average the results pixel by pixel.

    Parameters
    ----------
    image : array or Tensor of shape (C, H, W)
        Area that the patches cover together: the whole image, or a part of it.
    transform : callable
        From a batch (N, C, P, P) and its origins in the whole image, N pairs of the first row and
        column, to results of the same height and width (N, C', P, P).
    patches : Patches
        Places in the whole image.
    taper : float
        Share of a patch over which its weight rises from the edges, see `taper_weights`.
    batch_size : int
        Number of patches transformed at once. It bounds the memory and changes no result.

    Returns
    -------
    array or Tensor of shape (C', H, W)
        Weighted averages over all patches that cover a pixel.
    """
    xp = array_namespace(image)
    like_image = {"dtype": image.dtype, "device": image.device}
    rows, columns, size = patches
    first_row, first_column = int(rows[0]), int(columns[0])
    origins = [(int(row), int(column)) for row in rows for column in columns]
    along_axis = taper_weights(size, taper)
    weights = xp.asarray(np.outer(along_axis, along_axis), **like_image)
    total: Any = None
    for start in range(0, len(origins), batch_size):
        batch = origins[start : start + batch_size]
        places = [(row - first_row, column - first_column) for row, column in batch]
        results = transform(xp.stack([_crop(image, *place, size) for place in places]), batch)
        if total is None:
            total = xp.zeros((results.shape[1], *image.shape[-2:]), **like_image)
        for place, result in zip(places, results, strict=True):
            covered = _crop(total, *place, size)
            covered += result * weights
    height, width = image.shape[-2:]
    total /= xp.asarray(coverage(height, rows - first_row, along_axis), **like_image)[:, None]
    total /= xp.asarray(coverage(width, columns - first_column, along_axis), **like_image)
    return total


def average_orientations(transform: Transform) -> Transform:
    """Return a transform that averages over the eight orientations of each patch."""

    def averaged(patches: Any, origins: Sequence[Origin]) -> Any:
        xp = array_namespace(patches)
        total: Any = 0
        for flip in (False, True):
            flipped = xp.flip(patches, (-1,)) if flip else patches
            for n_turns in range(4):
                result = transform(xp.rot90(flipped, n_turns, (-2, -1)), origins)
                result = xp.rot90(result, -n_turns, (-2, -1))
                total = total + (xp.flip(result, (-1,)) if flip else result)
        return total / 8

    return averaged


def patch_positions(length: int, patch_size: int, stride: int) -> NDArray[np.intp]:
    """Place patches along an axis at 0, stride, 2 · stride, … and one aligned with the far edge.

    Parameters
    ----------
    length : int
        Length of the axis in pixels, at least `patch_size`.
    patch_size : int
        Length of a patch in pixels.
    stride : int
        Distance between patches in pixels, from 1 to `patch_size`.

    Returns
    -------
    array of int
        First pixels of the patches, ascending. Every pixel of the axis is covered.

    Examples
    --------
    >>> from sk_ssimae._patches import patch_positions
    >>> patch_positions(100, 32, 30).tolist()
    [0, 30, 60, 68]
    """
    last = length - patch_size
    positions = np.arange(0, last + 1, stride)
    return positions if positions[-1] == last else np.append(positions, last)


def choose_stride(stride: int | Literal["auto"], patch_size: int) -> int:
    """Return the stride in pixels of a parameter `stride`.

    Parameters
    ----------
    stride : int or "auto"
        The parameter.
    patch_size : int
        Side of a patch in pixels.

    Returns
    -------
    int
        The stride, from 1 to `patch_size` with "auto".
    """
    return max(1, round(_AUTO_STRIDE * patch_size)) if stride == "auto" else int(stride)


def taper_weights(patch_size: int, taper: float) -> NDArray[np.float64]:
    """Compute the weights of pixels along an axis of a patch: a cosine taper (Tukey).

    Parameters
    ----------
    patch_size : int
        Length of the patch in pixels.
    taper : float
        Share of the patch, in [0, 1], over which weights rise from both edges, as half a cosine.

    Returns
    -------
    array of float64, shape (patch_size,)
        Weights in (0, 1]. All are 1 with a taper of 0; a taper of 1 is the Hann function.

    References
    ----------
    F. J. Harris, "On the use of windows for harmonic analysis with the discrete Fourier
    transform", Proceedings of the IEEE 66(1), 1978, section V.C.

    Examples
    --------
    >>> from sk_ssimae._patches import taper_weights
    >>> taper_weights(8, 0.5).round(2).tolist()
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
    """Sum the weights of all patches over each pixel of an axis of `length` pixels."""
    total = np.zeros(length)
    for position in positions:
        total[position : position + len(weights)] += weights
    return total


def _crop(image: Any, row: int, column: int, size: int) -> Any:
    return image[:, row : row + size, column : column + size]
