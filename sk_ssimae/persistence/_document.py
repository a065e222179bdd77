"""Everything that a file stores of a segmenter but its weights, as JSON and back."""

import math
import platform
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import safetensors
import sklearn
import skorch
import torch
from sklearn.utils._param_validation import validate_parameter_constraints
from skorch.history import History
from torch import nn

import sk_ssimae
from sk_ssimae.estimators import BaseAutoencoderSegmenter, Calibration, Role
from sk_ssimae.persistence._checks import (
    check_count,
    check_keys,
    check_number,
    check_versions,
    quote,
    read_intensity_range,
)
from sk_ssimae.persistence._container import FORMAT, FORMAT_VERSION
from sk_ssimae.persistence._parts import Blueprint, storable_classes
from sk_ssimae.persistence._values import decode, encode

#: Parameters that only training uses, and the types of their values that no file stores.
_NOT_STORED: dict[str, type | tuple[type, ...]] = {
    "callbacks": list,
    "net_params": dict,
    "random_state": (np.random.RandomState, np.random.Generator),
}
#: Roles of the parameters that files store: those of the machine that trained are not for others.
_STORED_ROLES = [role for role in Role if role is not Role.MACHINE]
_KEYS = (
    *("format", "version", "class", "parameters", "not_stored", "network"),
    *(
        "intensity_range",
        "structure_correlation",
        "n_defective_dropped",
        "calibration",
        "history",
        "interrupted",
        "versions",
    ),
)


class Description(NamedTuple):
    """Content of a document: a segmenter without its net, and the blueprint of the net."""

    segmenter: BaseAutoencoderSegmenter
    blueprint: Blueprint
    history: History
    interrupted: bool


def describe(segmenter: BaseAutoencoderSegmenter, blueprint: Blueprint) -> dict[str, Any]:
    """Describe a segmenter but for its weights.

    Parameters
    ----------
    segmenter : BaseAutoencoderSegmenter
        A fitted segmenter.
    blueprint : Blueprint
        Blueprint of its network and loss.

    Returns
    -------
    dict
        For JSON.

    Raises
    ------
    TypeError
        If a parameter can only be restored by code, or is too large.
    """
    names = segmenter.parameter_names(*_STORED_ROLES)
    parameters = {name: getattr(segmenter, name) for name in names}
    not_stored = [
        name for name, types in _NOT_STORED.items() if isinstance(parameters[name], types)
    ]
    fitted = segmenter.fitted_parameters_
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "class": type(segmenter).__name__,
        "parameters": {
            name: None if name in not_stored else _encode_parameter(name, value)
            for name, value in parameters.items()
        },
        "not_stored": not_stored,
        "network": {
            "n_channels": blueprint.n_channels,
            "noise_key": blueprint.noise_key,
            **{name: encode(value, name) for name, value in fitted.items()},
        },
        "intensity_range": segmenter.intensity_range_ and list(segmenter.intensity_range_),
        # An interrupt may have come before it was computed.
        "structure_correlation": getattr(segmenter, "structure_correlation_", None),
        "n_defective_dropped": segmenter.n_defective_dropped_,
        "calibration": _describe_calibration(segmenter),
        "history": [_encode_row(row) for row in segmenter.history_],
        "interrupted": segmenter.net_.interrupted_,
        "versions": {
            "python": platform.python_version(),
            "sk_ssimae": sk_ssimae.__version__,
            "torch": str(torch.__version__),
            **{m.__name__: m.__version__ for m in (np, sklearn, skorch, safetensors)},
        },
    }


def restore(document: dict[str, Any]) -> Description:
    """Read a document of `describe`.

    Raises
    ------
    ValueError, TypeError
        If anything is missing, unknown, of another type or out of its interval.
    """
    check_keys(document, _KEYS, "its document")
    classes = storable_classes()
    cls = classes.get(document["class"]) if type(document["class"]) is str else None
    if cls is None:
        raise ValueError(
            f"its class must be one of {list(classes)}, got {quote(document['class'])} instead."
        )
    segmenter = _restore_segmenter(cls, document["parameters"])
    network = _decode_values(document["network"], "its network")
    names = cls.parameter_names(Role.NETWORK)
    check_keys(network, (*names, "n_channels", "noise_key"), "its network")
    fitted = {name: network[name] for name in names}
    blueprint = Blueprint.of(
        segmenter,
        fitted,
        check_count(network["n_channels"], "n_channels", least=1),
        check_count(network["noise_key"], "noise_key", below=2**64),
    )
    segmenter.fitted_parameters_ = fitted
    segmenter.intensity_range_ = read_intensity_range(document["intensity_range"])
    segmenter.n_channels_ = blueprint.n_channels
    segmenter.structure_correlation_ = _read_correlation(document["structure_correlation"])
    segmenter.n_defective_dropped_ = check_count(
        document["n_defective_dropped"], "n_defective_dropped"
    )
    _restore_calibration(segmenter, document["calibration"])
    _check_not_stored(document["not_stored"])
    check_versions(document["versions"])
    if type(document["interrupted"]) is not bool or type(document["history"]) is not list:
        raise ValueError("its history must be a list, and whether it was interrupted a boolean.")
    history = History(_restore_row(row) for row in document["history"])
    return Description(segmenter, blueprint, history, document["interrupted"])


