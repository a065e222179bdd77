"""Evidence about both levels, gathered from held-out good images one by one."""

import copy
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._inference._decision import image_score
from sk_ssimae._inference._region import Region
from sk_ssimae.estimators._calibration import Calibration
from sk_ssimae.estimators._drift import keep_typical, typical_residual
from sk_ssimae.estimators._results import Map
from sk_ssimae.estimators._tail import TailProbability
from sk_ssimae.model_selection import (
    extreme_value_threshold,
    image_fpr_threshold,
    pixel_fpr_threshold,
)
from sk_ssimae.model_selection._extremes import block_maxima, block_size
from sk_ssimae.model_selection._threshold import allows_bound

# Most pixels by which pixel rates are found: 33 million.
_MOST_PIXELS = 2**25


class Evidence:
    """Scores, block maxima and pixels of good images, in bounded memory.

    Each image contributes its score and the maxima of its blocks. Of its pixels all are kept, or
    every second, fourth, … of all images if there are more than 33 million.
    """

    def __init__(self) -> None:
        self.scores: list[float] = []
        self._typical: list[tuple[float, float]] = []
        self._residuals, self._opened = _Sample(), _Sample()
        self._maxima: list[NDArray[Any]] = []
        self._block_pixels = self._image_pixels = 0.0

    def add(self, opened: Map, region: Region, residual_map: Map | None = None) -> None:
        """Add a held-out image, or a part of one.

        Parameters
        ----------
        opened : array of shape (h, w)
            Its opened residual map.
        region : Region
            The image.
        residual_map : array of shape (h, w) or None
            Its residual map; None if only `extrapolate` is needed.
        """
        self.scores.append(image_score(opened))
        self._typical.append(typical_residual(opened, region.image_shape, region.inside))
        blocks = block_maxima(opened, block_size(region.image_shape), region.inside)
        self._maxima.append(blocks.maxima)
        self._block_pixels += blocks.n_pixels
        self._image_pixels += region.inspected_share * math.prod(region.image_shape)
        if residual_map is not None:
            self._residuals.add(region.inspected(residual_map))
            self._opened.add(region.inspected(opened))

    def extrapolate(self, target_fpr: float) -> float:
        """Estimate the threshold of whole images from the blocks of a few, or of parts of them."""
        maxima = np.concatenate(self._maxima)
        pixels_per_block = self._block_pixels / len(maxima)
        image_pixels = self._image_pixels / len(self.scores)
        n_blocks = max(image_pixels / pixels_per_block, 1.0)
        return extreme_value_threshold(maxima, n_blocks, target_fpr)

    def calibrate(
        self, kind: str, parameters: dict[str, Any]
    ) -> tuple[Calibration, TailProbability]:
        """Find both levels by the rules of a segmenter, and tail probabilities.

        Parameters
        ----------
        kind : {"images", "regions"}
            Whether whole images were added, or a band of each.
        parameters : dict
            Parameters for which the levels hold, the rules among them.
        """
        target_fpr = parameters["target_fpr"]
        if parameters["threshold"] == "pixel_fpr":
            threshold = pixel_fpr_threshold(self._opened.parts, target_fpr)
        elif kind == "images" and allows_bound(len(self.scores), target_fpr):
            threshold = image_fpr_threshold(self.scores, target_fpr)
        else:
            threshold = self.extrapolate(target_fpr)
        extent = parameters["extent_threshold"]
        if isinstance(extent, str):
            extent = pixel_fpr_threshold(self._opened.parts, parameters["extent_fpr"])
        calibration = Calibration(
            threshold,
            min(float(extent), threshold),
            str(parameters["threshold"]),
            target_fpr,
            kind,
            len(self.scores),
            _deviation(self._opened.parts),
            *keep_typical(self._typical),
            # A copy, so that a dictionary changed in place later is noticed.
            copy.deepcopy(parameters),
        )
        return calibration, TailProbability.fit(self._residuals.parts)


class _Sample:
    """Values of maps, evenly thinned out whenever there are too many."""

    def __init__(self) -> None:
        self.parts: list[Map] = []
        self._step = 1
        self._size = 0

    def add(self, values: NDArray[Any]) -> None:
        flat = values.ravel()
        # A copy, so that the whole map is released.
        self._keep(flat if self._step == 1 else flat[:: self._step].copy())
        while self._size > _MOST_PIXELS:
            self._step *= 2
            parts, self.parts, self._size = self.parts, [], 0
            for part in parts:
                self._keep(part[::2].copy())

    def _keep(self, part: Map) -> None:
        self.parts.append(part)
        self._size += part.size


def _deviation(parts: Iterable[Map]) -> float:
    """Return the standard deviation of all values, without a copy of all."""
    parts = list(parts)
    n_pixels = sum(part.size for part in parts)
    mean = sum(float(part.sum(dtype=np.float64)) for part in parts) / n_pixels
    squares = (float(np.square(part - mean, dtype=np.float64).sum()) for part in parts)
    return math.sqrt(sum(squares) / n_pixels)
