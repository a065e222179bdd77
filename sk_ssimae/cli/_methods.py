"""The methods of fit: an unfitted segmenter from a name and options."""

import ast
import difflib
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sk_ssimae.estimators import BaseSegmenter, Role, all_segmenters, make_default_ensemble
from sk_ssimae.estimators._ensemble import OF_IMAGES

# Parameters with their own option, or only set in Python.
_ELSEWHERE = {
    "latent_dim": "--latent-dim",
    "patch_size": "--patch-size",
    "image_size": "--image-size",
    "intensity_range": "--intensity-range",
    "threshold": "--threshold",
    "target_fpr": "--target-fpr",
    "device": "--device",
    "random_state": "--seed",
    "checkpoint_dir": "--checkpoint-dir",
    "initial_weights": "--initial-weights",
    "verbose": "--quiet",
    "callbacks": "Python",
    "images_in_memory": "Python",
    "memory": "Python",
    "net_params": "Python",
    "segmenters": "Python",
}
# Parameters with their own option of tune.
_OPTIONS_OF_TUNE = ("intensity_range", "target_fpr", "device", "random_state", "verbose")
# Parameters that not all methods have: their option, and the reason.
_REASONS = {
    "latent_dim": ("--latent-dim", "it has no latent vector"),
    "patch_size": ("--patch-size", "it processes images as a whole"),
    "n_patches": ("--patches", "it does not train on random patches"),
    "device": ("--device", "it computes on the CPU"),
    "checkpoint_dir": ("--checkpoint-dir", "it does not train in epochs"),
    "initial_weights": ("--initial-weights", "it has no network"),
}


def methods() -> dict[str, Callable[[], BaseSegmenter]]:
    """Return the functions that make an unfitted segmenter, by the name of its method."""
    classes = all_segmenters().values()
    return {
        "auto": make_default_ensemble,
        "auto-pretrained": partial(make_default_ensemble, pretrained=True),
        **{cls.method_name: cls for cls in classes if cls.method_name},
    }


def make_segmenter(
    method: str, options: dict[str, Any], settings: list[str], patches: int | None
) -> BaseSegmenter:
    """Return the segmenter described by the options.

    Parameters
    ----------
    method : str
        Name of the method.
    options : dict
        Values of parameters that have an option. A parameter that an ensemble does not have is that
        of its members. None, and the device "auto", stand for the default.
    settings : list of str
        Other parameters, each as ``NAME=VALUE``; those of members as ``MEMBER__NAME=VALUE``.
    patches : int or None
        Total number of patches over all epochs; None for the segmenter's default.

    Raises
    ------
    ValueError
        If the method or the name of a setting is unknown, the setting has its own option, or the
        method has no parameter for an option.
    """
    offered = methods()
    if method not in offered:
        raise ValueError(f"--method must be one of {', '.join(offered)}, got {method!r} instead.")
    segmenter = offered[method]()
    for name, value in options.items():
        if value is not None and (name, value) != ("device", "auto"):
            owners = _owners_or_refuse(segmenter, name, method)
            segmenter.set_params(**dict.fromkeys(owners, value))
    if options.get("checkpoint_dir") is not None:
        # A run finds its checkpoint by the seed of the member that writes it.
        for name in owners_of(segmenter, "checkpoint_dir"):
            seed = name.removesuffix("checkpoint_dir") + "random_state"
            segmenter.set_params(**{seed: options["random_state"]})
    places = _set_elsewhere(segmenter)
    parsed = dict(_parse_setting(setting, places) for setting in settings)
    segmenter.set_params(**parsed)
    if patches is not None:
        _set_patches(segmenter, method, patches, parsed)
    return segmenter


