"""The command that segments images as they arrive, and its options."""

from pathlib import Path
from typing import Annotated

import typer

from sk_ssimae.cli._options import AnyImageRoi, Device, Level, Model, Quiet
from sk_ssimae.cli._terminal import reporting
from sk_ssimae.cli._usage import parse_level


def watch(
    model: Model,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder in which images arrive.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Output folder for masks, regions, residual maps and scores."
        ),
    ],
    interval: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0.01,
            max=86400,
            help="Time between two looks into FOLDER. An image is taken when two looks find it "
            "unchanged: choose more than the longest pause of the program that writes it.",
        ),
    ] = 1.0,
    webhook: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Post each verdict as JSON to this address of this machine, such as "
            "http://127.0.0.1:9000/verdicts.",
        ),
    ] = None,
    threshold: Level = None,
    overlays: Annotated[
        bool,
        typer.Option(
            "--overlays", help="Also write pictures of the images with their regions outlined."
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Delete the outputs of earlier runs and start again."),
    ] = False,
    roi: AnyImageRoi = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Segment images as they arrive in a folder, such as that of a camera.

    Writes the same files as predict, and a line for each image. Ctrl-C, SIGTERM or SIGHUP ends it
    after the image in hand, with exit code 130. The same command continues: no image is segmented
    twice unless its file has changed.
    """
    with reporting(quiet) as terminal:
        from sk_ssimae.cli import _watch

        _watch.watch(
            model,
            folder,
            out,
            interval=interval,
            webhook=webhook,
            threshold=parse_level(threshold),
            overlays=overlays,
            device=device,
            overwrite=overwrite,
            roi=roi,
            terminal=terminal,
        )
