"""Scale stored pixels to intensities: the values that become 0 and 1."""

import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._reading._stored import StoredImage
from sk_ssimae.exceptions import IntensityRangeWarning

Image = NDArray[Any]

# Intensities beyond the range are kept up to a range's length from its ends: a defect may be
# brighter than everything in training.
_LOWEST, _HIGHEST = -1, 2
# Pixels outside these percentiles do not count: a camera has some that are stuck.
_PERCENTILES = 0.1, 99.9
_SAMPLE = 2**16
_LEAST_SHARE_OF_TYPE = 1 / 4
# Warnings at prediction.
_LEAST_SHARE = 1 / 8
_MARGIN, _LARGEST_SHARE_BEYOND = 0.1, 0.1


class IntensityRange(NamedTuple):
    """Range of stored values that becomes [0, 1].

    Attributes
    ----------
    low, high : float
        Stored values that become 0 and 1.
    """

    low: float
    high: float

    @classmethod
    def find(cls, images: Sequence[StoredImage]) -> Self | None:
        """Find the range of training images; None if the types of their pixels say it.

        Pixels of 8 bits and floats in [0, 1] that use at least a quarter of their range are taken
        as they are. Others, such as a camera's 12 bits in uint16, are scaled by the lowest and
        highest value, but for one pixel in a thousand at either end. Images of one value have no
        range, and mixed types have none in common.
        """
        kinds = {(image.maximum, image.pixels.dtype.kind) for image in images}
        low, high = _common_span(images)
        if len(kinds) > 1 or low == high:
            return None
        [(maximum, kind)] = kinds
        white = maximum if maximum in (1, 255) else 1 if kind == "f" else None
        if white and low >= 0 and high <= white and high - low >= _LEAST_SHARE_OF_TYPE * white:
            return None
        return cls(low, high)

    def scale(self, image: StoredImage, name: str) -> Image:
        """Scale an image to float32, 0 at `low` and 1 at `high`, within [-1, 2].

        Raises
        ------
        ValueError
            If pixels are not finite, or their type cannot reach the middle of the range.
        """
        pixels, (low, high) = image.pixels, self
        if image.maximum is not None and image.maximum < (low + high) / 2:
            raise ValueError(
                f"{name} must have intensities in the model's intensity_range=({low:g}, {high:g}), "
                f"got pixels of at most {image.maximum} instead. Pass images in the units of the "
                "training images."
            )
        if pixels.dtype.kind == "f":
            check_finite(pixels, name)
        exact = np.float32 if pixels.dtype.itemsize <= 2 else np.float64
        scaled = np.subtract(pixels, low, dtype=exact)
        scaled /= high - low
        return np.clip(scaled, _LOWEST, _HIGHEST, out=scaled).astype(np.float32, copy=False)


def scale_by_type(image: StoredImage, name: str) -> Image:
    """Scale an image by the range of its type: uint8 as it is, else float32 in [0, 1].

    Raises
    ------
    TypeError
        If the pixels are signed integers.
    ValueError
        If floats are outside [0, 1] or not finite.
    """
    pixels = image.pixels
    if pixels.dtype == np.uint8 and image.maximum == 255:
        return pixels
    if image.maximum is not None:
        scaled: NDArray[np.float32] = np.divide(pixels, image.maximum, dtype=np.float32)
        return scaled
    if pixels.dtype.kind == "i":
        raise TypeError(
            f"{name} must contain booleans, unsigned integers or floats, got {pixels.dtype} "
            "instead. Set intensity_range=(low, high) to the values that become black and white, "
            "or convert it first."
        )
    check_finite(pixels, name)
    if not _inside_unit(pixels):
        raise ValueError(
            f"{name} must have floats in [0, 1], got values from {pixels.min():g} to "
            f"{pixels.max():g} instead. Set intensity_range=(low, high) to the values that become "
            "black and white, or rescale it."
        )
    return pixels.astype(np.float32, copy=False)


def scale(image: StoredImage, intensity_range: IntensityRange | None, name: str) -> Image:
    """Scale an image by a range, or by the range of its type if that is None."""
    if intensity_range is None:
        return scale_by_type(image, name)
    return intensity_range.scale(image, name)


def warn_of_little_use(
    images: Sequence[StoredImage], intensity_range: IntensityRange | None
) -> None:
    """Warn if training images use a small part of the range that was given, or of their types."""
    low, high = _common_span(images)
    length = (
        max(image.maximum or 1 for image in images)
        if intensity_range is None
        else intensity_range.high - intensity_range.low
    )
    if 0 < high - low < _LEAST_SHARE * length:
        warnings.warn(
            f"The training images use {(high - low) / length:.1%} of the intensity range: their "
            f"values are {low:g} to {high:g}. To the network they are almost one grey. Set "
            "intensity_range='auto' or a range that fits.",
            IntensityRangeWarning,
            stacklevel=5,
        )


def warn_of_misfit(scaled: Image, stored: StoredImage, name: str) -> bool:
    """Warn if an image leaves the intensity range by much, or uses a small part of it; say if so.

    Parameters
    ----------
    scaled, stored : arrays of shape (h, w, c)
        The image before and after scaling.
    name : str
        Its name in the message.
    """
    if scaled.dtype == np.uint8:
        return False
    sample = _sample(scaled)
    beyond = float(((sample < -_MARGIN) | (sample > 1 + _MARGIN)).mean())
    low, high = np.percentile(sample, _PERCENTILES)
    if beyond > _LARGEST_SHARE_BEYOND:
        problem = f"has {beyond:.0%} of its pixels beyond the intensity range of the model"
    elif (stored.maximum or 0) > 255 and 0 < high - low < _LEAST_SHARE:
        problem = f"uses {high - low:.1%} of the intensity range of the model"
    else:
        return False
    first, last = _span(stored.pixels)
    warnings.warn(
        f"{name} {problem}: its values are {first:g} to {last:g}. Its residuals may mean nothing. "
        "Pass images in the units of the training images, or fit with an intensity_range=(low, "
        "high) that fits.",
        IntensityRangeWarning,
        stacklevel=3,
    )
    return True


def check_finite(pixels: Image, name: str) -> None:
    """Check that floats are finite.

    Raises
    ------
    ValueError
        If they are not.
    """
    # Extremes are not finite if any pixel is not.
    if not (np.isfinite(pixels.min()) and np.isfinite(pixels.max())):
        raise ValueError(
            f"{name} must be finite, got NaN or infinity instead. Replace them, for example with "
            "numpy.nan_to_num, or leave the image out."
        )


def _inside_unit(pixels: Image) -> bool:
    return bool(pixels.min() >= 0 and pixels.max() <= 1)


def _common_span(images: Sequence[StoredImage]) -> tuple[float, float]:
    spans = [_span(image.pixels) for image in images]
    return min(low for low, _ in spans), max(high for _, high in spans)


def _span(pixels: Image) -> tuple[float, float]:
    low, high = np.percentile(_sample(pixels), _PERCENTILES, method="nearest")
    return float(low), float(high)


def _sample(pixels: Image) -> Image:
    """Take about 65,000 values, evenly spread."""
    if len(pixels) == 1:
        return pixels[:, :: math.ceil(pixels.shape[1] / _SAMPLE)]
    step = math.ceil(math.sqrt(pixels.shape[0] * pixels.shape[1] / _SAMPLE))
    return pixels[::step, ::step]
