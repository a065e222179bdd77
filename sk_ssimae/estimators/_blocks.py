"""Blocks of an image that is larger than memory, the halo of each, regions across their borders."""

from collections.abc import Iterator
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from sk_ssimae._areas import Area, block_areas, outside_of, overlap, shape_of, with_halo, within
from sk_ssimae._inference._decision import (
    Levels,
    extent,
    image_score,
    open_map,
    opening_radius,
    smooth,
    smoothing_radius,
    smoothing_sigma,
)
from sk_ssimae._sliced import SlicedImage
from sk_ssimae.estimators._results import Map, Mask, SegmentedBlock, check_residual

if TYPE_CHECKING:
    from sk_ssimae.estimators._segmentation import Segmentation


class _Block(NamedTuple):
    """Maps of a block, and the pixels that belong to a region if it exceeds the threshold."""

    residual_map: Map
    opened: Map
    candidates: Mask


def segment_blocks(
    segmenter: "Segmentation", image: SlicedImage, block_size: int, levels: Levels
) -> Iterator[SegmentedBlock]:
    """Segment block by block; regions that cross borders are those of the whole image.

    Whether a region exceeds the threshold may be decided far away from a block. A first pass
    therefore finds the regions of all blocks and keeps one pixel of each that counts, a second pass
    computes the blocks again. If both levels are equal, one pass is enough.
    """
    areas = list(block_areas(image.image_shape, block_size))
    is_local = levels.extent_threshold == levels.threshold
    seeds = None if is_local else _find_regions(segmenter, image, areas, levels)
    for number, area in enumerate(areas):
        block = _compute_block(segmenter, image, area, levels)
        mask = block.candidates
        if seeds is not None:
            labels = ndimage.label(mask)[0]
            kept = labels.ravel()[seeds[number]]
            mask = np.isin(labels, kept[kept > 0])
        yield SegmentedBlock(*area, block.residual_map, mask, image_score(block.opened))


def _compute_block(
    segmenter: "Segmentation", image: SlicedImage, area: Area, levels: Levels
) -> _Block:
    """Trace back which pixels a block depends on, read them, and cut each halo off again."""
    opening = segmenter.opening_diameter, segmenter.min_region_area
    reach = opening_radius(*opening)
    to_mark = with_halo(area, levels.radius, image.image_shape)
    to_open = with_halo(to_mark, reach, image.image_shape)
    inside = image.read_inside(to_open)
    if inside is not None and not inside.any():
        residual_map = np.zeros(shape_of(area), dtype=np.float32)
        nothing = np.full(shape_of(area), -np.inf, dtype=np.float32)
        return _Block(residual_map, nothing, np.zeros(shape_of(area), dtype=bool))
    smoothed = _inspected_area(segmenter, image, to_open, inside)
    opened = open_map(smoothed, *opening, inside)[within(to_mark, to_open)]
    candidates = extent(opened, levels)[within(area, to_mark)]
    # A copy, so that the halo is released.
    residual_map = smoothed[within(area, to_open)].copy()
    return _Block(residual_map, opened[within(area, to_mark)], candidates)


def _inspected_area(
    segmenter: "Segmentation", image: SlicedImage, area: Area, inside: Mask | None
) -> Map:
    """Compute the residual map of an area of the whole image: 0 where nothing is inspected."""
    if inside is None:
        return smoothed_area(segmenter, image, area)
    residual_map = np.zeros(shape_of(area), dtype=np.float32)
    part = overlap(area, image.box)
    if part is not None:
        values = smoothed_area(segmenter, image, within(part, image.box))
        residual_map[within(part, area)] = values
    return residual_map


def _find_regions(
    segmenter: "Segmentation", image: SlicedImage, areas: list[Area], levels: Levels
) -> list[NDArray[np.intp]]:
    """Return, for each block, a pixel of each of its parts of regions that exceed the threshold."""
    # Numbers of the parts on the last row above each column, and on the last column before a block.
    above = np.zeros(image.image_shape[1], dtype=np.intp)
    before = np.zeros(0, dtype=np.intp)
    seeds, exceeds, touching = [], [np.zeros(1, dtype=bool)], [np.zeros((2, 0), dtype=np.intp)]
    n_parts = 0
    for rows, columns in areas:
        block = _compute_block(segmenter, image, (rows, columns), levels)
        labels, n_new = ndimage.label(block.candidates)
        seeds.append(_highest_pixels(block.opened, labels, n_new))
        exceeds.append(block.opened.ravel()[seeds[-1]] > np.float64(levels.threshold))
        numbers = np.where(labels > 0, labels + n_parts, 0)
        n_parts += n_new
        if rows.start > 0:
            touching.append(_pairs(above[columns], numbers[0]))
        if columns.start > 0:
            touching.append(_pairs(before, numbers[:, 0]))
        above[columns], before = numbers[-1], numbers[:, -1].copy()
    first, second = np.concatenate(touching, axis=1)
    graph = sparse.coo_array((np.ones(len(first), dtype=bool), (first, second)), [n_parts + 1] * 2)
    n_regions, region = sparse.csgraph.connected_components(graph, directed=False)
    counts = np.zeros(n_regions, dtype=bool)
    counts[region[np.concatenate(exceeds)]] = True
    ends = np.cumsum([len(own) for own in seeds])
    kept = np.split(counts[region][1:], ends[:-1])
    return [own[keep] for own, keep in zip(seeds, kept, strict=True)]


def _highest_pixels(opened: Map, labels: NDArray[Any], n_labels: int) -> NDArray[np.intp]:
    """Return the flat index of the highest pixel of each part."""
    if n_labels == 0:
        return np.zeros(0, dtype=np.intp)
    positions = ndimage.maximum_position(opened, labels, np.arange(1, n_labels + 1))
    rows, columns = np.transpose(positions).astype(np.intp)
    highest: NDArray[np.intp] = rows * opened.shape[1] + columns
    return highest


def _pairs(one: NDArray[np.intp], other: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the pairs of parts that meet at a border, in two rows."""
    both = (one > 0) & (other > 0)
    pairs: NDArray[np.intp] = np.unique(np.stack([one[both], other[both]]), axis=1)
    return pairs


def smoothed_area(segmenter: "Segmentation", image: SlicedImage, area: Area) -> Map:
    """Compute the residual map of an area, smoothed as in the whole image."""
    sigma = smoothing_sigma(segmenter.smoothing, image.image_shape)
    to_smooth = with_halo(area, smoothing_radius(sigma), image.shape)
    residual = segmenter.compute_area_residual(image, to_smooth)
    residual = check_residual(residual, shape_of(to_smooth), type(segmenter).__name__)
    inside = image.read_inside(outside_of(to_smooth, image.box))
    return smooth(residual, sigma, inside)[within(area, to_smooth)]


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
