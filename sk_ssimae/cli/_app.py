"""Commands and their options. Each imports its code when it runs: importing torch is slow."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

import sk_ssimae
from sk_ssimae.cli._terminal import reporting
from sk_ssimae.cli._usage import (
    Commands,
    parse_image_size,
    parse_intensity_range,
    parse_threshold,
)

_EXIT_CODES = (
    "Exit codes: 0 success; 1 error, explained in one line on standard error; 2 wrong usage, such "
    "as an unknown option; 3 done, but some images failed; 130 interrupted by Ctrl-C, SIGTERM or "
    "SIGHUP."
)

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EXIT_CODES,
)


class OnError(StrEnum):
    """How to handle an image that cannot be processed."""

    stop = "stop"
    skip = "skip"


Model = Annotated[Path, typer.Argument(metavar="MODEL", help="Model file written by fit.")]
ManyImages = Annotated[
    list[Path], typer.Argument(metavar="IMAGES...", help="Image files or folders of images.")
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Include the images in subfolders.")
]
MaskSuffix = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="Ending of the names of masks, such as _defect, if it is not a usual one such as "
        "_mask, _gt, _label or _seg. Masks between the images are left out.",
    ),
]
Device = Annotated[
    str, typer.Option(help="Device to compute on: auto uses a GPU if there is one, else the CPU.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Roi = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|FOLDER|X,Y,WIDTH,HEIGHT",
        help="Region of interest: only its pixels are inspected. A mask image for all images, "
        "black where nothing is inspected; a folder with a mask for each, paired by name; or a "
        "rectangle in pixels: its first column and row, width and height.",
    ),
]
BadImage = Annotated[
    OnError,
    typer.Option(
        help="If an image cannot be processed: stop, or report it, skip it and exit with 3."
    ),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sk_ssimae {sk_ssimae.__version__}")
        raise typer.Exit


@app.callback()
def _sk_ssimae(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Detect and locate defects in images with a model trained on good images only."""


@app.command()
def demo(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="PNG file to write.")] = Path(
        "demo.png"
    ),
) -> None:
    """Train the SSIM and L2 segmenters on synthetic fabric, compare them and plot their results.

    This takes about two minutes and requires the plot extra.
    """
    with reporting():
        from sk_ssimae.cli import demo as program

        program.check(program.main(picture))


