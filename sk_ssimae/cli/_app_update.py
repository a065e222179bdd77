"""The command that trains a model further, and its options."""

from pathlib import Path
from typing import Annotated

import typer

from sk_ssimae.cli._options import Device, MaskSuffix, Model, Quiet, Recursive, Roi
from sk_ssimae.cli._terminal import reporting


def update(
    model: Model,
    good_dir: Annotated[
        Path, typer.Argument(metavar="GOOD_DIR", help="Folder of new images without defects.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Model file to write. By default MODEL is replaced."),
    ] = None,
    roi: Roi = None,
    recursive: Recursive = False,
    mask_suffix: MaskSuffix = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing --output file.")
    ] = False,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Train a model further on new good images, and find its threshold on some of them.

    First it says whether the images have changed since calibration. Training continues from the
    weights of the model, with its number of epochs. If it is interrupted, nothing is written.
    """
    with reporting(quiet) as terminal:
        from sk_ssimae.cli import _update

        _update.update(
            model,
            good_dir,
            output,
            device=device,
            roi=roi,
            recursive=recursive,
            mask_suffix=mask_suffix,
            overwrite=overwrite,
            terminal=terminal,
        )
