"""The commands and their options. What they do is imported when they run, for torch takes long."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

import sk_ssimae
from sk_ssimae.cli._terminal import reporting

_EXIT_CODES = (
    "Exit codes: 0 done; 1 something given is wrong, a line on standard error says what; 2 the "
    "command was not understood; 3 done, but some images failed; 130 interrupted."
)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EXIT_CODES,
)


class OnError(StrEnum):
    """What to do with a bad image."""

    stop = "stop"
    skip = "skip"


Model = Annotated[Path, typer.Argument(metavar="MODEL", help="File that fit has written.")]
ManyImages = Annotated[
    list[Path], typer.Argument(metavar="IMAGES...", help="Image files, and folders of images.")
]
Device = Annotated[
    str, typer.Option(help="Where to compute: auto takes a GPU where there is one, else the CPU.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
BadImage = Annotated[
    OnError, typer.Option(help="At a bad image: stop, or report it, skip it and exit with 3.")
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
    """Find defects in images after seeing good ones only."""


@app.command()
def demo(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="PNG file to write.")] = Path(
        "demo.png"
    ),
) -> None:
    """Train the SSIM and the L2 segmenter on made fabric, compare them and draw what they find.

    It takes about two minutes and needs the extra plot.
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
        Path, typer.Option("--output", "-o", help="Model file to write, such as m.safetensors.")
    ],
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Method of comparison, such as ssim (structure), l2 (grey values) or vae "
            "(probabilities). An unknown name lists all.",
        ),
    ] = "ssim",
    latent_dim: Annotated[int, typer.Option(help="What the network can say about a patch.")] = 100,
    patch_size: Annotated[
        int, typer.Option(help="Side of a patch in pixels, a multiple of 16.")
    ] = 128,
    image_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIDE|HEIGHTxWIDTH",
            help="Resize images to this before patches are cut. By default they stay as they are.",
        ),
    ] = None,
    patches: Annotated[
        int | None,
        typer.Option(
            metavar="TOTAL",
            min=1,
            help="Patches of the whole training, shared out over its epochs. By default 100000.",
        ),
    ] = None,
    threshold: Annotated[
        str,
        typer.Option(
            metavar="pixel_fpr|image_fpr|NUMBER",
            help="Bound the share of good pixels marked, or of good images flagged; or a residual.",
        ),
    ] = "pixel_fpr",
    target_fpr: Annotated[
        float, typer.Option(help="The false positive rate that the threshold aims at.")
    ] = 0.01,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other parameter of the segmenter, such as max_epochs=20. May be repeated.",
        ),
    ] = None,
    device: Device = "auto",
    seed: Annotated[
        int | None,
        typer.Option(help="Makes training repeatable. By default each training is another."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model file.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on a folder of good images.

    Ctrl-C ends training: the model is saved as far as it came, if an epoch was complete, and the
    exit code is 130. A model that --overwrite would replace is kept then, and the new one saved
    beside it, as in m.interrupted.safetensors. Ctrl-C again, a second later or more, ends the
    search for a threshold: the model is saved without one.
    """
    with reporting(quiet) as terminal:
        from sk_ssimae.cli import _fit

        parameters: dict[str, Any] = {
            "latent_dim": latent_dim,
            "patch_size": patch_size,
            "image_size": _parse_image_size(image_size),
            "threshold": _parse_threshold(threshold),
            "target_fpr": target_fpr,
            "device": device,
            "random_state": seed,
        }
        code = _fit.fit(
            good_dir,
            output,
            method,
            parameters,
            settings=settings or [],
            patches=patches,
            overwrite=overwrite,
            terminal=terminal,
        )
    raise typer.Exit(code)


@app.command()
def predict(
    model: Model,
    images: ManyImages,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for masks, residual maps and scores.csv.")
    ],
    on_error: BadImage = OnError.stop,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Remove what a former predict left, and begin anew.")
    ] = False,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Segment images: masks, 16-bit residual maps and a CSV of scores.

    Run again, it goes on where it was: what is complete is not computed again. Other files than
    its own are left alone: a folder with masks that are not of predict is refused.
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
            terminal=terminal,
        )
    raise typer.Exit(code)


@app.command()
def evaluate(
    model: Model,
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="Folder of images.")],
    masks: Annotated[
        Path, typer.Argument(metavar="MASKS", help="Folder of their masks, paired by name.")
    ],
    good: Annotated[
        Path | None, typer.Option(help="Folder of good images that training has not seen.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the scores to this file, too.")
    ] = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Score a model on images whose defects are known."""
    with reporting(quiet) as terminal:
        from sk_ssimae.cli import _evaluate

        _evaluate.evaluate(
            model, images, masks, good=good, json_file=json_file, device=device, terminal=terminal
        )


@app.command()
def report(
    model: Model,
    images: ManyImages,
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML file to write.")],
    on_error: BadImage = OnError.stop,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Show images, residual maps, masks and scores in one HTML file that needs no network."""
    with reporting(quiet) as terminal:
        from sk_ssimae.cli import _report

        code = _report.report(
            model,
            images,
            output,
            device=device,
            skip_bad=on_error is OnError.skip,
            terminal=terminal,
        )
    raise typer.Exit(code)


@app.command()
def info(model: Model) -> None:
    """Print what a model is: its parameters, its threshold and what that promises."""
    with reporting() as terminal:
        from sk_ssimae.cli import _info

        _info.info(model, terminal)


def _parse_image_size(text: str | None) -> int | tuple[int, int] | None:
    if text is None:
        return None
    try:
        sides = [int(side) for side in text.split("x")]
    except ValueError:
        sides = []
    match sides:
        case [side]:
            return side
        case [height, width]:
            return height, width
    raise ValueError(f"--image-size must be such as 256 or 256x320, got {text!r} instead.")


def _parse_threshold(text: str) -> str | float:
    if text in ("pixel_fpr", "image_fpr"):
        return text
    try:
        return float(text)
    except ValueError:
        raise ValueError(
            f"--threshold must be pixel_fpr, image_fpr or a number, got {text!r} instead."
        ) from None
