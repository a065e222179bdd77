"""Likelihood, divergence and distance of normal distributions with independent components.

References
----------
D. P. Kingma, M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014, appendices B and C.
A. Bhattacharyya, "On a Measure of Divergence between Two Statistical Populations Defined by their
Probability Distributions", Bulletin of the Calcutta Mathematical Society 35, 1943.
"""

import math
from typing import Any

from sk_ssimae._formulas._arrays import array_namespace


def negative_log_likelihood(squared_error: Any, variance: Any) -> Any:
    """Compute -log N(x; x̂, σ²) of pixels.

    Parameters
    ----------
    squared_error : array
        (x - x̂)², of any shape.
    variance : array of shape ()
        σ², of the same library and dtype.

    Returns
    -------
    array of the shape of `squared_error`
        In nats.
    """
    xp = array_namespace(squared_error)
    return squared_error / (2 * variance) + 0.5 * xp.log(2 * math.pi * variance)


def kl_divergence(mean: Any, log_variance: Any) -> Any:
    """Compute the divergence of normal distributions from the standard normal one.

    Parameters
    ----------
    mean, log_variance : array of shape (N, d)
        Distributions with independent components.

    Returns
    -------
    array of shape (N,)
        Kullback-Leibler divergences in nats, at least 0.
    """
    xp = array_namespace(mean)
    # Rounding can make the difference negative near a log-variance of 0.
    terms = xp.square(mean) + xp.clip(xp.expm1(log_variance) - log_variance, 0, None)
    return 0.5 * terms.sum(axis=1)


def bhattacharyya_distance(
    mean: Any, log_variance: Any, other_mean: Any, other_log_variance: Any
) -> Any:
    """Compute the Bhattacharyya distance, -log ∫ √(p q), of normal distributions.

    With v the mean of both variances, each component adds (μ - μ')² / (8 v) + log(v / (σ σ')) / 2.

    Parameters
    ----------
    mean, log_variance, other_mean, other_log_variance : array of shape (..., d)
        Distributions with independent components, of shapes that can be broadcast.

    Returns
    -------
    array of shape (...)
        Distances in nats, at least 0, and 0 for equal distributions.
    """
    xp = array_namespace(mean)
    # v / (σ σ') = cosh(h) for half the difference h of the log-variances. Written like this, no
    # digits cancel where it is near 1.
    excess = 2 * xp.square(xp.sinh((log_variance - other_log_variance) / 4))
    product = xp.exp((log_variance + other_log_variance) / 2)
    squared = xp.square(mean - other_mean) / (product * (1 + excess))
    return (squared / 8 + xp.log1p(excess) / 2).sum(axis=-1)
