"""Arguments and options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


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
IntensityRange = Annotated[
    str,
    typer.Option(
        metavar="auto|dtype|LOW:HIGH",
        help="Pixel values that become 0 and 1, such as 0:4095 for a camera of 12 bits. auto finds "
        "them unless the images have 8 bits; dtype uses the range of the type.",
    ),
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
AnyImageRoi = Annotated[
    str | None,
    typer.Option(
        "--roi",
        metavar="FILE|X,Y,WIDTH,HEIGHT",
        help="Region of interest: only its pixels are inspected. A mask image for all images, "
        "black where nothing is inspected; or a rectangle in pixels: its first column and row, "
        "width and height.",
    ),
]
BadImage = Annotated[
    OnError,
    typer.Option(
        help="If an image cannot be processed: stop, or report it, skip it and exit with 3."
    ),
]
Level = Annotated[
    str | None,
    typer.Option(
        "--threshold",
        metavar="NUMBER",
        help="Level of the verdict in this run, instead of the model's threshold: regions that "
        "exceed it are defective. How far they extend does not change.",
    ),
]
