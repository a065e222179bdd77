"""Structural similarity: equations 4-8 of Bergmann et al. (arXiv:1807.02011).

Images and maps are NumPy arrays or torch tensors of shape (..., H, W). The average under the window
is passed in as a function, because the fastest one differs between libraries and dtypes. Operations
are in place where autograd allows it: half of the time goes into memory.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._formulas._arrays import add_product, array_namespace, subtract_product, take

# Keeps the derivative of the square root in the components finite; its root is far below c2.
SMALLEST_PRODUCT = 1e-20
PIXELS_OF_STRIP = 2**18

#: Averages maps of one shape under the window, at the positions that it covers fully.
Average = Callable[[Sequence[Any]], Sequence[Any]]


class Moments(NamedTuple):
    """Local population moments of two images under the window.

    Attributes
    ----------
    mean_x, mean_y : array of shape (..., H - K + 1, W - K + 1)
        Means of the centred images.
    level_x, level_y : array of the same shape
        Means of the images before centring.
    var_sum : array of the same shape
        Sum of both variances.
    cov_xy : array of the same shape
        Covariance.
    """

    mean_x: Any
    mean_y: Any
    level_x: Any
    level_y: Any
    var_sum: Any
    cov_xy: Any


class Similarity(NamedTuple):
    """Equation 5, the product of 6 and 7, which has no square root, and both denominators."""

    luminance: Any
    contrast_structure: Any
    luminance_denominator: Any
    structure_denominator: Any

    @property
    def product(self) -> Any:
        """Equation 8."""
        return self.luminance * self.contrast_structure


class Components(NamedTuple):
    """Luminance, contrast and structure: equations 5-7."""

    luminance: Any
    contrast: Any
    structure: Any


def common_offset(x: Any, y: Any) -> Any:
    """Compute the mean of both images, of shape (..., 1, 1), to subtract before the moments.

    E[x²] - E[x]² cancels on bright flat images. The moments do not depend on the offset, so its
    gradient is not needed.
    """
    return (x.mean(axis=(-2, -1), keepdims=True) + y.mean(axis=(-2, -1), keepdims=True)) / 2


def moments(x: Any, y: Any, offset: Any, average: Average) -> Moments:
    """Compute the moments that equation 8 needs, of images less their common offset."""
    squares = add_product(x * x, y, y)
    mean_x, mean_y, mean_squares, mean_product = average([x, y, squares, x * y])
    var_sum = subtract_product(subtract_product(mean_squares, mean_x, mean_x), mean_y, mean_y)
    return Moments(
        mean_x,
        mean_y,
        mean_x + offset,
        mean_y + offset,
        array_namespace(x).clip(var_sum, 0, None),
        subtract_product(mean_product, mean_x, mean_y),
    )


def similarity(m: Moments, c1: float, c2: float) -> Similarity:
    """Compute the factors of equation 8."""
    contrast_structure, structure_denominator = 2 * m.cov_xy, m.var_sum + c2
    contrast_structure += c2
    contrast_structure /= structure_denominator
    luminance, luminance_denominator = _luminance(m.level_x, m.level_y, c1)
    return Similarity(luminance, contrast_structure, luminance_denominator, structure_denominator)


def components(x: Any, y: Any, offset: Any, average: Average, c1: float, c2: float) -> Components:
    """Compute l, c and s (equations 5-7) of images less their common offset."""
    xp = array_namespace(x)
    mean_x, mean_y, xx, yy, xy = average([x, y, x * x, y * y, x * y])
    # All three alike, so that the covariance of two equal images is exactly their variance.
    var_x = xp.clip(subtract_product(xx, mean_x, mean_x), 0, None)
    var_y = xp.clip(subtract_product(yy, mean_y, mean_y), 0, None)
    structure = 2 * subtract_product(xy, mean_x, mean_y) + c2
    product = var_x * var_y
    deviations = xp.sqrt(xp.clip(product, SMALLEST_PRODUCT, None))
    # On flat images its root exceeds the mean of the variances, and the contrast would exceed 1.
    flat = product < SMALLEST_PRODUCT
    deviations = xp.where(flat, xp.minimum(deviations, (var_x + var_y) / 2), deviations)
    contrast = 2 * deviations + c2
    luminance, _ = _luminance(mean_x + offset, mean_y + offset, c1)
    return Components(luminance, contrast / (var_x + var_y + c2), structure / contrast)


def weighted_product(parts: Components, alpha: float, beta: float, gamma: float) -> Any:
    """Raise the components to their exponents and multiply them (equation 4)."""
    return (
        signed_power(parts.luminance, float(alpha))
        * parts.contrast**beta
        * signed_power(parts.structure, float(gamma))
    )


def signed_power(component: Any, exponent: float) -> Any:
    """Raise a component that may be negative; a fractional exponent clamps it at 0."""
    if exponent.is_integer():
        return component ** int(exponent)
    where, clamped = array_namespace(component).where, component <= 0
    # The inner `where` keeps the infinite derivative of a root at 0 out of the gradient.
    return where(clamped, 0.0, where(clamped, 1.0, component) ** exponent)


def has_product_form(alpha: float, beta: float, gamma: float) -> bool:
    """Whether SSIM is equation 8: c·s then needs no root, whose derivative is unbounded."""
    return alpha == beta == gamma == 1


def iter_strips(x: Any, y: Any, window_size: int) -> Iterator[tuple[Any, Any]]:
    """Cut two images into strips of rows with mirrored borders, to compute SSIM at every pixel.

    One map takes up to 17 others to compute, so whole images would need much memory. Compute the
    strips in float64: where images are flat, float32 errs by 1e-4, and differently in each strip.

    Parameters
    ----------
    x, y : array of shape (..., H, W)
        Images of one shape.
    window_size : int
        Side K of the window in pixels.

    Yields
    ------
    tuple of two arrays of shape (..., h + K - 1, W + K - 1)
        h rows of each image with their surroundings. The heights h add up to H.
    """
    edge, (height, width) = window_size // 2, x.shape[-2:]
    # With fewer rows, most of a strip would overlap with its neighbours.
    n_rows = max(PIXELS_OF_STRIP // (math.prod(x.shape[:-2]) * width), 4 * window_size)
    rows, columns = _mirrored_indices(height, edge), _mirrored_indices(width, edge)
    for start in range(0, height, n_rows):
        strip = rows[start : start + n_rows + 2 * edge]
        x_strip, y_strip = (take(take(image, strip, -2), columns, -1) for image in (x, y))
        yield x_strip, y_strip


def pad_symmetric(images: Any, width: int) -> Any:
    """Mirror the borders of images (..., H, W)."""
    rows, columns = (_mirrored_indices(n, width) for n in images.shape[-2:])
    return take(take(images, rows, -2), columns, -1)


def _mirrored_indices(n: int, width: int) -> NDArray[np.intp]:
    """Return the indices of n elements, with `width` mirrored ones at each end, ends included."""
    return np.pad(np.arange(n), width, mode="symmetric")


def _luminance(level_x: Any, level_y: Any, c1: float) -> tuple[Any, Any]:
    """Compute equation 5 and its denominator."""
    denominator = add_product(level_x * level_x, level_y, level_y)
    denominator += c1
    luminance = level_x * level_y
    luminance *= 2
    luminance += c1
    luminance /= denominator
    return luminance, denominator
