"""PNG files of masks, and of images with their regions outlined and numbered."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sk_ssimae._pixels import Conversion
from sk_ssimae.cli._model import Inspection
from sk_ssimae.cli._pictures import read_picture

_COLOUR = (227, 26, 28)
# Outlines and numbers are this share of the longer side, so that they are seen in large images.
_LINE_SHARE, _TEXT_SHARE = 1 / 500, 1 / 40
_SMALLEST_TEXT = 10


def encode_mask(mask: NDArray[np.bool_]) -> bytes:
    """Return a mask as the content of a PNG file: 255 where it is True, else 0."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def draw_overlay(path: Path, found: Inspection, conversion: Conversion) -> bytes:
    """Draw the outlines of regions around them, and their numbers of the table.

    Parameters
    ----------
    path : path
        Image file.
    found : Inspection
        Results for the image.
    conversion : Conversion
        How the segmenter converts its pixels; the picture shows converted pixels.

    Returns
    -------
    bytes
        Content of a PNG file in colour, of the height and width of the image.
    """
    from PIL import Image, ImageDraw, ImageFont

    pixels = np.array(Image.fromarray(read_picture(path, conversion)).convert("RGB"))
    longer = max(found.mask.shape)
    line = max(1, round(_LINE_SHARE * longer))
    around = ndimage.binary_dilation(found.mask, np.ones((3, 3), bool), line) & ~found.mask
    pixels[around] = _COLOUR
    picture = Image.fromarray(pixels)
    pen = ImageDraw.Draw(picture)
    size = max(_SMALLEST_TEXT, round(_TEXT_SHARE * longer))
    font: Any = ImageFont.load_default(size)
    for region in found.regions:
        number = str(region["label"])
        _, _, right, bottom = pen.textbbox((0, 0), number, font=font)
        # Above the box, or inside the picture where that would be cut off.
        column = min(int(region["min_column"]), picture.width - int(right))
        row = int(region["min_row"]) - line - int(bottom)
        row = row if row >= 0 else int(region["max_row"]) + line
        row = min(row, picture.height - int(bottom))
        place = max(column, 0), max(row, 0)
        pen.text(place, number, fill=_COLOUR, font=font, stroke_width=1, stroke_fill="white")
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
