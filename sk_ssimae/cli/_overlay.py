"""Pictures of images with their regions outlined and numbered."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sk_ssimae._images import Images
from sk_ssimae._pixels import Conversion, as_unit_float
from sk_ssimae.cli._model import Inspection

_COLOUR = (227, 26, 28)
# Outlines and numbers are this share of the longer side, so that they are seen in large images.
_LINE_SHARE, _TEXT_SHARE = 1 / 500, 1 / 40
_SMALLEST_TEXT = 10


def draw_overlay(path: Path, found: Inspection, conversion: Conversion) -> bytes:
    """Draw the outlines of regions around them, and their numbers of the table.

    Parameters
    ----------
    path : path
        Image file.
    found : Inspection
        Results for the image.
    conversion : Conversion
        How the segmenter converts its pixels: the picture shows what the segmenter saw.

    Returns
    -------
    bytes
        Content of a PNG file in colour, of the height and width of the image.
    """
    from PIL import Image, ImageDraw, ImageFont

    pixels = _as_colours(Images([path], conversion=conversion)[0])
    longer = max(found.mask.shape)
    line = max(1, round(_LINE_SHARE * longer))
    around = ndimage.binary_dilation(found.mask, np.ones((3, 3), bool), line) & ~found.mask
    pixels[around] = _COLOUR
    picture = Image.fromarray(pixels)
    pen = ImageDraw.Draw(picture)
    size = max(_SMALLEST_TEXT, round(_TEXT_SHARE * longer))
    font: Any = ImageFont.load_default(size)
    for region in found.find_regions():
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


def _as_colours(image: Any) -> NDArray[np.uint8]:
    """Return red, green and blue of an image (h, w, c); their mean for other channels."""
    pixels = np.clip(as_unit_float(image), 0, 1)
    if pixels.shape[-1] != 3:
        pixels = np.repeat(pixels.mean(axis=-1, keepdims=True), 3, axis=-1)
    colours: NDArray[np.uint8] = np.rint(255 * pixels).astype(np.uint8)
    return colours
