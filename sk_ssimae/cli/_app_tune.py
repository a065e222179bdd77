"""The command that chooses method and settings, and its options."""

from pathlib import Path
from typing import Annotated

import typer

from sk_ssimae.cli._options import Device, IntensityRange, MaskSuffix, Quiet, Recursive, Roi
from sk_ssimae.cli._terminal import reporting
from sk_ssimae.cli._usage import parse_intensity_range


def tune(
    good_dir: Annotated[
        Path, typer.Argument(metavar="GOOD_DIR", help="Folder of images without defects.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Model file to write, such as model.safetensors.")
    ],
    minutes: Annotated[float, typer.Option(help="Time budget in minutes, for everything.")] = 30,
    table: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="Table of all that was tried. By default it is next to the model, as in "
            "model.tuning.csv.",
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png",
            help="Picture of the ranking, which requires the plot extra. By default it is next to "
            "the model, as in model.tuning.png.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Random seed. Without it, each run paints different defects."),
    ] = None,
    intensity_range: IntensityRange = "auto",
    target_fpr: Annotated[
        float,
        typer.Option(help="Share of good images that may be flagged; 0.01 means 1 %."),
    ] = 0.01,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other parameter, of all candidates that have it, such as alpha_channel=keep. "
            "Can be repeated.",
        ),
    ] = None,
    roi: Roi = None,
    recursive: Recursive = False,
    mask_suffix: MaskSuffix = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing model file.")
    ] = False,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Choose method and settings on good images alone, then train and calibrate the winner.

    Defects are painted into some of the images, near the limit of detection, and the candidates are
    ranked by how well they find them. The speed of this machine is measured: candidates for which
    there is no time are skipped.

    Ctrl-C, SIGTERM or SIGHUP stops it, with exit code 130. Results so far are kept in a folder next
    to the model, as in model.tuning, and the same command continues. The folder is removed at the
    end.
    """
    with reporting(quiet) as terminal:
        from sk_ssimae.cli import _tune

        _tune.tune(
            good_dir,
            output,
            minutes=minutes,
            table=table,
            picture=picture,
            seed=seed,
            device=device,
            params={
                "intensity_range": parse_intensity_range(intensity_range),
                "target_fpr": target_fpr,
            },
            settings=settings or [],
            roi=roi,
            recursive=recursive,
            mask_suffix=mask_suffix,
            overwrite=overwrite,
            terminal=terminal,
        )
