"""Residual maps as 16-bit images, all of a model on one scale."""

import io
import json
import math
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from sk_ssimae.estimators import BaseSegmenter

_LARGEST = 2**16 - 1
# Leaves 1024 steps below the threshold where residuals have no bound, or one far above it.
_THRESHOLDS_IN_RANGE = 64


class ResidualScale(NamedTuple):
    """Range of residuals that 16 bits represent: a function of the model alone.

    Attributes
    ----------
    low, high : float
        Residuals that become 0 and 65535. Residuals beyond are clipped.
    """

    low: float
    high: float

    @classmethod
    def of(cls, segmenter: BaseSegmenter) -> Self:
        """Choose the range for a fitted segmenter.

        It starts at the smallest possible residual and ends at the largest, unless that is more
        than 64 times as far as the threshold: squared errors come nowhere near their bound.
        """
        low, high = segmenter.residual_range()
        above = _THRESHOLDS_IN_RANGE * (segmenter.threshold_ - low)
        length = min(above, high - low) if above > 0 else high - low
        return cls(low, low + (length if math.isfinite(length) else _LARGEST / 1000))

    @property
    def description(self) -> dict[str, Any]:
        """Return the formula that recovers residuals, for JSON."""
        return {
            "offset": self.low,
            "scale": _LARGEST / (self.high - self.low),
            "formula": "residual = value / scale + offset",
        }

    def n_clipped(self, residual_map: NDArray[np.float32]) -> int:
        """Count the pixels beyond the range by more than rounding."""
        half_step = 0.5 * (self.high - self.low) / _LARGEST
        beyond = (residual_map < self.low - half_step) | (residual_map > self.high + half_step)
        return int(beyond.sum())

    def to_tiff(self, residual_map: NDArray[np.float32]) -> bytes:
        """Return the content of a 16-bit TIFF file, with the scale as JSON in its description."""
        import tifffile

        scale = self.description["scale"]
        values = np.rint((residual_map.astype(np.float64) - self.low) * scale)
        pixels = np.clip(values, 0, _LARGEST).astype(np.uint16)
        file = io.BytesIO()
        tifffile.imwrite(
            file,
            pixels,
            description=json.dumps(self.description),
            metadata=None,
            compression="zlib",
        )
        return file.getvalue()
