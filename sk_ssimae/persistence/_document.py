"""Everything that a file stores of a segmenter but its tensors, as JSON and back."""

import math
from importlib.metadata import PackageNotFoundError, version
from numbers import Real
from platform import python_version
from typing import Any, NamedTuple

from sklearn.utils._param_validation import validate_parameter_constraints

import sk_ssimae
from sk_ssimae.estimators import BaseSegmenter, Calibration, Role
from sk_ssimae.persistence._checks import (
    check_count,
    check_format,
    check_keys,
    check_versions,
    read_intensity_range,
)
from sk_ssimae.persistence._container import FORMAT, FORMAT_VERSION, TensorHeader, Tensors
from sk_ssimae.persistence._families import Blueprint, family_of, prefixed, without_prefix
from sk_ssimae.persistence._parameters import (
    UNFITTED_KEYS,
    describe_unfitted,
    encode_parameter,
    read_class,
    restore_unfitted,
)
from sk_ssimae.persistence._tail import TailBlueprint, describe_tail, restore_tail
from sk_ssimae.persistence._values import decode_values, encode

_FITTED_KEYS = (
    *UNFITTED_KEYS,
    *("network", "intensity_range", "n_defective_dropped", "calibration", "tail"),
)
_LIBRARIES = ("numpy", "scikit-learn", "torch", "skorch", "safetensors")


class Restored(NamedTuple):
    """A segmenter without the tensors of its results, and their blueprints."""

    segmenter: BaseSegmenter
    results: Blueprint
    tail: TailBlueprint | None

    def headers(self) -> dict[str, TensorHeader]:
        """Return types and shapes of all tensors."""
        of_tail = {} if self.tail is None else prefixed("tail", self.tail.headers())
        return {**self.results.headers(), **of_tail}

    def complete(self, tensors: Tensors) -> BaseSegmenter:
        """Return the fitted segmenter, from finite tensors of those types and shapes."""
        if self.tail is not None:
            self.tail.complete(without_prefix("tail", self.tail.headers(), tensors))
        self.results.complete({name: tensors[name] for name in self.results.headers()})
        return self.segmenter


def describe_file(segmenter: BaseSegmenter) -> tuple[dict[str, Any], Tensors]:
    """Describe a fitted segmenter: the document of a file, for JSON, and its tensors by name.

    Raises
    ------
    TypeError
        If a parameter can only be restored by code, or is too large.
    ValueError
        If results are not as `fit` makes them.
    """
    document, tensors = describe(segmenter)
    versions = {"python": python_version(), "sk_ssimae": sk_ssimae.__version__, **_versions()}
    head = {"format": FORMAT, "version": FORMAT_VERSION}
    return {**head, **document, "versions": versions}, tensors


def restore_file(document: dict[str, Any]) -> Restored:
    """Read a document of `describe_file`.

    Raises
    ------
    ValueError, TypeError
        If anything is missing, unknown, of another type or out of its interval.
    """
    check_format(document, FORMAT, FORMAT_VERSION)
    around = ("format", "version", "versions")
    restored = restore({name: document[name] for name in document if name not in around})
    check_versions(document.get("versions"))
    return restored


def describe(segmenter: BaseSegmenter) -> tuple[dict[str, Any], Tensors]:
    """Describe a fitted segmenter like `describe_file`, without format and versions."""
    described = describe_unfitted(segmenter)
    fitted = segmenter.fitted_parameters_.items()
    network = {name: encode_parameter(name, value) for name, value in fitted}
    facts, tensors = family_of(type(segmenter)).describe(segmenter)
    tail, of_tail = describe_tail(segmenter)
    document = {
        **described,
        "network": {"n_channels": segmenter.n_channels_, **network},
        "intensity_range": segmenter.intensity_range_ and list(segmenter.intensity_range_),
        "n_defective_dropped": segmenter.n_defective_dropped_,
        "calibration": _describe_calibration(segmenter),
        "tail": tail,
        **facts,
    }
    return document, {**tensors, **prefixed("tail", of_tail)}


def restore(document: Any) -> Restored:
    """Read a document of `describe`."""
    cls = read_class(document)
    family = family_of(cls)
    check_keys(document, (*_FITTED_KEYS, *family.keys), "its document")
    segmenter = restore_unfitted(cls, document)
    network = decode_values(document["network"], "its network")
    names = cls.parameter_names(Role.NETWORK)
    check_keys(network, (*names, "n_channels"), "its network")
    segmenter.fitted_parameters_ = {name: network[name] for name in names}
    segmenter.intensity_range_ = read_intensity_range(document["intensity_range"])
    segmenter.n_channels_ = check_count(network["n_channels"], "n_channels", least=1)
    segmenter.n_defective_dropped_ = check_count(
        document["n_defective_dropped"], "n_defective_dropped"
    )
    _restore_calibration(segmenter, document["calibration"])
    tail = restore_tail(segmenter, document["tail"])
    return Restored(segmenter, family.restore(segmenter, document), tail)


def _versions() -> dict[str, str]:
    """Return the versions of the libraries that are installed, without importing any."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # Dictionaries without a network do without torch.
            continue
    return found


def _describe_calibration(segmenter: BaseSegmenter) -> dict[str, Any] | None:
    calibration: Calibration | None = getattr(segmenter, "calibration_", None)
    if calibration is None:
        return None
    described = calibration._asdict()
    return {name: encode(value, f"calibration_.{name}") for name, value in described.items()}


def _restore_calibration(segmenter: BaseSegmenter, stored: Any) -> None:
    if stored is None:
        return
    values = decode_values(stored, "its calibration")
    check_keys(values, Calibration._fields, "its calibration")
    match values:
        case {
            "threshold": float(threshold),
            "extent_threshold": float(extent),
            "rule": "pixel_fpr" | "image_fpr" as rule,
            "target_fpr": Real() as target_fpr,
            "held_out": "images" | "regions",
            "n_held_out": int(),
            "good_deviation": float(good_deviation),
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
            and 0 <= good_deviation < math.inf
            and (used_rule, used_fpr) == (rule, target_fpr)
        ):
            check_count(values["n_held_out"], "n_held_out", least=1)
            _check_calibrated(segmenter, values["parameters"])
            segmenter.calibration_ = Calibration(*(values[name] for name in Calibration._fields))
        case _:
            raise ValueError("its calibration holds values that no calibration has.")


def _check_calibrated(segmenter: BaseSegmenter, parameters: dict[str, Any]) -> None:
    """Check each parameter for which a threshold holds, like those of the segmenter itself."""
    names = segmenter.parameter_names(Role.INFERENCE, Role.DECISION)
    check_keys(parameters, names, "its calibration")
    validate_parameter_constraints(
        {name: segmenter.parameters[name].constraints for name in names},
        parameters,
        caller_name="calibration",
    )
