"""Checks of candidates, and parameters that all of them have."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sk_ssimae.model_selection._tuning._candidates import PLUS, Candidate

# Names of other steps.
_RESERVED = ("ensembles", "selection set", "winner")


def check_candidates(candidates: Any) -> list[Candidate]:
    """Check candidates; a pair or triple becomes a Candidate.

    Raises
    ------
    TypeError
        If one is not a Candidate, or its segmenter is not one of this package.
    ValueError
        If there is none, a name is not allowed or not unique, a parameter is out of range, or a
        grid has other parameters than those of inference.
    """
    from sklearn.base import clone

    from sk_ssimae.estimators import BaseSegmenter

    if not isinstance(candidates, Sequence) or isinstance(candidates, str):
        raise TypeError(
            "candidates must be a list of Candidate(name, segmenter, grid), got "
            f"{type(candidates).__name__} instead."
        )
    if not candidates:
        raise ValueError("candidates must contain at least one Candidate, got none.")
    checked: list[Candidate] = []
    for index, given in enumerate(candidates):
        where = f"candidates[{index}]"
        if not isinstance(given, tuple) or not 2 <= len(given) <= 3:
            raise TypeError(
                f"{where} must be Candidate(name, segmenter, grid), got {given!r} instead."
            )
        candidate = Candidate(*given)
        if not isinstance(candidate.segmenter, BaseSegmenter):
            raise TypeError(
                f"{where} must have a segmenter, an instance of a subclass of BaseSegmenter, got "
                f"{candidate.segmenter!r} instead."
            )
        _check_name(candidate.name, [one.name for one in checked], where)
        _check_grid(candidate, where)
        try:
            candidate.segmenter.check_parameters()
            for setting in candidate.settings():
                clone(candidate.segmenter).set_params(**setting).check_parameters()
        except (TypeError, ValueError) as error:
            raise type(error)(f"{where} ({candidate.name}): {error}") from error
        checked.append(candidate)
    return checked


def with_params(candidates: list[Candidate], params: Any) -> list[Candidate]:
    """Return checked candidates whose segmenters have parameters set, where they have them.

    Raises
    ------
    TypeError
        If `params` is no dict of names.
    ValueError
        If no segmenter has one of the parameters, a grid has it too, or a value is not allowed.
    """
    from sklearn.base import clone

    if params is None:
        return candidates
    if not isinstance(params, Mapping) or not all(isinstance(name, str) for name in params):
        raise TypeError(
            "params must be a dict from names of parameters to values, such as "
            f"{{'alpha_channel': 'keep'}}, got {params!r} instead."
        )
    known = {name for candidate in candidates for name in candidate.segmenter.get_params()}
    for name in params:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            remedy = f"Did you mean {close[0]!r}?" if close else "Leave it out."
            raise ValueError(
                f"params must have names of parameters of candidates, got {name!r}. {remedy}"
            )
        searched = [candidate.name for candidate in candidates if name in candidate.grid]
        if searched:
            raise ValueError(
                f"params must not have {name!r}, whose values are in the grid of {searched[0]!r}. "
                "Change the grid instead."
            )
    changed = []
    for candidate in candidates:
        segmenter = clone(candidate.segmenter)
        own = {name: value for name, value in params.items() if name in segmenter.get_params()}
        try:
            segmenter.set_params(**own).check_parameters()
        except (TypeError, ValueError) as error:
            raise type(error)(f"params, of {candidate.name}: {error}") from error
        changed.append(candidate._replace(segmenter=segmenter))
    return changed


def common_parameter(candidates: Sequence[Candidate], name: str) -> Any:
    """Return the value of a parameter by which images are read.

    Raises
    ------
    ValueError
        If candidates differ in it.
    """
    values = [getattr(candidate.segmenter, name) for candidate in candidates]
    if any(value != values[0] for value in values):
        found = ", ".join(dict.fromkeys(map(repr, values)))
        raise ValueError(
            f"candidates must have the same {name}, got {found}: they are ranked on the same "
            f"images. Set it for all with params={{{name!r}: ...}}."
        )
    return values[0]


def _check_name(name: Any, former: list[str], where: str) -> None:
    is_allowed = isinstance(name, str) and re.fullmatch(r"[\w.=+ -]+", name)
    if not is_allowed or PLUS in name or name in _RESERVED:
        raise ValueError(
            f"{where} must have a name of letters, digits, spaces and any of ._=+-, without "
            f"{PLUS!r} and other than {', '.join(map(repr, _RESERVED))}, got {name!r} instead."
        )
    if name in former:
        raise ValueError(f"Names of candidates must be unique, got {name!r} more than once.")


def _check_grid(candidate: Candidate, where: str) -> None:
    from sk_ssimae.estimators import Role

    if not isinstance(candidate.grid, Mapping):
        raise TypeError(
            f"{where} must have a dict of lists as grid, got {candidate.grid!r} instead."
        )
    searchable = candidate.segmenter.parameter_names(Role.INFERENCE)
    for name, values in candidate.grid.items():
        if name not in searchable:
            raise ValueError(
                f"{where} must have a grid of parameters of inference, {searchable}, got {name!r} "
                "instead. Other parameters need a training each: add a candidate for each value."
            )
        if (
            not isinstance(values, Sequence | np.ndarray)
            or isinstance(values, str)
            or not len(values)
        ):
            raise ValueError(
                f"{where}: the grid must have a list of values for {name!r}, got {values!r} "
                "instead."
            )
