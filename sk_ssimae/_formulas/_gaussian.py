"""Likelihood and divergence of normal distributions with independent components.

References
----------
D. P. Kingma, M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014, appendices B and C.
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
