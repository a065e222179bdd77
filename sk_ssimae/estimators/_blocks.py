"""Blocks of an image that is larger than memory, and the halo that each needs."""

from collections.abc import Iterator
from numbers import Integral
from typing import TYPE_CHECKING, Any

from sk_ssimae._images import SlicedImage
from sk_ssimae._inference._decision import (
    image_score,
    mark,
    open_map,
    opening_radius,
    smooth,
    smoothing_radius,
    smoothing_sigma,
)
from sk_ssimae._patches import Area
from sk_ssimae.estimators._results import Map, SegmentedBlock, check_residual

if TYPE_CHECKING:
    from sk_ssimae.estimators._segmentation import Segmentation


def segment_block(
    segmenter: "Segmentation", image: SlicedImage, area: Area, threshold: float
) -> SegmentedBlock:
    """Trace back which pixels a block depends on, read them, and cut each halo off again."""
    to_open = with_halo(area, opening_radius(segmenter.opening_diameter), image.shape)
    smoothed = smoothed_area(segmenter, image, to_open)
    opened = open_map(smoothed, segmenter.opening_diameter)[within(area, to_open)]
    # A copy, so that the halo is released.
    residual_map = smoothed[within(area, to_open)].copy()
    return SegmentedBlock(*area, residual_map, mark(opened, threshold), image_score(opened))


def smoothed_area(segmenter: "Segmentation", image: SlicedImage, area: Area) -> Map:
    """Compute the residual map of an area, smoothed as in the whole image."""
    sigma = smoothing_sigma(segmenter.smoothing, image.shape)
    to_smooth = with_halo(area, smoothing_radius(sigma), image.shape)
    shape = tuple(part.stop - part.start for part in to_smooth)
    residual = segmenter.compute_area_residual(image, to_smooth)
    smoothed = smooth(check_residual(residual, shape, type(segmenter).__name__), sigma)
    return smoothed[within(area, to_smooth)]


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
    """Extend an area by `halo` pixels on each side, within the image."""
    rows, columns = (
        slice(max(part.start - halo, 0), min(part.stop + halo, length))
        for part, length in zip(area, shape, strict=True)
    )
    return rows, columns


def within(area: Area, outer: Area) -> Area:
    """Return an area in the coordinates of another one that contains it."""
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
