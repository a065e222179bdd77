"""Checks of the parameters of an ensemble."""

from collections.abc import Collection, Mapping, Sequence
from numbers import Real
from typing import Any

from sk_ssimae.estimators._base import BaseSegmenter

# Calibrated maps times this stay finite in float32.
_HIGHEST_WEIGHT = 1_000_000
# Calibrated maps divided by this do.
_LOWEST_LIMIT = 0.001


def check_weights(weights: Any, n_segmenters: int) -> None:
    """Check given weights.

    Raises
    ------
    ValueError
        If they are not one for each segmenter, too large, negative, or all 0.
    """
    if weights is None or isinstance(weights, str):
        return
    numbers = [
        weight
        for weight in weights
        if isinstance(weight, Real)
        and not isinstance(weight, bool)
        and 0 <= float(weight) <= _HIGHEST_WEIGHT
    ]
    if len(weights) != n_segmenters or len(numbers) != len(weights) or not any(weights):
        raise ValueError(
            f"weights must be {n_segmenters} numbers, one for each segmenter, from 0 to "
            f"{_HIGHEST_WEIGHT} and not all 0, got {weights!r} instead."
        )


def check_soft_limits(limits: Mapping[Any, Any] | None, names: Collection[str]) -> None:
    """Check given soft limits.

    Raises
    ------
    ValueError
        If one is not of a segmenter, too small or too large.
    """
    for name, limit in (limits or {}).items():
        if name not in names:
            raise ValueError(
                f"soft_limits must have names of segmenters, which are {', '.join(names)}, got "
                f"{name!r} instead. Rename it, or set soft_limits=None."
            )
        is_number = isinstance(limit, Real) and not isinstance(limit, bool)
        if not is_number or not _LOWEST_LIMIT <= float(limit) <= _HIGHEST_WEIGHT:
            raise ValueError(
                f"soft_limits[{name!r}] must be a number from {_LOWEST_LIMIT} to "
                f"{_HIGHEST_WEIGHT}, got {limit!r} instead."
            )


def check_pairs(segmenters: Any) -> None:
    """Check the list of names and segmenters.

    Raises
    ------
    TypeError
        If it is no list of pairs of a name and a segmenter.
    ValueError
        If it is empty.
    """
    if not isinstance(segmenters, list | tuple):
        raise TypeError(
            "segmenters must be a list of pairs (name, segmenter), got "
            f"{type(segmenters).__name__} instead."
        )
    if not segmenters:
        raise ValueError("segmenters must contain at least one pair (name, segmenter), got none.")
    for index, pair in enumerate(segmenters):
        match pair:
            case (str(), BaseSegmenter()):
                continue
        raise TypeError(
            f"segmenters[{index}] must be a pair of a name and a segmenter, got {pair!r} instead. "
            "A segmenter is an instance of a subclass of BaseSegmenter."
        )


def check_names(names: Sequence[Any], parameters: Sequence[str]) -> None:
    """Check the names of segmenters.

    Raises
    ------
    TypeError
        If one is not a text.
    ValueError
        If one is not allowed or occurs twice.
    """
    if not all(isinstance(name, str) for name in names):
        raise TypeError("Names of segmenters must be texts.")
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"Names of segmenters must be unique, got {name!r} more than once. Rename one."
            )
        if name in parameters or "__" in name or not name:
            raise ValueError(
                "Names of segmenters must not be empty, contain '__' or equal a parameter of the "
                f"ensemble, got {name!r} instead. Rename it."
            )
