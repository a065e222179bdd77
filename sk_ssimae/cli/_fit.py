"""Training on a folder of good images."""

import ast
import difflib
import math
import os
import warnings
from numbers import Integral
from pathlib import Path
from typing import Any

from sk_ssimae import persistence
from sk_ssimae.cli._files import check_output_file, list_good_images
from sk_ssimae.cli._model import promise, was_interrupted
from sk_ssimae.cli._progress import FitProgress
from sk_ssimae.cli._roi import RegionsOption
from sk_ssimae.cli._signals import INTERRUPTED, ignoring_interrupts_if
from sk_ssimae.cli._terminal import Terminal
from sk_ssimae.cli._text import count
from sk_ssimae.estimators import BaseAutoencoderSegmenter, Role
from sk_ssimae.exceptions import InterruptedFitWarning
from sk_ssimae.persistence._parts import storable_classes

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
    "verbose": "--quiet",
    "callbacks": "Python",
    "net_params": "Python",
}


def methods() -> dict[str, type[BaseAutoencoderSegmenter]]:
    """Return the segmenters that the command line offers, by the name of their method."""
    return {cls.method_name: cls for cls in storable_classes().values() if cls.method_name}


def fit(
    good_dir: Path,
    output: Path,
    method: str,
    parameters: dict[str, Any],
    *,
    settings: list[str],
    patches: int | None,
    roi: str | None,
    recursive: bool,
    mask_suffix: str | None,
    overwrite: bool,
    terminal: Terminal,
) -> int:
    """Train a segmenter, save it, print a summary and return the exit code.

    Parameters
    ----------
    good_dir : path
        Folder of defect-free images.
    output : path
        File to write.
    method : str
        Name of the method.
    parameters : dict
        Parameters of the segmenter that have an option.
    settings : list of str
        Other parameters, each as ``NAME=VALUE``.
    patches : int or None
        Total number of patches over all epochs; None for the segmenter's default.
    roi : str or None
        Region of interest: a mask image, a folder of masks or a rectangle; None for all pixels.
    recursive : bool
        Include images in subfolders.
    mask_suffix : str or None
        Ending of the names of masks between the images, which are left out.
    overwrite : bool
        Replace an existing file once training is complete.
    terminal : Terminal
        Output of the command.
    """
    images = list_good_images(good_dir, "GOOD_DIR", recursive=recursive, mask_suffix=mask_suffix)
    regions = RegionsOption(roi, images, mask_suffix)
    check_output_file(output, "--output", [*images, *regions.inputs()])
    if os.path.lexists(output):
        if not overwrite:
            raise FileExistsError(
                f"--output: {str(output)!r} already exists. Choose another name, or use "
                "--overwrite to replace it."
            )
        check_output_file(_interrupted_file(output), "--output", images)
    if parameters["checkpoint_dir"] is not None and parameters["random_state"] is None:
        raise ValueError(
            "--checkpoint-dir must be used together with --seed: an interrupted run finds its "
            "checkpoint by the seed. Choose an integer."
        )
    segmenter = make_segmenter(method, parameters, settings, patches)
    try:
        _train(segmenter, images, regions, terminal)
        if was_interrupted(segmenter):
            raise KeyboardInterrupt
        persistence.save(segmenter, output)
    except KeyboardInterrupt:
        return _end_interrupted(segmenter, len(images), output, terminal)
    _summarize(segmenter, len(images), output, terminal)
    return 0


def make_segmenter(
    method: str, parameters: dict[str, Any], settings: list[str], patches: int | None
) -> BaseAutoencoderSegmenter:
    """Return the segmenter described by the options.

    Raises
    ------
    ValueError
        If the method or the name of a setting is unknown, or the setting has its own option.
    """
    offered = methods()
    if method not in offered:
        raise ValueError(f"--method must be one of {', '.join(offered)}, got {method!r} instead.")
    cls = offered[method]
    parsed = dict(_parse_setting(setting, cls) for setting in settings)
    if patches is not None and "n_patches" in parsed:
        raise ValueError("--patches and --set n_patches exclude each other: use one of them.")
    segmenter = cls(**parameters, **parsed)
    epochs = segmenter.max_epochs
    # fit refuses a value that is not a number of epochs.
    if patches is not None and isinstance(epochs, Integral) and epochs > 0:
        segmenter.set_params(n_patches=math.ceil(patches / epochs))
    return segmenter


