"""From a residual map to a decision: smoothing, opening, hysteresis between two levels, maximum."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import filters, morphology

# Gains on nanofibres of 1024 × 700 pixels and costs least on fabrics of 256 × 256.
_SHARE_OF_SIDE = 0.01
# Where the Gaussian is cut off, in sigma.
_TRUNCATE = 4


def smoothing_sigma(smoothing: float | str, image_shape: tuple[int, int]) -> float:
    """Return the sigma in pixels: "auto" is a hundredth of the image's shorter side."""
    if isinstance(smoothing, str):
        return _SHARE_OF_SIDE * min(image_shape)
    return float(smoothing)  # Four times NumPy's uint8 could overflow.


def smoothing_radius(sigma: float) -> int:
    """Return how many pixels around a pixel its smoothed value depends on."""
    return int(_TRUNCATE * sigma + 0.5)


def smooth(
    residual_map: NDArray[np.float32], sigma: float, inside: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Smooth a map (h, w) with a Gaussian of `sigma` pixels; 0 leaves it unchanged.

    With a mask `inside` (h, w), each value is the weighted mean of those inside, and 0 outside.

    Raises
    ------
    ValueError
        If the result is not finite: compared with the threshold, it would lead to a wrong mask.
    """
    if inside is not None:
        residual_map = np.where(inside, residual_map, np.float32(0))
    if sigma == 0:
        return residual_map
    smoothed: NDArray[np.float32] = ndimage.gaussian_filter(
        residual_map, sigma, radius=smoothing_radius(sigma)
    )
    if inside is not None:
        weights = ndimage.gaussian_filter(
            inside.astype(np.float32), sigma, radius=smoothing_radius(sigma)
        )
        smoothed = np.divide(smoothed, weights, out=np.zeros_like(smoothed), where=inside)
    if not is_finite(smoothed):
        raise ValueError(
            f"smoothing={sigma:g} pixels must lead to finite maps, got NaN or infinity instead. "
            "Choose a smaller sigma."
        )
    return smoothed


def is_finite(residual_map: NDArray[np.float32]) -> bool:
    """Tell whether a map has neither NaN nor infinity; its extremes tell, without more memory."""
    return bool(np.isfinite([residual_map.min(), residual_map.max()]).all())


def disk(diameter: int) -> NDArray[np.bool_]:
    """Return a disk: the pixels of a square whose centres lie within diameter / 2 of its centre.

    Examples
    --------
    >>> from sk_ssimae._inference._decision import disk
    >>> disk(4).astype(int)
    array([[0, 1, 1, 0],
           [1, 1, 1, 1],
           [1, 1, 1, 1],
           [0, 1, 1, 0]])
    """
    offsets = np.arange(diameter) - (diameter - 1) / 2
    inside: NDArray[np.bool_] = np.add.outer(offsets**2, offsets**2) <= (diameter / 2) ** 2
    return inside


class Levels(NamedTuple):
    """Levels between which opened maps are segmented, as in hysteresis.

    Attributes
    ----------
    threshold : float
        The verdict's level: a region exceeds it somewhere.
    extent_threshold : float
        Level that all pixels of a region exceed; at most `threshold`.
    radius : int
        Pixels of a region also exceed half of the highest value within this many rows and columns,
        counted from `extent_threshold`; 0 for no such rule.
    """

    threshold: float
    extent_threshold: float
    radius: int = 0


def opening_radius(diameter: int, min_region_area: int = 0) -> int:
    """Return how many pixels around a pixel its opened value depends on."""
    # Any connected set of at least that area contains one of exactly that area around the pixel.
    return max(int(diameter) - 1, 0) + max(int(min_region_area) - 1, 0)


def open_map(
    residual_map: NDArray[np.float32],
    diameter: int,
    min_region_area: int = 0,
    inside: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Open a map (h, w) with a disk of `diameter` pixels, then by area; 0 and 1 do nothing.

    Thresholding the opened map equals opening the thresholded map and leaving out its regions of
    fewer than `min_region_area` pixels. At the border, only the disk's pixels inside the image
    count. A mask `inside` (h, w) has a border too; the opened map is minus infinity beyond it, and
    in its parts of fewer than `min_region_area` pixels.
    """
    opened = residual_map
    if diameter >= 2:
        opened = _open_with_disk(residual_map, int(diameter), inside)
    if min_region_area >= 2:
        by_area: Any = morphology.area_opening  # Without types.
        if inside is not None:
            opened = np.where(inside, opened, -np.float32(np.inf))
        opened = by_area(opened, int(min_region_area), connectivity=1)
    return opened if inside is None else np.where(inside, opened, -np.float32(np.inf))


def _open_with_disk(
    residual_map: NDArray[np.float32], diameter: int, inside: NDArray[np.bool_] | None
) -> NDArray[np.float32]:
    steps: Any = morphology  # Partly without types.
    element: Any = disk(diameter)
    opened: NDArray[np.float32]
    if inside is None:
        opened = steps.opening(residual_map, element, mode="ignore")
        return opened
    # Values outside must count in neither step.
    element = steps.pad_footprint(element, pad_end=False)
    highest, lowest = residual_map[inside].max(), residual_map[inside].min()
    eroded = steps.erosion(np.where(inside, residual_map, highest), element, mode="ignore")
    opened = steps.dilation(
        np.where(inside, eroded, lowest), steps.mirror_footprint(element), mode="ignore"
    )
    return opened


def extent(opened_map: NDArray[np.float32], levels: Levels) -> NDArray[np.bool_]:
    """Tell which pixels may belong to a region, if it exceeds the verdict's level."""
    # In float64: NumPy would cast a Python float to the float32 of the map.
    above = opened_map - np.float64(levels.extent_threshold)
    inside: NDArray[np.bool_] = above > 0
    if levels.radius > 0:
        inside &= above > 0.5 * ndimage.maximum_filter(above, 2 * levels.radius + 1)
    return inside


def mark(opened_map: NDArray[np.float32], levels: Levels) -> NDArray[np.bool_]:
    """Mark the regions of an opened map that exceed the verdict's level somewhere.

    Pixels of a region touch each other at an edge, not only at a corner.
    """
    low, high = np.float64(levels.extent_threshold), np.float64(levels.threshold)
    candidates = np.where(extent(opened_map, levels), opened_map, -np.inf)
    hysteresis: Any = filters.apply_hysteresis_threshold  # Without types.
    mask: NDArray[np.bool_] = hysteresis(candidates, low, high)
    return mask


def image_score(opened_map: NDArray[np.float32]) -> float:
    """Return the score of an image: above the verdict's level exactly if `mark` marks a pixel."""
    return float(opened_map.max())
