"""Residuals in a common unit: how improbable each is on good pixels."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._validation import as_collection, as_floats

_N_KNOTS = 1000
# Share of the good pixels beyond which too few are left to count them.
_TAIL_SHARE = 0.01
# Maps of several segmenters are added in float32.
_HIGHEST = 1e30


class TailProbability(NamedTuple):
    """Probability that a good pixel has a given residual or a higher one.

    Up to the 99 % quantile of the residuals of good pixels it is the share that reaches the
    residual, interpolated between about 1000 of them. Beyond it is that of an exponential
    distribution whose scale is the mean excess over the quantile. So it is above 0 for residuals
    that no good pixel has reached.

    Attributes
    ----------
    residuals : array of float64, shape (n_knots,)
        Ascending residuals of good pixels, from the lowest to the 99 % quantile.
    surprises : array of float64, shape (n_knots,)
        Negative natural logarithm of the share of good pixels that reach each, ascending from 0.
    scale : float
        Residual, above 0, over which the probability beyond the last quantile falls by a factor e.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ssimae.estimators import TailProbability
    >>> tail = TailProbability.fit([np.arange(1000) / 1000])
    >>> tail.surprise(np.array([0.0, 0.5, 0.9])).round(2)
    array([0.  , 0.69, 2.3 ], dtype=float32)
    """

    residuals: NDArray[np.float64]
    surprises: NDArray[np.float64]
    scale: float

    @classmethod
    def fit(cls, residual_maps: Sequence[NDArray[Any]]) -> Self:
        """Count the residuals of good pixels.

        Parameters
        ----------
        residual_maps : sequence of arrays
            Residuals of good pixels that training has not seen, of any shape.

        Returns
        -------
        TailProbability
            Their tail probabilities.

        Raises
        ------
        TypeError
            If `residual_maps` is neither an array nor a sequence.
        ValueError
            If there are no residuals, or one is not a finite real number.
        """
        residual_maps = as_collection(residual_maps, "residual_maps")
        maps = [
            as_floats(item, f"residual_maps[{i}]").ravel() for i, item in enumerate(residual_maps)
        ]
        ordered = np.concatenate(maps) if maps else np.empty(0)
        ordered.sort()  # NaN comes last.
        if ordered.size == 0 or not np.isfinite(ordered[[0, -1]]).all():
            raise ValueError(
                "residual_maps must contain finite numbers, got none, NaN or infinity instead."
            )
        knots = _knots(ordered)
        residuals = knots.astype(np.float64)  # Differences of float32 may overflow.
        # All from the first of equal residuals on reach it.
        n_reaching = ordered.size - np.searchsorted(ordered, knots)
        surprises = 0 - np.log(n_reaching / ordered.size)  # Not -0.0 at first.
        excesses = ordered[np.searchsorted(ordered, knots[-1], side="right") :] - residuals[-1]
        return cls(residuals, surprises, _scale(residuals, surprises, excesses))

    def surprise(self, residual: NDArray[Any]) -> NDArray[np.float32]:
        """Return the negative natural logarithm of tail probabilities.

        Parameters
        ----------
        residual : array
            Finite residuals.

        Returns
        -------
        array of float32
            At least 0, and ascending with the residual; of the same shape.
        """
        within = np.interp(residual, self.residuals, self.surprises)
        beyond = np.maximum(np.asarray(residual, dtype=np.float64) - self.residuals[-1], 0)
        surprise: NDArray[np.float32] = np.minimum(within + beyond / self.scale, _HIGHEST).astype(
            np.float32
        )
        return surprise


def limit_softly(surprise: NDArray[np.float32], limit: float) -> NDArray[np.float32]:
    """Let surprises beyond a limit l grow by the logarithm alone: to l (1 + ln(surprise / l))."""
    threshold = np.float32(limit)
    excess: NDArray[np.float32] = np.maximum(surprise / threshold, 1)
    return np.minimum(surprise, threshold) + threshold * np.log(excess)


def _knots(ordered: NDArray[Any]) -> NDArray[Any]:
    """Choose some of the ascending residuals, evenly in surprise, up to the 99 % quantile."""
    levels = np.geomspace(1, _TAIL_SHARE, _N_KNOTS - 1)
    n_reaching = np.floor(levels * ordered.size + 1e-9).astype(int)
    knots = np.unique(ordered[np.minimum(ordered.size - n_reaching, ordered.size - 1)])
    # Where residuals are equal, more pixels than that may reach the last: take the next higher one.
    first = int(np.searchsorted(ordered, knots[-1]))
    following = int(np.searchsorted(ordered, knots[-1], side="right"))
    reached_by_more = ordered.size - first > _TAIL_SHARE * ordered.size + 1e-9
    if reached_by_more and following < ordered.size:
        return np.append(knots, ordered[following])
    return knots


def _scale(
    residuals: NDArray[np.float64], surprises: NDArray[np.float64], excesses: NDArray[np.float64]
) -> float:
    """Return the mean excess; without any, the mean slope so far or the size of the residual."""
    if excesses.size:
        return float(excesses.mean(dtype=np.float64))
    if len(residuals) > 1:
        return float((residuals[-1] - residuals[0]) / surprises[-1])
    return float(abs(residuals[0])) or 1.0