def _parse_setting(setting: str, cls: type[BaseAutoencoderSegmenter]) -> tuple[str, Any]:
    name, separator, text = setting.partition("=")
    if not separator:
        raise ValueError(f"--set must be NAME=VALUE, got {setting!r} instead.")
    # Parameters of the machine are not stored in the model, which other machines load.
    elsewhere = dict.fromkeys(cls.parameter_names(Role.MACHINE), "Python") | _ELSEWHERE
    if name in elsewhere:
        raise ValueError(f"--set {name}: use {elsewhere[name]} instead.")
    if name not in cls.parameters:
        free = sorted({*cls.parameters} - {*elsewhere})
        close = difflib.get_close_matches(name, free, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"There are {', '.join(free)}."
        raise ValueError(f"--set {name}: there is no such parameter. {hint}")
    try:
        return name, ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return name, text


def _train(
    segmenter: BaseAutoencoderSegmenter,
    images: list[Path],
    regions: RegionsOption,
    terminal: Terminal,
) -> None:
    roi = None if regions.text is None else [regions.mask(image) for image in images]
    with terminal.progress(counted=False) as progress:
        shown = FitProgress(segmenter, progress, terminal)

        def net_would_be_lost() -> bool:
            """Return whether training has ended but the segmenter has no net yet."""
            return shown.has_ended and not _is_trained(segmenter)

        segmenter.set_params(callbacks=[shown.callback])
        try:
            with ignoring_interrupts_if(net_would_be_lost), warnings.catch_warnings():
                warnings.simplefilter("ignore", InterruptedFitWarning)  # Reported at the end.
                segmenter.fit(images, roi=roi)
        finally:
            segmenter.set_params(callbacks=None)


def _end_interrupted(
    segmenter: BaseAutoencoderSegmenter, n_images: int, output: Path, terminal: Terminal
) -> int:
    """Save the model trained so far, but never replace one that may be better."""
    if not _is_trained(segmenter):
        terminal.complain("interrupted before the first epoch was complete: nothing was saved.")
        return INTERRUPTED
    path = _interrupted_file(output) if output.exists() else output
    persistence.save(segmenter, path)
    if hasattr(segmenter, "threshold_"):
        _summarize(segmenter, n_images, path, terminal)
    kept = f" {str(output)!r} is unchanged." if path != output else ""
    terminal.complain(f"interrupted {_say_how_far(segmenter, path)}{kept}")
    if segmenter.checkpoint_dir is not None:
        overwrite = " with --overwrite" if path == output else ""
        terminal.note(f"Run the same command again{overwrite} to resume.")
    return INTERRUPTED


def _is_trained(segmenter: BaseAutoencoderSegmenter) -> bool:
    # The last attribute that fit sets before it searches for the threshold.
    return hasattr(segmenter, "n_defective_dropped_")


def _interrupted_file(output: Path) -> Path:
    return output.with_name(f"{output.stem}.interrupted{output.suffix}")


def _say_how_far(segmenter: BaseAutoencoderSegmenter, path: Path) -> str:
    text = f"after training: the model was saved to {str(path)!r}"
    if was_interrupted(segmenter):
        epochs = f"epoch {len(segmenter.history_)} of {segmenter.max_epochs}"
        text = f"in {epochs}: the model trained so far was saved to {str(path)!r}"
    if hasattr(segmenter, "threshold_"):
        return f"{text}."
    return f"{text}, without a threshold. Load it in Python and call calibrate with good images."


def _summarize(
    segmenter: BaseAutoencoderSegmenter, n_images: int, output: Path, terminal: Terminal
) -> None:
    name, images = type(segmenter).__name__, count(n_images, "image")
    terminal.say(f"{name} trained on {images} and saved to {str(output)!r}.")
    if segmenter.intensity_range_ is not None:
        low, high = segmenter.intensity_range_
        terminal.say(f"Intensity range {low:g} to {high:g}.")
    terminal.say(f"Threshold {segmenter.threshold_:.4g}. {promise(segmenter)}")
