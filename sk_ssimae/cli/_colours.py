"""Residuals as 8-bit codes and colours, all of a model on one logarithmic scale."""

import math
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from sk_ssimae.estimators import BaseSegmenter

_LARGEST = 255
# Where residuals have no bound. Defects at some hundred times the threshold have been seen.
_THRESHOLDS_IN_RANGE = 1024
# Colours of residuals (red, green, blue, opacity) at equal distances on three parts of the scale:
# below the extent's level, from there to the verdict's level, and above. Good texture stays
# visible, and each further multiple of the threshold has a colour of its own.
_BELOW = [(255, 245, 190, 0), (255, 237, 160, 40)]
_BETWEEN = [(254, 217, 118, 90), (253, 160, 70, 160)]
_ABOVE = [(240, 60, 32, 205), (189, 0, 80, 225), (110, 0, 130, 235), (20, 0, 80, 245)]


class ColourScale(NamedTuple):
    """Logarithmic scale of residuals in 8 bits: a function of the model alone.

    Attributes
    ----------
    origin : float
        Smallest possible residual. Residuals are counted from here.
    low, high : float
        Distances from the origin that become 0 and 255. Residuals beyond are clipped.
    extent, threshold : float
        The model's levels, as residuals.
    """

    origin: float
    low: float
    high: float
    extent: float
    threshold: float

    @classmethod
    def of(cls, segmenter: BaseSegmenter) -> Self:
        """Choose the scale for a fitted segmenter.

        It starts at half of the extent's level, because the values below need no colours, and ends
        at the largest possible residual, or at 1024 times the threshold if there is no bound.
        """
        origin, highest = segmenter.residual_range()
        extent, threshold = segmenter.extent_threshold_, segmenter.threshold_
        high = highest - origin
        if not math.isfinite(high):
            high = _THRESHOLDS_IN_RANGE * (threshold - origin if threshold > origin else 1.0)
        high = max(high, threshold - origin)
        low = 0.5 * (extent - origin) if extent > origin else high / _THRESHOLDS_IN_RANGE
        return cls(origin, low, high, extent, threshold)

    @property
    def step(self) -> float:
        """Ratio of the residuals of two neighbouring codes."""
        return math.exp(math.log(self.high / self.low) / _LARGEST)

    def position(self, residual: Any) -> NDArray[np.float64]:
        """Return the position of residuals between the ends, in [0, 1]."""
        distance = np.clip(np.asarray(residual, np.float64) - self.origin, self.low, self.high)
        position: NDArray[np.float64] = np.log(distance / self.low) / math.log(self.high / self.low)
        return np.clip(position, 0, 1)

    def encode(self, residual_map: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the codes of a map, in its shape."""
        return np.rint(_LARGEST * self.position(residual_map)).astype(np.uint8)

    def palette(self) -> NDArray[np.uint8]:
        """Return red, green, blue and opacity of each code, shape (256, 4)."""
        first, second = self.position([self.extent, self.threshold])
        stops = np.concatenate(
            [
                np.linspace(0, first, len(_BELOW)),
                np.linspace(first, second, len(_BETWEEN)),
                np.linspace(second, 1, len(_ABOVE)),
            ]
        )
        colours = np.array([*_BELOW, *_BETWEEN, *_ABOVE])
        at = np.arange(_LARGEST + 1) / _LARGEST
        palette = np.stack([np.interp(at, stops, channel) for channel in colours.T], axis=1)
        return np.rint(palette).astype(np.uint8)
