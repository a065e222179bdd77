"""The command that finds a model's threshold again, and its options."""

from pathlib import Path
from typing import Annotated

import typer

from sk_ssimae.cli._options import Device, MaskSuffix, Model, Quiet, Recursive, Roi
from sk_ssimae.cli._terminal import reporting


def calibrate(
    model: Model,
    good_dir: Annotated[
        Path,
        typer.Argument(
            metavar="GOOD_DIR", help="Folder of good images that were not used in training."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Model file to write. By default MODEL is replaced."),
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            "--threshold",
            metavar="image_fpr|pixel_fpr",
            help="Rule that sets the threshold. By default that of the model.",
        ),
    ] = None,
    target_fpr: Annotated[
        float | None,
        typer.Option(help="False positive rate of the rule. By default that of the model."),
    ] = None,
    device: Device = "auto",
    roi: Roi = None,
    recursive: Recursive = False,
    mask_suffix: MaskSuffix = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file of --output.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Find a model's threshold again on good images, without training.

    The more images, the better the promise of the threshold. The file is replaced only when the new
    one is completely written.
    """
    with reporting(quiet) as terminal:
        from sk_ssimae.cli import _calibrate

        _calibrate.calibrate(
            model,
            good_dir,
            output,
            rule=rule,
            target_fpr=target_fpr,
            device=device,
            roi=roi,
            recursive=recursive,
            mask_suffix=mask_suffix,
            overwrite=overwrite,
            terminal=terminal,
        )
