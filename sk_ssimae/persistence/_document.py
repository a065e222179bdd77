"""What a file says of a segmenter beside its weights, as JSON and back."""

import math
import platform
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import safetensors
import sklearn
import skorch
import torch
from skorch.history import History
from torch import nn

import sk_ssimae
from sk_ssimae.estimators import BaseSegmenter, Calibration
from sk_ssimae.persistence._checks import check_count, check_keys
from sk_ssimae.persistence._container import FORMAT, FORMAT_VERSION
from sk_ssimae.persistence._parts import LOSS_PARAMETERS, NETWORK_PARAMETERS, Blueprint
from sk_ssimae.persistence._values import decode, encode

#: Parameters of which only training makes use, and the kinds of them that no file holds.
_OF_TRAINING: dict[str, type | tuple[type, ...]] = {
    "callbacks": list,
    "net_params": dict,
    "random_state": (np.random.RandomState, np.random.Generator),
}
#: Parameters of the machine that trained, which no file tells.
_OF_MACHINE = {"checkpoint_dir"}
#: Parameters by the format that brought them, with the values of what was there before.
_SINCE: dict[int, dict[str, Any]] = {2: {"cutout": 0}, 3: {"taper": 0}}
_CLASSES = {cls.__name__: cls for cls in LOSS_PARAMETERS}
_KEYS = (
    *("format", "version", "class", "parameters", "not_stored", "network", "loss"),
    *("n_defective_dropped", "calibration", "history", "interrupted", "versions"),
)


class Description(NamedTuple):
    """What a document says: a segmenter without its net, and what the net is made of."""

    segmenter: BaseSegmenter
    blueprint: Blueprint
    history: History
    interrupted: bool


def describe(segmenter: BaseSegmenter, blueprint: Blueprint) -> dict[str, Any]:
    """Write what a file holds beside the weights.

    Parameters
    ----------
    segmenter : BaseSegmenter
        A fitted segmenter.
    blueprint : Blueprint
        What its network and loss were made of.

    Returns
    -------
    dict
        For JSON.

    Raises
    ------
    TypeError
        If a parameter can only be restored by code.
    """
    parameters = segmenter.get_params(deep=False)
    not_stored = [
        name for name, kinds in _OF_TRAINING.items() if isinstance(parameters[name], kinds)
    ]
    made_of = {name: encode(value, name) for name, value in blueprint.parameters.items()}
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "class": type(segmenter).__name__,
        "parameters": {
            name: None if name in not_stored else _encode_parameter(name, value)
            for name, value in parameters.items()
            if name not in _OF_MACHINE
        },
        "not_stored": not_stored,
        "network": {
            "n_channels": blueprint.n_channels,
            "noise_key": blueprint.noise_key,
            **{name: made_of[name] for name in NETWORK_PARAMETERS},
        },
        "loss": {name: made_of[name] for name in LOSS_PARAMETERS[type(segmenter)]},
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
    """Read what `describe` wrote, or refuse it.

    Raises
    ------
    ValueError, TypeError
        If anything is missing, unknown, of another type or out of its interval.
    """
    check_keys(document, _KEYS, "its document")
    cls = _CLASSES.get(document["class"]) if type(document["class"]) is str else None
    if cls is None:
        raise ValueError(
            f"its class must be one of {list(_CLASSES)}, got {document['class']!r:.80} instead."
        )
    network = _decode_values(document["network"], "its network")
    loss = _decode_values(document["loss"], "its loss")
    check_keys(network, (*NETWORK_PARAMETERS, "n_channels", "noise_key"), "its network")
    check_keys(loss, LOSS_PARAMETERS[cls], "its loss")
    blueprint = Blueprint(
        cls,
        {name: network[name] for name in NETWORK_PARAMETERS} | loss,
        check_count(network["n_channels"], "n_channels", least=1),
        check_count(network["noise_key"], "noise_key", below=2**64),
    )
    segmenter = _restore_segmenter(cls, document["parameters"], document["version"])
    segmenter._fitted_patch_size = blueprint.parameters["patch_size"]
    segmenter.n_channels_ = blueprint.n_channels
    segmenter.n_defective_dropped_ = check_count(
        document["n_defective_dropped"], "n_defective_dropped"
    )
    _restore_calibration(segmenter, document["calibration"])
    if type(document["interrupted"]) is not bool or type(document["history"]) is not list:
        raise ValueError("its history must be a list, and whether it was interrupted a boolean.")
    history = History(
        {"batches": [], **_decode_values(row, "its history")} for row in document["history"]
    )
    return Description(segmenter, blueprint, history, document["interrupted"])


def _encode_parameter(name: str, value: Any) -> Any:
    if isinstance(value, nn.Module):
        raise TypeError(
            f"{name} must be a name or a path to be saved, got the module {type(value).__name__} "
            "instead, which only its own code can restore: use joblib.dump."
        )
    return encode(value, name)


def _restore_segmenter(cls: type[BaseSegmenter], stored: Any, version: int) -> BaseSegmenter:
    parameters = _decode_values(stored, "its parameters")
    added = {k: v for since, news in _SINCE.items() if version < since for k, v in news.items()}
    check_keys(parameters, {*cls._get_param_names()} - _OF_MACHINE - added.keys(), "its parameters")
    segmenter = cls(**parameters, **added)
    segmenter._check_params()
    return segmenter


def _describe_calibration(segmenter: BaseSegmenter) -> dict[str, Any] | None:
    calibration: Calibration | None = getattr(segmenter, "calibration_", None)
    if calibration is None:
        return None
    described = {**calibration._asdict(), "found_for": segmenter._calibrated_for}
    return {name: encode(value, f"calibration_.{name}") for name, value in described.items()}


def _restore_calibration(segmenter: BaseSegmenter, stored: Any) -> None:
    if stored is None:
        return
    values = _decode_values(stored, "its calibration")
    check_keys(values, (*Calibration._fields, "found_for"), "its calibration")
    match values:
        case {
            "threshold": float(threshold),
            "rule": "pixel_fpr" | "image_fpr" as rule,
            "target_fpr": Real() as target_fpr,
            "held_out": "images" | "regions",
            "n_held_out": int(n_held_out),
            "found_for": tuple(found_for),
        } if (
            math.isfinite(threshold)
            and 0 < float(target_fpr) < 1
            and n_held_out > 0
            and found_for[:2] == (rule, target_fpr)
        ):
            segmenter._calibrated_for = found_for
            segmenter.calibration_ = Calibration(*(values[name] for name in Calibration._fields))
        case _:
            raise ValueError("its calibration holds values that no calibration has.")


def _encode_row(row: dict[str, Any]) -> dict[str, Any]:
    """Write what is simple of a row of history; callbacks may record anything."""
    encoded = {}
    for name, value in row.items():
        if name != "batches":
            try:
                encoded[name] = encode(value, name)
            except TypeError:
                continue
    return encoded


def _decode_values(stored: Any, what: str) -> dict[str, Any]:
    if type(stored) is not dict:
        raise ValueError(f"{what} must be a JSON object, got {stored!r:.80} instead.")
    return {name: decode(value) for name, value in stored.items()}
