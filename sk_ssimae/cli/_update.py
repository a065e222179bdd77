"""Training of an existing model on new good images."""

from functools import partial
from pathlib import Path
from typing import Any

from sklearn.exceptions import NotFittedError

from sk_ssimae import persistence
from sk_ssimae.cli._files import choose_model_file, list_good_images
from sk_ssimae.cli._model import open_model, promise, was_interrupted
from sk_ssimae.cli._roi import RegionsOption
from sk_ssimae.cli._terminal import Terminal
from sk_ssimae.cli._text import count
from sk_ssimae.cli._training import train
from sk_ssimae.estimators import BaseSegmenter


def update(
    model: Path,
    good_dir: Path,
    output: Path | None,
    *,
    device: str,
    roi: str | None,
    recursive: bool,
    mask_suffix: str | None,
    overwrite: bool,
    terminal: Terminal,
) -> None:
    """Print the advice of `check_drift`, train a model on new good images, and save it.

    Parameters
    ----------
    model : path
        Model file written by `fit`.
    good_dir : path
        Folder of new good images.
    output : path or None
        File to write; None to replace the model.
    device : str
        Device to compute on.
    roi : str or None
        Region of interest: a mask image, a folder of masks or a rectangle; None for all pixels.
    recursive : bool
        Include images in subfolders.
    mask_suffix : str or None
        Ending of the names of masks between the images, which are left out.
    overwrite : bool
        Replace an existing output file.
    terminal : Terminal
        Output of the command.

    Raises
    ------
    KeyboardInterrupt
        If training was interrupted: no file has changed.
    """
    images = list_good_images(good_dir, recursive=recursive, mask_suffix=mask_suffix)
    regions = RegionsOption(roi, images, mask_suffix)
    inputs = [*images, *regions.inputs()]
    target = choose_model_file(model, output, inputs, overwrite=overwrite)
    segmenter = open_model(model, device).segmenter
    masks = regions.masks()
    _advise(segmenter, images, masks, terminal)
    try:
        train(segmenter, partial(segmenter.partial_fit, images, roi=masks), terminal)
        if was_interrupted(segmenter):
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        terminal.note("Nothing was saved, and all files are unchanged.")
        raise
    persistence.save(segmenter, target)
    name = type(segmenter).__name__
    terminal.say(f"{name} trained on {count(len(images), 'new image')}, saved to {str(target)!r}.")
    terminal.say(f"Threshold {segmenter.threshold_:.4g}. {promise(segmenter)}")


def _advise(segmenter: BaseSegmenter, images: list[Path], roi: Any, terminal: Terminal) -> None:
    if not isinstance(segmenter.threshold, str):
        return
    try:
        terminal.say(f"Before: {segmenter.check_drift(images, roi=roi).advice()}")
    except NotFittedError:
        terminal.note("The model had no threshold for its parameters: drift was not checked.")
