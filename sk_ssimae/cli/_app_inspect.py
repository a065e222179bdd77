"""The commands that inspect images and judge a model, and their options."""

from pathlib import Path
from typing import Annotated

import typer

from sk_ssimae.cli._options import (
    BadImage,
    Device,
    Level,
    ManyImages,
    MaskSuffix,
    Model,
    OnError,
    Quiet,
    Recursive,
    Roi,
)
from sk_ssimae.cli._terminal import reporting
from sk_ssimae.cli._usage import parse_level


def predict(
    model: Model,
    images: ManyImages,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Output folder for masks, regions, residual maps and scores."
        ),
    ],
    threshold: Level = None,
    overlays: Annotated[
        bool,
        typer.Option(
            "--overlays", help="Also write pictures of the images with their regions outlined."
        ),
    ] = False,
    on_error: BadImage = OnError.stop,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Delete the outputs of earlier runs and start again."),
    ] = False,
    roi: Roi = None,
    recursive: Recursive = False,
    mask_suffix: MaskSuffix = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Segment images: write masks, regions, 16-bit residual maps and scores.

    Regions are written as CSV and as COCO JSON.

    The same command resumes an interrupted run: complete images are not computed again. Files that
    predict did not write are never changed: a folder with masks from another source is refused.
    """
    with reporting(quiet) as terminal:
        from sk_ssimae.cli import _predict

        code = _predict.predict(
            model,
            images,
            out,
            threshold=parse_level(threshold),
            overlays=overlays,
            device=device,
            skip_bad=on_error is OnError.skip,
            overwrite=overwrite,
            roi=roi,
            recursive=recursive,
            mask_suffix=mask_suffix,
            terminal=terminal,
        )
    raise typer.Exit(code)


def evaluate(
    model: Model,
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="Folder of test images.")],
    masks: Annotated[
        Path | None,
        typer.Argument(
            metavar="[MASKS]",
            help="Folder of their masks, paired by file name. Without it, masks lie with the "
            "images, or IMAGES is a category of MVTec AD.",
        ),
    ] = None,
    good: Annotated[
        Path | None, typer.Option(help="Folder of good images that were not used in training.")
    ] = None,
    compare: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="MODEL", help="Another model to score on the same images. Can be repeated."
        ),
    ] = None,
    threshold: Level = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the scores to this file.")
    ] = None,
    on_error: BadImage = OnError.stop,
    roi: Roi = None,
    recursive: Recursive = False,
    mask_suffix: MaskSuffix = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Score a model on images with known defects, or compare several.

    Results are also listed by kind of defect, which is the subfolder of an image, and images that
    were missed or falsely flagged are named. With --on-error skip, images that have no mask are
    left out too. The scores are those of the other images.
    """
    with reporting(quiet) as terminal:
        from sk_ssimae.cli import _evaluate

        code = _evaluate.evaluate(
            model,
            images,
            masks,
            good=good,
            compared=compare or [],
            threshold=parse_level(threshold),
            json_file=json_file,
            device=device,
            skip_bad=on_error is OnError.skip,
            roi=roi,
            recursive=recursive,
            mask_suffix=mask_suffix,
            terminal=terminal,
        )
    raise typer.Exit(code)
