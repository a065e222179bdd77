"""Structural similarity at several scales: Wang, Simoncelli and Bovik (2003).

Each scale averages 2 × 2 pixels of the one before. At all scales but the last, contrast and
structure are compared (equations 6 and 7 of Bergmann et al.), at the last one luminance as well
(equation 8).
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from sk_ssimae._formulas._arrays import add_product
from sk_ssimae._formulas._ssim import common_offset, moments, signed_power, similarity

#: Weights of the five scales, the finest first, as Wang et al. print them: their sum is 1.0001.
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def count_scales(shape: tuple[int, int], window_size: int) -> int:
    """Count the scales, at most five, at which the window fits into an image of that shape."""
    n_scales, side = 0, min(shape)
    while side >= window_size and n_scales < len(WEIGHTS):
        n_scales += 1
        side = (side + 1) // 2
    return n_scales


def scale_weights(n_scales: int) -> tuple[float, ...]:
    """Return the weights of the finest scales, divided by their sum if some are left out."""
    if n_scales == len(WEIGHTS):
        return WEIGHTS
    total = math.fsum(WEIGHTS[:n_scales])
    return tuple(weight / total for weight in WEIGHTS[:n_scales])


def weighted_geometric_mean(means: Sequence[Any], weights: Sequence[float]) -> Any:
    """Multiply the mean similarities of the scales, raised to their weights.

    Where one is negative the product is 0, as its root would not be real; a single scale is left
    as it is.
    """
    product: Any = 1
    for mean, weight in zip(means, weights, strict=True):
        product = product * signed_power(mean, weight)
    return product


def reach(window_size: int, n_scales: int) -> int:
    """Return how many pixels around a pixel its similarity at several scales depends on."""
    return window_size * 2 ** (n_scales - 1) // 2


def similarity_at_pixels(
    x: Any, y: Any, kernel: Any, weights: Sequence[float], c1: float, c2: float
) -> Any:
    """Average the similarities of all scales at each pixel.

    The window of a scale is centred on the pixel; where its side is even, the centre is half a
    pixel before it. At every 2^j-th pixel, the values are those of images of which pixels were
    averaged and left out j times. No value depends on where such a grid begins.

    Parameters
    ----------
    x, y : array of shape (..., H + 2R, W + 2R)
        Images with their surroundings of R pixels, the :func:`reach`, in float64.
    kernel : array of shape (K,)
        Weights of the window along one axis.
    weights : sequence of float
        Weights of the scales.
    c1, c2 : float
        Constants of equations 5-7.

    Returns
    -------
    array of shape (..., H, W)
        Weighted arithmetic means, from -1 to 1.
    """
    edge = reach(len(kernel), len(weights))
    height, width = (side - 2 * edge for side in x.shape[-2:])
    offset = common_offset(x, y)
    x, y = x - offset, y - offset
    total: Any = 0
    for scale, weight in enumerate(weights):
        step = 2**scale
        if scale:
            x, y = (_neighbour_means(image, step // 2) for image in (x, y))
        average = partial(_window_means, kernel=kernel, step=step)
        parts = similarity(moments(x, y, offset, average), c1, c2)
        one = parts.product if scale == len(weights) - 1 else parts.contrast_structure
        start = edge - len(kernel) * step // 2
        total = total + weight * one[..., start : start + height, start : start + width]
    return total / math.fsum(weights)


def _neighbour_means(images: Any, step: int) -> Any:
    """Average each pixel with those `step` pixels below, to the right, and both."""
    rows = (images[..., :-step, :] + images[..., step:, :]) / 2
    return (rows[..., :-step] + rows[..., step:]) / 2


def _window_means(maps: Sequence[Any], kernel: Any, step: int) -> Sequence[Any]:
    """Average maps under a separable window whose weights are `step` pixels apart."""
    return [_shifted_sum(_shifted_sum(one, kernel, step, -1), kernel, step, -2) for one in maps]


def _shifted_sum(image: Any, kernel: Any, step: int, axis: int) -> Any:
    length = image.shape[axis] - (len(kernel) - 1) * step
    total: Any = None
    for index in range(len(kernel)):
        part = slice(index * step, index * step + length)
        shifted = image[..., part] if axis == -1 else image[..., part, :]
        if total is None:
            total = shifted * kernel[0]
        else:
            add_product(total, shifted, kernel[index])
    return total
