"""A threshold for whole images from few of them, extrapolated from the maxima of blocks."""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sk_ssimae._validation import as_floats
from sk_ssimae.model_selection._threshold import check_target_fpr

# A block is ten sigma of the default smoothing wide: maxima of neighbours hardly depend on each
# other. Blocks half as many per side were as good on real images and worse on synthetic ones.
_BLOCKS_PER_SIDE = 10


def extreme_value_threshold(block_maxima: ArrayLike, n_blocks: float, target_fpr: float) -> float:
    """Estimate the threshold that a given share of new good images exceeds, from few of them.

    Good images are divided into blocks, and a Gumbel distribution, the limit of maxima of many
    values with light tails, is fitted to the maxima of the blocks by the method of moments. The
    maximum of an image is that of `n_blocks` independent ones. This is an extrapolation: unlike
    :func:`image_fpr_threshold` it needs few images, and promises nothing. More images are flagged
    if tails are heavier or images differ more than the blocks show, fewer if tails are lighter.

    Parameters
    ----------
    block_maxima : array of shape (n,)
        Maximum residual of each block, of good images that training has not seen; at least 2.
    n_blocks : float
        Number of such blocks in a whole image, at least 1.
    target_fpr : float in (0, 1)
        Share of good images that should exceed the threshold.

    Returns
    -------
    float
        The threshold. An image is flagged if its score is above it.

    Raises
    ------
    ValueError
        If there are fewer than 2 maxima, one is not finite, `n_blocks` is less than 1, or
        `target_fpr` is not in (0, 1).

    References
    ----------
    E. J. Gumbel, "Statistics of Extremes", Columbia University Press, 1958. S. Coles, "An
    Introduction to Statistical Modeling of Extreme Values", Springer, 2001: block maxima.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ssimae.model_selection import extreme_value_threshold
    >>> maxima = np.random.default_rng(0).gumbel(size=300)
    >>> threshold = extreme_value_threshold(maxima, n_blocks=100, target_fpr=0.05)
    >>> images = np.random.default_rng(1).gumbel(size=(1000, 100)).max(axis=1)
    >>> float((images > threshold).mean())
    0.044
    """
    check_target_fpr(target_fpr)
    maxima = as_floats(block_maxima, "block_maxima", "(n,)").astype(np.float64)
    if maxima.ndim != 1 or maxima.size < 2 or not np.isfinite(maxima).all():
        raise ValueError(
            f"block_maxima must be at least 2 finite numbers of shape (n,), got {maxima!r} instead."
        )
    if not (isinstance(n_blocks, Real) and 1 <= n_blocks < np.inf):
        raise ValueError(f"n_blocks must be a number of at least 1, got {n_blocks!r} instead.")
    # Mean and standard deviation of the distribution exp(-exp(-(x - location) / scale)).
    scale = np.std(maxima, ddof=1) * math.sqrt(6) / math.pi
    location = np.mean(maxima) - scale * np.euler_gamma
    # The maximum of n_blocks is at most x with probability exp(-n_blocks exp(-(x - location) / s)).
    return float(location - scale * math.log(-math.log1p(-target_fpr) / n_blocks))


def block_size(image_shape: tuple[int, int]) -> int:
    """Return the side of a block in pixels, for an image of that height and width."""
    return max(min(image_shape) // _BLOCKS_PER_SIDE, 1)


class BlockMaxima(NamedTuple):
    """Maxima of the blocks of a map, and the number of pixels of these blocks."""

    maxima: NDArray[Any]
    n_pixels: int


def block_maxima(
    residual_map: NDArray[Any], side: int, inside: NDArray[np.bool_] | None = None
) -> BlockMaxima:
    """Divide a map into blocks of about `side` pixels and return the maximum of each.

    With a mask `inside` (h, w), only blocks count that lie at least half inside, or those that lie
    inside most if none does; the map is minus infinity outside.
    """
    starts: Sequence[NDArray[np.intp]] = [
        np.linspace(0, length, max(length // side, 1), endpoint=False).astype(np.intp)
        for length in residual_map.shape
    ]
    maxima = _reduce(np.maximum, residual_map, starts)
    if inside is None:
        return BlockMaxima(maxima, residual_map.size)
    n_inside = _reduce(np.add, inside.astype(np.int64), starts)
    share = n_inside / _reduce(np.add, np.ones(inside.shape, dtype=np.int64), starts)
    counts = share >= min(0.5, float(share.max()))
    return BlockMaxima(maxima[counts], int(n_inside[counts].sum()))


def _reduce(
    operation: np.ufunc, values: NDArray[Any], starts: Sequence[NDArray[np.intp]]
) -> NDArray[Any]:
    by_row = operation.reduceat(values, starts[0], axis=0)
    reduced: NDArray[Any] = operation.reduceat(by_row, starts[1], axis=1).ravel()
    return reduced
