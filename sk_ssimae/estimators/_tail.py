"""Residuals in a unit that all segmenters share: how improbable they are in good images."""

from collections.abc import Iterable
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

# Beyond this quantile an exponential tail takes over: too few held-out pixels lie there.
_TAIL = 0.99
_N_QUANTILES = 991
_MOST_VALUES = 2_000_000


class TailProbability(NamedTuple):
    """Share of good pixels whose residual is higher than a value.

    Attributes
    ----------
    quantiles : array of shape (991,)
        Quantiles of the residuals of good pixels at 0 %, 0.1 %, ... 99 %.
    scale : float
        Mean excess over the last quantile: scale of the exponential tail beyond.
    """

    quantiles: NDArray[np.float64]
    scale: float

    @classmethod
    def of_maps(cls, residual_maps: Iterable[NDArray[np.float32]]) -> Self:
        """Estimate it from residual maps of held-out good images."""
        maps = list(residual_maps)
        step = -(-sum(one.size for one in maps) // _MOST_VALUES)
        values = np.concatenate([one.ravel()[::step] for one in maps]).astype(np.float64)
        quantiles = np.quantile(values, np.linspace(0, _TAIL, _N_QUANTILES))
        excesses = values[values > quantiles[-1]] - quantiles[-1]
        spread = max(np.ptp(quantiles), abs(quantiles[-1]), np.finfo(np.float32).tiny)
        # Of pixels that are all equal, any higher residual is as improbable as can be.
        return cls(quantiles, float(excesses.mean()) if len(excesses) else 1e-3 * float(spread))

    def surprise(self, residual_map: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the negative logarithm (base e) of the share of good pixels with higher residuals.

        It is 0 for the lowest residual of a good pixel, and increases with the residual.
        """
        start = self.quantiles[-1]
        shares = np.interp(residual_map, self.quantiles, np.linspace(0, _TAIL, _N_QUANTILES))
        excess = np.maximum(residual_map.astype(np.float64) - start, 0)
        surprise: NDArray[np.float32] = (excess / self.scale - np.log1p(-shares)).astype(np.float32)
        return surprise