@app.command()
def fit(
    good_dir: Annotated[
        Path, typer.Argument(metavar="GOOD_DIR", help="Folder of images without defects.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Model file to write, such as model.safetensors.")
    ],
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Method of comparison, such as ssim (structure), l2 (grey values) or vae "
            "(probabilities). An unknown name lists all.",
        ),
    ] = "ssim",
    latent_dim: Annotated[int, typer.Option(help="Size of the latent vector.")] = 100,
    patch_size: Annotated[
        int, typer.Option(help="Side length of a patch in pixels, a multiple of 16.")
    ] = 128,
    image_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIDE|HEIGHTxWIDTH",
            help="Resize images before patches are cut from them. By default they keep their size.",
        ),
    ] = None,
    intensity_range: Annotated[
        str,
        typer.Option(
            metavar="auto|dtype|LOW:HIGH",
            help="Pixel values that become 0 and 1, such as 0:4095 for a camera of 12 bits. auto "
            "finds them unless the images have 8 bits; dtype uses the range of the type.",
        ),
    ] = "auto",
    patches: Annotated[
        int | None,
        typer.Option(
            metavar="TOTAL",
            min=1,
            help="Total number of patches over the whole training, divided among its epochs. To "
            "set the number per epoch, use --set n_patches instead. By default 100000.",
        ),
    ] = None,
    threshold: Annotated[
        str,
        typer.Option(
            metavar="image_fpr|pixel_fpr|NUMBER",
            help="Rule that sets the threshold: image_fpr aims at a share of good images flagged, "
            "pixel_fpr at a share of good pixels. A number is used as the threshold itself.",
        ),
    ] = "image_fpr",
    target_fpr: Annotated[
        float,
        typer.Option(help="False positive rate for image_fpr and pixel_fpr; 0.01 means 1 %."),
    ] = 0.01,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other parameter of the segmenter, such as max_epochs=20. Can be repeated.",
        ),
    ] = None,
    checkpoint_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for the state of training after each epoch, created if it does not exist. "
            "The same command resumes a run that was killed. Requires --seed.",
        ),
    ] = None,
    device: Device = "auto",
    seed: Annotated[
        int | None,
        typer.Option(help="Random seed. Without it, each run gives a different model."),
    ] = None,
    roi: Roi = None,
    recursive: Recursive = False,
    mask_suffix: MaskSuffix = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing model file.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on a folder of good images.

    Ctrl-C, SIGTERM or SIGHUP stops training. If at least one epoch is complete, the model trained
    so far is saved. The exit code is 130. With --overwrite, an interrupted run keeps the old model
    and saves the new one next to it, as in model.interrupted.safetensors. If you press Ctrl-C
    again, at least one second later, the search for the threshold stops too: the model is saved
    without a threshold.
    """
    with reporting(quiet) as terminal:
        from sk_ssimae.cli import _fit

        parameters: dict[str, Any] = {
            "latent_dim": latent_dim,
            "patch_size": patch_size,
            "image_size": parse_image_size(image_size),
            "intensity_range": parse_intensity_range(intensity_range),
            "threshold": parse_threshold(threshold),
            "target_fpr": target_fpr,
            "device": device,
            "random_state": seed,
            "checkpoint_dir": checkpoint_dir,
        }
        code = _fit.fit(
            good_dir,
            output,
            method,
            parameters,
            settings=settings or [],
            patches=patches,
            roi=roi,
            recursive=recursive,
            mask_suffix=mask_suffix,
            overwrite=overwrite,
            terminal=terminal,
        )
    raise typer.Exit(code)


@app.command()
def predict(
    model: Model,
    images: ManyImages,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Output folder for masks, residual maps and scores.csv."),
    ],
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
    """Segment images: write masks, 16-bit residual maps and a CSV file of scores.

    The same command resumes an interrupted run: complete images are not computed again. Files that
    predict did not write are never changed: a folder with masks from another source is refused.
    """
    with reporting(quiet) as terminal:
        from sk_ssimae.cli import _predict

        code = _predict.predict(
            model,
            images,
            out,
            device=device,
            skip_bad=on_error is OnError.skip,
            overwrite=overwrite,
            roi=roi,
            recursive=recursive,
            mask_suffix=mask_suffix,
            terminal=terminal,
        )
    raise typer.Exit(code)


@app.command()
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
    """Score a model on images with known defects.

    With --on-error skip, images that have no mask are left out too. The scores are those of the
    other images.
    """
    with reporting(quiet) as terminal:
        from sk_ssimae.cli import _evaluate

        code = _evaluate.evaluate(
            model,
            images,
            masks,
            good=good,
            json_file=json_file,
            device=device,
            skip_bad=on_error is OnError.skip,
            roi=roi,
            recursive=recursive,
            mask_suffix=mask_suffix,
            terminal=terminal,
        )
    raise typer.Exit(code)


@app.command()
def report(
    model: Model,
    images: ManyImages,
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML file to write.")],
    on_error: BadImage = OnError.stop,
    roi: Roi = None,
    recursive: Recursive = False,
    mask_suffix: MaskSuffix = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Write images, residual maps, masks and scores to one self-contained HTML file."""
    with reporting(quiet) as terminal:
        from sk_ssimae.cli import _report

        code = _report.report(
            model,
            images,
            output,
            device=device,
            skip_bad=on_error is OnError.skip,
            roi=roi,
            recursive=recursive,
            mask_suffix=mask_suffix,
            terminal=terminal,
        )
    raise typer.Exit(code)


@app.command()
def info(model: Model) -> None:
    """Print a model's parameters, training, threshold and expected false positive rate."""
    with reporting() as terminal:
        from sk_ssimae.cli import _info

        _info.info(model, terminal)
