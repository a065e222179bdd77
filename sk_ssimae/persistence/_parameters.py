"""Class and parameters of a segmenter in a file, as JSON and back."""

from typing import Any

import numpy as np

from sk_ssimae.estimators import BaseSegmenter, Role
from sk_ssimae.persistence._checks import check_keys, quote
from sk_ssimae.persistence._families import find_class, storable_names
from sk_ssimae.persistence._values import decode, encode

#: Parameters that only training uses, and the types of their values that no file stores.
_NOT_STORED: dict[str, type | tuple[type, ...]] = {
    "callbacks": list,
    "net_params": dict,
    "random_state": (np.random.RandomState, np.random.Generator),
    "initial_weights": BaseSegmenter,
}
#: Roles of the parameters that files store: those of the machine that trained are not for others.
_STORED_ROLES = [role for role in Role if role is not Role.MACHINE]
UNFITTED_KEYS = ("class", "parameters", "not_stored")
#: Parameter whose value is a list of pairs (name, segmenter).
_SEGMENTERS = "segmenters"
_MOST_SEGMENTERS, _DEEPEST = 1000, 3


def describe_unfitted(segmenter: BaseSegmenter, *, level: int = 0) -> dict[str, Any]:
    """Describe the class and the parameters of a segmenter, for JSON.

    Raises
    ------
    TypeError
        If only code can restore the class or a parameter, or ensembles are nested too deeply.
    """
    check_class(segmenter)
    names = segmenter.parameter_names(*_STORED_ROLES)
    parameters = {name: getattr(segmenter, name) for name in names}
    not_stored = [
        name for name, types in _NOT_STORED.items() if isinstance(parameters.get(name), types)
    ]
    encoded = {
        name: None if name in not_stored else encode_parameter(name, value, level)
        for name, value in parameters.items()
    }
    return {"class": type(segmenter).__name__, "parameters": encoded, "not_stored": not_stored}


def check_class(segmenter: Any) -> None:
    """Check that a file can contain a segmenter of its class.

    Raises
    ------
    TypeError
        If it is not one of the classes of this package.
    """
    name = type(segmenter).__name__
    if find_class(name) is type(segmenter):
        return
    if isinstance(segmenter, BaseSegmenter):
        raise TypeError(
            f"segmenter must be one of {storable_names()}, got {name} instead, which only its own "
            "code can restore: use joblib.dump."
        )
    raise TypeError(
        f"segmenter must be one of {storable_names()}, got {name} instead. Save the segmenter "
        "itself: the last step of a Pipeline, the best_estimator_ of a search."
    )


def encode_parameter(name: str, value: Any, level: int = 0) -> Any:
    """Encode the value of a parameter for JSON.

    Raises
    ------
    TypeError
        If it can only be restored by code, or is too large.
    """
    if name == _SEGMENTERS:
        _check_members(value, level)
        return [{"name": n, **describe_unfitted(member, level=level + 1)} for n, member in value]
    # By its method, because torch is not imported for every file.
    if hasattr(value, "state_dict"):
        raise TypeError(
            f"{name} must be a name or a path to be saved, got the module {type(value).__name__} "
            "instead, which only its own code can restore: use joblib.dump."
        )
    return encode(value, name)


def _check_members(members: Any, level: int) -> None:
    if len(members) > _MOST_SEGMENTERS or level >= _DEEPEST:
        raise TypeError(
            f"segmenters must be at most {_MOST_SEGMENTERS} and ensembles at most {_DEEPEST} deep "
            f"to be saved, got {len(members)} at level {level + 1}. joblib.dump keeps others."
        )


def read_class(document: Any) -> type[BaseSegmenter]:
    """Read the class of a document of `describe_unfitted`.

    Raises
    ------
    ValueError
        If it is not one of this package that a file may contain.
    """
    if type(document) is not dict:
        raise ValueError(f"its document must be a JSON object, got {quote(document)} instead.")
    cls = find_class(document.get("class"))
    if cls is None:
        raise ValueError(
            f"its class must be one of {storable_names()}, got {quote(document.get('class'))} "
            "instead."
        )
    return cls


def restore_unfitted(
    cls: type[BaseSegmenter], document: dict[str, Any], *, level: int = 0
) -> BaseSegmenter:
    """Read parameters from a document of `describe_unfitted`, and return a segmenter with them.

    Raises
    ------
    ValueError, TypeError
        If anything is missing, unknown, of another type or out of its interval.
    """
    stored = document["parameters"]
    if type(stored) is not dict:
        raise ValueError(f"its parameters must be a JSON object, got {quote(stored)} instead.")
    check_keys(stored, cls.parameter_names(*_STORED_ROLES), "its parameters")
    parameters: dict[str, Any] = {
        name: _restore_members(value, level) if name == _SEGMENTERS else decode(value)
        for name, value in stored.items()
    }
    segmenter = cls(**parameters)
    segmenter.check_parameters()
    _check_not_stored(document["not_stored"])
    return segmenter


def _restore_members(stored: Any, level: int) -> list[tuple[str, BaseSegmenter]]:
    if type(stored) is not list or not all(type(member) is dict for member in stored):
        raise ValueError(f"its segmenters must be a list of objects, got {quote(stored)} instead.")
    _check_members(stored, level)
    members = []
    for member in stored:
        cls = read_class(member)
        check_keys(member, ("name", *UNFITTED_KEYS), "its segmenters")
        if type(member["name"]) is not str:
            raise ValueError(f"its names must be texts, got {quote(member['name'])} instead.")
        members.append((member["name"], restore_unfitted(cls, member, level=level + 1)))
    return members


def _check_not_stored(names: Any) -> None:
    if type(names) is not list or not all(type(n) is str and n in _NOT_STORED for n in names):
        raise ValueError(
            f"its not_stored must be a list of names among {list(_NOT_STORED)}, got "
            f"{quote(names)} instead."
        )
