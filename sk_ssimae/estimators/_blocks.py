"""Blocks of an image that is larger than memory, and the halo that each needs."""

from collections.abc import Iterator
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_ssimae.estimators._windows import Area


class SegmentedBlock(NamedTuple):
    """A rectangle of a segmented image.

    Attributes
    ----------
    rows, columns : slice
        Where it lies: ``maps[block.rows, block.columns] = block.residual_map`` writes it.
    residual_map : array of float32, shape (h, w)
        As from ``decision_function``: high means defective.
    mask : array of bool, shape (h, w)
        As from ``predict``: True means defective.
    score : float
        Maximum of the opened residual map. The greatest of all blocks is what ``score_images``
        gives for the whole image.
    """

    rows: slice
    columns: slice
    residual_map: NDArray[np.float32]
    mask: NDArray[np.bool_]
    score: float


def block_areas(shape: tuple[int, int], block_size: int) -> Iterator[Area]:
    """Divide an image into blocks, row by row; those at the far edges may be smaller."""
    height, width = shape
    for row in range(0, height, block_size):
        for column in range(0, width, block_size):
            yield (
                slice(row, min(row + block_size, height)),
                slice(column, min(column + block_size, width)),
            )


def with_halo(area: Area, halo: int, shape: tuple[int, int]) -> Area:
    """Add `halo` pixels on each side, as far as the image reaches."""
    rows, columns = (
        slice(max(part.start - halo, 0), min(part.stop + halo, length))
        for part, length in zip(area, shape, strict=True)
    )
    return rows, columns


def within(area: Area, outer: Area) -> Area:
    """Give an area in the coordinates of another one that holds it."""
    rows, columns = (
        slice(part.start - around.start, part.stop - around.start)
        for part, around in zip(area, outer, strict=True)
    )
    return rows, columns


def check_block_size(block_size: Any) -> None:
    """Check the side of a block.

    Raises
    ------
    ValueError
        If it is not an integer of at least 1.
    """
    if not isinstance(block_size, Integral) or block_size < 1:
        raise ValueError(
            f"block_size must be an integer of at least 1, got {block_size!r} instead."
        )
