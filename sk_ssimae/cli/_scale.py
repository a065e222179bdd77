"""Residual maps as 16-bit images, all those of a model on one scale."""

import io
import json
import math
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from sk_ssimae.estimators import (
    BaseSegmenter,
    SSIMAutoencoderSegmenter,
    VariationalAutoencoderSegmenter,
)

_LARGEST = 2**16 - 1
# Leaves 1024 steps below the threshold where residuals have no bound, or one far above it.
_THRESHOLDS_IN_RANGE = 64


class ResidualScale(NamedTuple):
    """The range of residuals that 16 bits hold: a function of the model alone.

    Attributes
    ----------
    low, high : float
        Residuals that become 0 and 65535. What is beyond is clipped.
    """

    low: float
    high: float

    @classmethod
    def of(cls, segmenter: BaseSegmenter) -> Self:
        """Choose the range for a fitted segmenter.

        1 - SSIM lies in [0, 2]. Squared errors have no bound that is near them: the range starts
        at the residual of a perfect reconstruction, which a likelihood has below 0, and is 64 times
        as long as from there to the threshold, but no longer than an error of the whole intensity
        range.
        """
        low, longest = 0.0, 1.0
        if isinstance(segmenter, SSIMAutoencoderSegmenter):
            return cls(0.0, 2.0)
        if isinstance(segmenter, VariationalAutoencoderSegmenter):
            if segmenter.residual == "kl":
                longest = math.inf
            else:
                variance = float(segmenter.net_.criterion_.variance)
                low = 0.5 * math.log(2 * math.pi * variance)
                longest = 0.5 / variance
        above = _THRESHOLDS_IN_RANGE * (segmenter.threshold_ - low)
        length = min(above, longest) if above > 0 else longest
        return cls(low, low + (length if math.isfinite(length) else _LARGEST / 1000))

    @property
    def description(self) -> dict[str, Any]:
        """Say how to get residuals back, for JSON."""
        return {
            "offset": self.low,
            "scale": _LARGEST / (self.high - self.low),
            "formula": "residual = value / scale + offset",
        }

    def n_clipped(self, residual_map: NDArray[np.float32]) -> int:
        """Count the pixels beyond the range, by more than they would be rounded."""
        half_step = 0.5 * (self.high - self.low) / _LARGEST
        beyond = (residual_map < self.low - half_step) | (residual_map > self.high + half_step)
        return int(beyond.sum())

    def to_tiff(self, residual_map: NDArray[np.float32]) -> bytes:
        """Make the content of a 16-bit TIFF file, with the scale as JSON in its description."""
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
