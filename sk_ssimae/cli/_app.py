"""Commands and their options. Each imports its code when it runs: importing torch is slow."""

from pathlib import Path
from typing import Annotated, Any

import typer

import sk_ssimae
from sk_ssimae.cli._app_calibrate import calibrate
from sk_ssimae.cli._app_inspect import evaluate, predict
from sk_ssimae.cli._app_serve import serve
from sk_ssimae.cli._app_tune import tune
from sk_ssimae.cli._app_update import update
from sk_ssimae.cli._app_watch import watch
from sk_ssimae.cli._options import (
    BadImage,
    Device,
    IntensityRange,
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
from sk_ssimae.cli._usage import (
    Commands,
    parse_image_size,
    parse_intensity_range,
    parse_level,
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
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Folder to write to: new, or of an earlier demo."),
    ] = Path("demo"),
) -> None:
    """Draw fabric with defects, train on good images, and write a report; in two minutes.

    The commands that it runs are printed: try them on your own images.
    """
    with reporting():
        from sk_ssimae.cli import demo as program

        program.check(program.main(folder))


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
            help="Name of the method, from the list above.",
        ),
    ] = "auto",
    latent_dim: Annotated[
        int | None,
        typer.Option(help="Size of the latent vector. By default 100, with auto 500."),
    ] = None,
    patch_size: Annotated[
        int | None,
        typer.Option(
            help="Side length of a patch in pixels, a multiple of 16. By default 64, with auto 128."
        ),
    ] = None,
    image_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIDE|HEIGHTxWIDTH",
            help="Resize images before patches are cut from them. By default they keep their size.",
        ),
    ] = None,
    intensity_range: IntensityRange = "auto",
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
            help="Any other parameter: with --method auto of its members, such as "
            "autoencoder__max_epochs=20 or dictionary__stride=2, else of the segmenter, such as "
            "max_epochs=20. Can be repeated.",
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
    initial_weights: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="Model file whose network training starts from, instead of random weights. Its "
            "latent_dim, patch_size and channels must be the same.",
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

    Values of --method:
    -------
    - auto: you do not know; ssim and two patch dictionaries together
    - auto-pretrained: auto and a feature-dictionary; extra: features
    - ssim: irregular textures, defects of structure; minutes to train
    - ms-ssim: like ssim, for wide and faint defects; minutes to train
    - l2: defects of colour or grey value; minutes to train
    - l1: like l2, with the absolute error; minutes to train
    - vae: like l2, with the improbability of each pixel; minutes to train
    - adversarial: like l1, trained against a critic; slower to train
    - gan: nearest patch of a generator, to compare with the literature; long to train
    - patch-dictionary: regular textures; seconds to train
    - feature-dictionary: irregular textures; seconds; extra: features
    - sparse-dictionary: small structures on irregular textures; slow to predict

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
            "initial_weights": None if initial_weights is None else str(initial_weights),
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


app.command()(tune)
app.command()(calibrate)
app.command()(update)
app.command()(predict)
app.command()(watch)
app.command()(serve)
app.command()(evaluate)


@app.command()
def report(
    model: Model,
    images: ManyImages,
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML file to write.")],
    masks: Annotated[
        Path | None,
        typer.Option(help="Folder of masks of known defects, paired with IMAGES by file name."),
    ] = None,
    good: Annotated[
        Path | None, typer.Option(help="Folder of further images, which are known to be good.")
    ] = None,
    threshold: Level = None,
    on_error: BadImage = OnError.stop,
    roi: Roi = None,
    recursive: Recursive = False,
    mask_suffix: MaskSuffix = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Write one self-contained HTML file in which to look at the regions and choose the level.

    The page works without a network: a slider moves the level of the verdict, and images can be
    marked as false alarm or missed.
    """
    with reporting(quiet) as terminal:
        from sk_ssimae.cli import _report

        code = _report.report(
            model,
            images,
            output,
            masks=masks,
            good=good,
            threshold=parse_level(threshold),
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
