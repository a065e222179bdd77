"""The image that a defect is drawn into, and the operations that families share."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float64]
Mask = NDArray[np.bool_]
Weights = NDArray[np.float64]

# Robust extremes of the grey values, and the least contrast on images that have none.
_PERCENTILES = (1, 99)
_LEAST_SPAN = 0.01


class Canvas(NamedTuple):
    """A good image, another one of the same material, and the contrast of its texture.

    Attributes
    ----------
    image : array of shape (h, w, c)
        Pixels in [0, 1], the range of their type.
    other : array of shape (h', w', c)
        Another good image, or the same if there is only one.
    span : float
        Difference of the 99th and the 1st percentile of the pixels, at least 0.01: the unit of
        contrast.
    dark, bright : float
        Grey values a quarter of the span beyond these percentiles, within [0, 1].
    """

    image: Image
    other: Image
    span: float
    dark: float
    bright: float

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def side(self) -> int:
        """Shorter side in pixels."""
        return min(self.shape)


#: Draws one defect: takes the canvas, the amount in (0, 1] and a random generator; returns the
#: region (h, w) that may change, and an image (h, w, c) with its new values.
Drawer = Callable[[Canvas, float, np.random.Generator], tuple[Mask, Image]]


def make_canvas(image: Image, other: Image) -> Canvas:
    """Measure the contrast of an image (h, w, c) in [0, 1]."""
    # Without interpolation, so that repeated channels change nothing.
    low, high = np.percentile(image, _PERCENTILES, method="inverted_cdf")
    span = max(float(high - low), _LEAST_SPAN)
    dark, bright = max(low - span / 4, 0.0), min(high + span / 4, 1.0)
    return Canvas(image, other, span, float(dark), float(bright))


def blend(image: Image, target: Image | float, weights: Weights | float) -> Image:
    """Mix an image (h, w, c) with a target by weights (h, w) in [0, 1]."""
    mixed: Image = image + np.asarray(weights)[..., None] * (target - image)
    return mixed