def _read_correlation(stored: Any) -> float | None:
    if stored is None:
        return None
    return check_number(stored, "structure_correlation", least=-1, most=1)


def _encode_parameter(name: str, value: Any) -> Any:
    if isinstance(value, nn.Module):
        raise TypeError(
            f"{name} must be a name or a path to be saved, got the module {type(value).__name__} "
            "instead, which only its own code can restore: use joblib.dump."
        )
    return encode(value, name)


def _restore_segmenter(
    cls: type[BaseAutoencoderSegmenter], stored: Any
) -> BaseAutoencoderSegmenter:
    parameters = _decode_values(stored, "its parameters")
    check_keys(parameters, cls.parameter_names(*_STORED_ROLES), "its parameters")
    segmenter = cls(**parameters)
    segmenter.check_parameters()
    return segmenter


def _describe_calibration(segmenter: BaseAutoencoderSegmenter) -> dict[str, Any] | None:
    calibration: Calibration | None = getattr(segmenter, "calibration_", None)
    if calibration is None:
        return None
    described = calibration._asdict()
    return {name: encode(value, f"calibration_.{name}") for name, value in described.items()}


def _restore_calibration(segmenter: BaseAutoencoderSegmenter, stored: Any) -> None:
    if stored is None:
        return
    values = _decode_values(stored, "its calibration")
    check_keys(values, Calibration._fields, "its calibration")
    match values:
        case {
            "threshold": float(threshold),
            "extent_threshold": float(extent),
            "rule": "pixel_fpr" | "image_fpr" as rule,
            "target_fpr": Real() as target_fpr,
            "held_out": "images" | "regions",
            "n_held_out": int(),
            "typical_residuals": tuple(typical),
            "block_spread": float(spread),
            "parameters": {"threshold": used_rule, "target_fpr": used_fpr},
        } if (
            math.isfinite(threshold)
            and math.isfinite(extent)
            and extent <= threshold
            and typical
            and all(type(one) is float and math.isfinite(one) for one in typical)
            and 0 <= spread < math.inf
            and 0 < float(target_fpr) < 1
            and (used_rule, used_fpr) == (rule, target_fpr)
        ):
            check_count(values["n_held_out"], "n_held_out", least=1)
            _check_calibrated(segmenter, values["parameters"])
            segmenter.calibration_ = Calibration(*(values[name] for name in Calibration._fields))
        case _:
            raise ValueError("its calibration holds values that no calibration has.")


def _check_calibrated(segmenter: BaseAutoencoderSegmenter, parameters: dict[str, Any]) -> None:
    """Check each parameter for which a threshold holds, like those of the segmenter itself."""
    names = segmenter.parameter_names(Role.INFERENCE, Role.DECISION)
    check_keys(parameters, names, "its calibration")
    validate_parameter_constraints(
        {name: segmenter.parameters[name].constraints for name in names},
        parameters,
        caller_name="calibration",
    )


def _check_not_stored(names: Any) -> None:
    if type(names) is not list or not all(type(n) is str and n in _NOT_STORED for n in names):
        raise ValueError(
            f"its not_stored must be a list of names among {list(_NOT_STORED)}, got "
            f"{quote(names)} instead."
        )


def _encode_row(row: dict[str, Any]) -> dict[str, Any]:
    """Encode the simple values of a row of history; callbacks may record anything."""
    encoded = {}
    for name, value in row.items():
        if name != "batches":
            try:
                encoded[name] = encode(value, name)
            except TypeError:
                continue
    return encoded


def _restore_row(stored: Any) -> dict[str, Any]:
    row = _decode_values(stored, "its history")
    if type(row.get("epoch")) is not int or row["epoch"] < 1 or "batches" in row:
        raise ValueError(
            "its history must have the number of an epoch and no batches in each row, got "
            f"{quote(row)} instead."
        )
    return {"batches": [], **row}


def _decode_values(stored: Any, what: str) -> dict[str, Any]:
    if type(stored) is not dict:
        raise ValueError(f"{what} must be a JSON object, got {quote(stored)} instead.")
    return {name: decode(value) for name, value in stored.items()}
