"""Facts about a model, from its file."""

import inspect
from pathlib import Path

from sklearn.exceptions import NotFittedError

from sk_ssimae.cli._model import open_model, promise, was_interrupted
from sk_ssimae.cli._terminal import Terminal
from sk_ssimae.cli._text import count
from sk_ssimae.estimators import BaseSegmenter


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
        "segmenter": type(segmenter).__name__,
        "parameters": _say_parameters(segmenter),
        "channels": segmenter.n_channels_,
        "intensities": _say_intensities(segmenter),
        "training": _say_training(segmenter),
        **_say_threshold(segmenter),
        "made with": ", ".join(f"{k} {v}" for k, v in document["versions"].items()),
    }
    for name, fact in facts.items():
        terminal.say(f"{name:<12}{fact}")


def _say_parameters(segmenter: BaseSegmenter) -> str:
    defaults = inspect.signature(type(segmenter)).parameters
    values = segmenter.get_params(deep=False)
    others = [f"{k}={v!r}" for k, v in values.items() if v != defaults[k].default]
    return ", ".join(others) or "all at their defaults"


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


def _say_training(segmenter: BaseSegmenter) -> str:
    losses = [row["train_loss"] for row in segmenter.history_ if "train_loss" in row]
    seconds = sum(row.get("dur", 0.0) for row in segmenter.history_)
    text = f"{count(len(losses), 'epoch')} in {seconds:.0f} s"
    if losses:
        text += f", loss {losses[-1]:.4g} (first {losses[0]:.4g})"
    if getattr(segmenter, "structure_correlation_", None) is not None:
        text += f", structure correlation {segmenter.structure_correlation_:.2f}"
    return f"{text}, interrupted" if was_interrupted(segmenter) else text