def parse_candidate_settings(
    segmenters: Sequence[BaseSegmenter], settings: Sequence[str]
) -> dict[str, Any]:
    """Return parameters for all candidates of tune, each given as ``NAME=VALUE``.

    Raises
    ------
    ValueError
        If no segmenter has a parameter of that name, or it is set elsewhere.
    """
    places: dict[str, str | None] = {}
    for segmenter in segmenters:
        places |= dict.fromkeys(segmenter.parameters)
        places |= dict.fromkeys(segmenter.parameter_names(Role.MACHINE), "Python")
    in_python = {name for name, place in _ELSEWHERE.items() if place == "Python"}
    places |= dict.fromkeys(in_python & {*places}, "Python")
    places |= {name: _ELSEWHERE[name] for name in _OPTIONS_OF_TUNE if name in places}
    return dict(_parse_setting(setting, places) for setting in settings)


def owners_of(segmenter: BaseSegmenter, name: str) -> list[str]:
    """Return a parameter of a segmenter, or else those of the members of an ensemble.

    Parameters
    ----------
    segmenter : BaseSegmenter
        Unfitted.
    name : str
        Name of the parameter, such as "patch_size".

    Returns
    -------
    list of str
        Names for `set_params`, such as "autoencoder__patch_size"; empty if none has it.
    """
    if name in segmenter.parameters:
        return [name]
    return [
        f"{member}__{name}" for member, part in members_of(segmenter) if name in part.parameters
    ]


def members_of(segmenter: BaseSegmenter) -> list[tuple[str, BaseSegmenter]]:
    """Return names and members of an ensemble that is not fitted; none of other segmenters."""
    return list(getattr(segmenter, "segmenters", ()))


def _owners_or_refuse(segmenter: BaseSegmenter, name: str, method: str) -> list[str]:
    found = owners_of(segmenter, name)
    if not found:
        option, reason = _REASONS[name]
        others = [other for other, make in methods().items() if owners_of(make(), name)]
        raise ValueError(
            f"{option}: --method {method} has no such option: {reason}. Leave it out, or choose a "
            f"method that has it: {', '.join(others)}."
        )
    return found


def _set_patches(
    segmenter: BaseSegmenter, method: str, patches: int, parsed: dict[str, Any]
) -> None:
    """Divide the patches among the epochs."""
    for name in _owners_or_refuse(segmenter, "n_patches", method):
        if name in parsed:
            raise ValueError(f"--patches and --set {name} exclude each other: use one of them.")
        epochs = segmenter.get_params()[name.removesuffix("n_patches") + "max_epochs"]
        # fit refuses a value that is not a number of epochs.
        if isinstance(epochs, int) and epochs > 0:
            segmenter.set_params(**{name: math.ceil(patches / epochs)})


def _parse_setting(setting: str, elsewhere: dict[str, str | None]) -> tuple[str, Any]:
    name, separator, text = setting.partition("=")
    if not separator:
        raise ValueError(f"--set must be NAME=VALUE, got {setting!r} instead.")
    if elsewhere.get(name) is not None:
        raise ValueError(f"--set {name}: use {elsewhere[name]} instead.")
    if name not in elsewhere:
        free = sorted(known for known, place in elsewhere.items() if place is None)
        close = [known for known in free if known.endswith(f"__{name}")]
        close = close or difflib.get_close_matches(name, free, n=1)
        alternatives = " or ".join(map(repr, close))
        hint = f"Did you mean {alternatives}?" if close else f"There are {', '.join(free)}."
        raise ValueError(f"--set {name}: there is no such parameter. {hint}")
    try:
        return name, ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return name, text


def _set_elsewhere(segmenter: BaseSegmenter) -> dict[str, str | None]:
    """Return, for each parameter by name, where else it is set; None if nowhere else."""
    # Parameters of the machine are not stored in the model, which other machines load.
    machine = segmenter.parameter_names(Role.MACHINE)
    places: dict[str, str | None] = dict.fromkeys(segmenter.parameters)
    places |= dict.fromkeys(machine, "Python")
    places |= {name: place for name, place in _ELSEWHERE.items() if name in places}
    for member, part in members_of(segmenter):
        # The ensemble reads the images, and decides.
        shared = {*OF_IMAGES, *part.parameter_names(Role.DECISION)}
        for name, place in _set_elsewhere(part).items():
            by_ensemble = f"--set {name}" if name in shared else None
            places[f"{member}__{name}"] = place or by_ensemble
    return places
