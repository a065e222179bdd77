"""Training on a folder of good images."""

from functools import partial
from pathlib import Path
from typing import Any

from sk_ssimae import persistence
from sk_ssimae.cli._files import check_model_file, check_output_file, list_good_images
from sk_ssimae.cli._methods import make_segmenter, owners_of
from sk_ssimae.cli._model import fitted_parts, promise, stopped_early, was_interrupted
from sk_ssimae.cli._roi import RegionsOption
from sk_ssimae.cli._signals import INTERRUPTED
from sk_ssimae.cli._terminal import Terminal
from sk_ssimae.cli._text import count
from sk_ssimae.cli._training import is_trained, train
from sk_ssimae.estimators import BaseSegmenter


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
        Parameters that have an option; None for the default of the method.
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
    images = list_good_images(good_dir, recursive=recursive, mask_suffix=mask_suffix)
    regions = RegionsOption(roi, images, mask_suffix)
    inputs = [*images, *regions.inputs()]
    check_model_file(output, inputs, overwrite=overwrite)
    if output.exists():
        check_output_file(_interrupted_file(output), "--output", inputs)
    segmenter = make_segmenter(method, parameters, settings, patches)
    _check_initial_weights(parameters["initial_weights"])
    if parameters["checkpoint_dir"] is not None and parameters["random_state"] is None:
        raise ValueError(
            "--checkpoint-dir must be used together with --seed: an interrupted run finds its "
            "checkpoint by the seed. Choose an integer."
        )
    try:
        train(segmenter, partial(segmenter.fit, images, roi=regions.masks()), terminal)
        if was_interrupted(segmenter):
            raise KeyboardInterrupt
        persistence.save(segmenter, output)
    except KeyboardInterrupt:
        return _end_interrupted(segmenter, len(images), output, terminal)
    summarize(segmenter, len(images), output, terminal)
    return 0


def _check_initial_weights(model: str | None) -> None:
    """Fail before images are read if the model cannot be opened or has no network to start from."""
    if model is None:
        return
    if not Path(model).exists():
        raise FileNotFoundError(
            f"--initial-weights: there is no file {model!r}. sk-ssimae fit writes one."
        )
    from sk_ssimae.estimators._initial_weights import open_initial_weights  # Imports torch.

    open_initial_weights(model)


def _end_interrupted(
    segmenter: BaseSegmenter, n_images: int, output: Path, terminal: Terminal
) -> int:
    """Save the model trained so far, but never replace one that may be better."""
    if not is_trained(segmenter):
        trained_in_epochs = owners_of(segmenter, "max_epochs")
        needed = "the first epoch was" if trained_in_epochs else "training was"
        terminal.complain(f"interrupted before {needed} complete: nothing was saved.")
        return INTERRUPTED
    path = _interrupted_file(output) if output.exists() else output
    persistence.save(segmenter, path)
    if hasattr(segmenter, "threshold_"):
        summarize(segmenter, n_images, path, terminal)
    kept = f" {str(output)!r} is unchanged." if path != output else ""
    terminal.complain(f"interrupted {_say_how_far(segmenter, path)}{kept}")
    if any(segmenter.get_params()[name] for name in owners_of(segmenter, "checkpoint_dir")):
        overwrite = " with --overwrite" if path == output else ""
        terminal.note(f"Run the same command again{overwrite} to resume.")
    elif owners_of(segmenter, "checkpoint_dir"):
        terminal.note(
            "This run cannot be resumed. One with --checkpoint-dir FOLDER and --seed N can."
        )
    return INTERRUPTED


def _interrupted_file(output: Path) -> Path:
    return output.with_name(f"{output.stem}.interrupted{output.suffix}")


def _say_how_far(segmenter: BaseSegmenter, path: Path) -> str:
    text = f"after training: the model was saved to {str(path)!r}"
    for part in filter(stopped_early, fitted_parts(segmenter).values()):
        epochs = f"epoch {len(part.history_)} of {part.max_epochs}"
        text = f"in {epochs}: the model trained so far was saved to {str(path)!r}"
    if hasattr(segmenter, "threshold_"):
        return f"{text}."
    return f"{text}, without a threshold. sk-ssimae calibrate finds one on other good images."


def summarize(segmenter: BaseSegmenter, n_images: int, output: Path, terminal: Terminal) -> None:
    """Print a summary of the training, and the promise of the threshold."""
    name, images = type(segmenter).__name__, count(n_images, "image")
    terminal.say(f"{name} trained on {images} and saved to {str(output)!r}.")
    if segmenter.intensity_range_ is not None:
        low, high = segmenter.intensity_range_
        terminal.say(f"Intensity range {low:g} to {high:g}.")
    terminal.say(f"Threshold {segmenter.threshold_:.4g}. {promise(segmenter)}")
