"""Another threshold for a model, from good images."""

from pathlib import Path
from typing import Any

from sk_ssimae import persistence
from sk_ssimae.cli._files import choose_model_file, list_good_images
from sk_ssimae.cli._model import open_model, promise
from sk_ssimae.cli._roi import RegionsOption
from sk_ssimae.cli._terminal import Terminal
from sk_ssimae.cli._text import count
from sk_ssimae.estimators import BaseSegmenter

_RULES = ("image_fpr", "pixel_fpr")


def calibrate(
    model: Path,
    good_dir: Path,
    output: Path | None,
    *,
    rule: str | None,
    target_fpr: float | None,
    device: str,
    roi: str | None,
    recursive: bool,
    mask_suffix: str | None,
    overwrite: bool,
    terminal: Terminal,
) -> None:
    """Find the threshold of a model again, and write the model.

    Parameters
    ----------
    model : path
        Model file written by `fit`.
    good_dir : path
        Folder of good images that were not used in training.
    output : path or None
        File to write; None to replace `model`.
    rule : {"image_fpr", "pixel_fpr"} or None
        Rule of the threshold; None for that of the model.
    target_fpr : float or None
        False positive rate that the rule aims at; None for that of the model.
    device : str
        Device to compute on.
    roi : str or None
        Region of interest: a mask image, a folder of masks or a rectangle; None for all pixels.
    recursive : bool
        Include images in subfolders.
    mask_suffix : str or None
        Ending of the names of masks between the images, which are left out.
    overwrite : bool
        Replace an existing `output`.
    terminal : Terminal
        Output of the command.
    """
    images = list_good_images(good_dir, recursive=recursive, mask_suffix=mask_suffix)
    regions = RegionsOption(roi, images, mask_suffix)
    inputs = [*images, *regions.inputs()]
    target = choose_model_file(model, output, inputs, overwrite=overwrite)
    segmenter = open_model(model, device).segmenter
    before = f"{segmenter.threshold_:.4g}" if hasattr(segmenter, "threshold_") else "none"
    segmenter.set_params(**_parameters(segmenter, rule, target_fpr))
    with terminal.progress(counted=False) as progress:
        progress.add_task("Finding the threshold", total=None)
        segmenter.calibrate(images, roi=regions.masks())
    persistence.save(segmenter, target)
    terminal.say(f"Calibrated on {count(len(images), 'image')} and saved to {str(target)!r}.")
    terminal.say(f"Threshold {segmenter.threshold_:.4g}, before {before}. {promise(segmenter)}")


def _parameters(
    segmenter: BaseSegmenter, rule: str | None, target_fpr: float | None
) -> dict[str, Any]:
    if rule is None and not isinstance(segmenter.threshold, str):
        raise ValueError(
            f"The threshold of MODEL is the fixed number {segmenter.threshold:g}, not found on "
            "good images. Choose a rule, such as --threshold image_fpr."
        )
    if rule is not None and rule not in _RULES:
        raise ValueError(
            f"--threshold must be one of {', '.join(_RULES)}, got {rule!r} instead. For a number, "
            "use --threshold of predict, evaluate or report."
        )
    given = {"threshold": rule, "target_fpr": target_fpr}
    return {name: value for name, value in given.items() if value is not None}
