"""Tail probabilities of good pixels in a file."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_ssimae.estimators import BaseSegmenter, TailProbability
from sk_ssimae.persistence._checks import check_count, check_keys, check_number, quote
from sk_ssimae.persistence._container import TensorHeader, Tensors

# Residuals are float32.
_LARGEST = float(np.finfo(np.float32).max)


def describe_tail(segmenter: BaseSegmenter) -> tuple[dict[str, Any] | None, Tensors]:
    """Describe the tail probabilities of a segmenter; None if it has not been calibrated."""
    if not hasattr(segmenter, "calibration_"):
        return None, {}
    tail = segmenter.tail_
    described = {"n_knots": len(tail.residuals), "scale": float(tail.scale)}
    return described, {"residuals": tail.residuals, "surprises": tail.surprises}


class TailBlueprint(NamedTuple):
    """Tail probabilities but for their knots."""

    segmenter: BaseSegmenter
    n_knots: int
    scale: float

    def headers(self) -> dict[str, TensorHeader]:
        """Return types and shapes of the tensors."""
        return dict.fromkeys(("residuals", "surprises"), TensorHeader("F64", (self.n_knots,)))

    def complete(self, tensors: Tensors) -> None:
        """Set the tail probabilities of the segmenter.

        Raises
        ------
        ValueError
            If knots do not ascend, are too large, or surprises do not begin with 0.
        """
        residuals, surprises = tensors["residuals"], tensors["surprises"]
        if not (_ascend(residuals) and _ascend(surprises) and surprises[0] == 0):
            raise ValueError(
                "its tail must have ascending residuals and surprises, the latter from 0."
            )
        if np.abs([*residuals[[0, -1]], surprises[-1]]).max() > _LARGEST:
            raise ValueError(f"its tail must have values of at most {_LARGEST:g}.")
        self.segmenter.tail_ = TailProbability(residuals, surprises, self.scale)


def restore_tail(segmenter: BaseSegmenter, stored: Any) -> TailBlueprint | None:
    """Read the description of tail probabilities.

    Raises
    ------
    ValueError
        If it is not as `describe_tail` writes it, or is not there exactly if there is a
        calibration.
    """
    if (stored is None) == hasattr(segmenter, "calibration_"):
        raise ValueError("it must have both a calibration and a tail, or neither.")
    if stored is None:
        return None
    if type(stored) is not dict:
        raise ValueError(f"its tail must be a JSON object, got {quote(stored)} instead.")
    check_keys(stored, ("n_knots", "scale"), "its tail")
    n_knots = check_count(stored["n_knots"], "n_knots", least=1)
    scale = check_number(stored["scale"], "scale", least=0)
    if scale == 0:
        raise ValueError("its scale must be above 0, got 0 instead.")
    return TailBlueprint(segmenter, n_knots, scale)


def _ascend(values: NDArray[np.float64]) -> bool:
    return bool((values[1:] > values[:-1]).all())
