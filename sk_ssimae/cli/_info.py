"""Facts about a model, from its file."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sklearn.exceptions import NotFittedError

from sk_ssimae.cli._model import fitted_parts, open_model, promise, stopped_early
from sk_ssimae.cli._terminal import Terminal
from sk_ssimae.cli._text import count
from sk_ssimae.estimators import (
    BaseDictionarySegmenter,
    BaseSegmenter,
    EnsembleSegmenter,
    SparseDictionarySegmenter,
)


def info(model: Path, terminal: Terminal) -> None:
    """Print the facts about a model.

    Parameters
    ----------
    model : path
        File written by `fit`.
    terminal : Terminal
        Where to print.
    """
    # Loaded completely, because only that shows whether the file is good.
    segmenter, document, sha256 = open_model(model)
    facts = {
        "file": f"{model} ({model.stat().st_size / 1e6:.2f} MB)",
        "sha256": sha256,
        "segmenter": _say_class(segmenter),
        "parameters": ", ".join(_say_parameters(segmenter)) or "all at their defaults",
        "channels": segmenter.n_channels_,
        "intensities": _say_intensities(segmenter),
        "training": _say_training(segmenter),
        **_say_stride(segmenter),
        **_say_weights(segmenter),
        **_say_threshold(segmenter),
        "made with": ", ".join(f"{k} {v}" for k, v in document["versions"].items()),
    }
    for name, fact in facts.items():
        terminal.say(f"{name:<12}{fact}")


def _say_class(segmenter: BaseSegmenter) -> str:
    name = type(segmenter).__name__
    parts = fitted_parts(segmenter).items()
    members = ", ".join(f"{member} ({type(part).__name__})" for member, part in parts if member)
    return f"{name} of {members}" if members else name


def _say_parameters(segmenter: BaseSegmenter, prefix: str = "") -> Iterator[str]:
    """Yield the parameters that are not at their defaults, and those of members of an ensemble."""
    defaults = inspect.signature(type(segmenter)).parameters
    for name, value in segmenter.get_params(deep=False).items():
        if name == "segmenters":
            for member, part in value:
                yield from _say_parameters(part, f"{prefix}{member}__")
        elif value != defaults[name].default:
            yield f"{prefix}{name}={value!r}"


def _say_intensities(segmenter: BaseSegmenter) -> str:
    if segmenter.intensity_range_ is None:
        return "range of the type of each image"
    low, high = segmenter.intensity_range_
    return f"{low:g} to {high:g}"


def _say_threshold(segmenter: BaseSegmenter) -> dict[str, str]:
    try:
        return {"threshold": f"{segmenter.threshold_:.6g}", "promise": promise(segmenter)}
    except NotFittedError as error:
        return {"threshold": str(error)}


def _say_stride(segmenter: BaseSegmenter) -> dict[str, str]:
    """Return the strides that were chosen for the size of patches, none if all are given."""
    chosen = [
        f"{name}: {part.stride_} pixels".removeprefix(": ")
        for name, part in fitted_parts(segmenter).items()
        if getattr(part, "stride", None) == "auto"
    ]
    return {"stride": "; ".join(chosen)} if chosen else {}


def _say_weights(segmenter: BaseSegmenter) -> dict[str, str]:
    if not isinstance(segmenter, EnsembleSegmenter):
        return {}
    if not segmenter.is_settled():
        return {"weights": "not found yet"}
    weights = zip(segmenter.named_segmenters_, segmenter.weights_, strict=True)
    return {"weights": ", ".join(f"{name} {weight:.3g}" for name, weight in weights)}


def _say_training(segmenter: BaseSegmenter) -> str:
    parts = fitted_parts(segmenter).items()
    return "; ".join(f"{name}: {_say_part(part)}".removeprefix(": ") for name, part in parts)


def _say_part(part: Any) -> str:
    if isinstance(part, BaseDictionarySegmenter):
        features, dimensions = part.dictionary_.shape
        return f"{count(features, 'feature')} kept, {count(dimensions, 'component')} each"
    if isinstance(part, SparseDictionarySegmenter):
        n_atoms, n_pairs = len(part.dictionary_), len(part.indicators_)
        return f"{count(n_atoms, 'atom')}, {count(n_pairs, 'pair')} of indicators"
    losses = [row["train_loss"] for row in part.history_ if "train_loss" in row]
    seconds = sum(row.get("dur", 0.0) for row in part.history_)
    text = f"{count(len(losses), 'epoch')} in {seconds:.0f} s, in {part.precision_}"
    if losses:
        text += f", loss {losses[-1]:.4g} (first {losses[0]:.4g})"
    if getattr(part, "structure_correlation_", None) is not None:
        text += f", structure correlation {part.structure_correlation_:.2f}"
    return f"{text}, interrupted" if stopped_early(part) else text
