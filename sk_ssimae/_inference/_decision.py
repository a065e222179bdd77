"""From a residual map to a decision: smoothing, opening, comparison with the threshold, maximum."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import morphology

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


def smooth(residual_map: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Smooth a map (h, w) with a Gaussian of `sigma` pixels; 0 leaves it unchanged.

    Raises
    ------
    ValueError
        If the result is not finite: compared with the threshold, it would lead to a wrong mask.
    """
    if sigma == 0:
        return residual_map
    smoothed: NDArray[np.float32] = ndimage.gaussian_filter(
        residual_map, sigma, radius=smoothing_radius(sigma)
    )
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


def opening_radius(diameter: int) -> int:
    """Return how many pixels around a pixel its opened value depends on."""
    return max(int(diameter) - 1, 0)


def open_map(residual_map: NDArray[np.float32], diameter: int) -> NDArray[np.float32]:
    """Open a map (h, w) with a disk of `diameter` pixels; 0 and 1 leave it unchanged.

    Thresholding the opened map equals opening the thresholded map. At the border, only the disk's
    pixels inside the image count.
    """
    if diameter < 2:
        return residual_map
    opened: NDArray[np.float32] = morphology.opening(
        residual_map, disk(int(diameter)), mode="ignore"
    )
    return opened


def mark(opened_map: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
    """Mark the pixels of an opened map that exceed the threshold."""
    # A float64: NumPy would cast a Python float to the float32 of the map.
    mask: NDArray[np.bool_] = opened_map > np.float64(threshold)
    return mask


def image_score(opened_map: NDArray[np.float32]) -> float:
    """Return the score of an image: above the threshold exactly if `mark` marks a pixel."""
    return float(opened_map.max())
