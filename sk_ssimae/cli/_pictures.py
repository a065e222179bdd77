"""Small pictures of an image, its residual map and its mask, as data URLs for an HTML file."""

import base64
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sk_ssimae._images import Images
from sk_ssimae._pixels import Conversion, as_unit_float
from sk_ssimae.cli._scale import ResidualScale
from sk_ssimae.estimators import BaseSegmenter

LONGEST_SIDE = 320
_LEVELS = 32
# Colours of residuals (red, green, blue, opacity) from the low to the high end of the scale. Good
# texture stays visible; residuals above the threshold, in the middle of the scale, cover it.
_COLOURS = np.array(
    [
        (255, 245, 190, 0),
        (254, 217, 118, 35),
        (253, 141, 60, 150),
        (227, 26, 28, 215),
        (128, 0, 38, 240),
    ]
)
_MASK_COLOURS = np.array([(0, 0, 0, 0), (227, 26, 28, 50), (227, 26, 28, 255)])


class ColourScale(NamedTuple):
    """Range of residuals that the colours of a report show, the same for all images.

    Attributes
    ----------
    low, high : float
        Ends of the range. Residuals beyond an end have the colour of that end.
    """

    low: float
    high: float

    @classmethod
    def of(cls, segmenter: BaseSegmenter) -> "ColourScale":
        """Put the threshold in the middle; never extend beyond the highest possible residual."""
        low, highest = ResidualScale.of(segmenter)
        above = 2 * (segmenter.threshold_ - low)
        return cls(low, min(low + above, highest) if above > 0 else highest)

    def position(self, residual: Any) -> Any:
        """Return the position of residuals between the ends, in [0, 1]."""
        return np.clip((residual - self.low) / (self.high - self.low), 0, 1)

    @staticmethod
    def css() -> str:
        """Return the colours as the stops of a CSS gradient."""
        return ", ".join(f"rgba({r}, {g}, {b}, {a / 255:.3f})" for r, g, b, a in _COLOURS)


class Pictures(NamedTuple):
    """Pictures of one image as data URLs, all of the same width and height in pixels."""

    width: int
    height: int
    image: str
    residual_map: str
    mask: str


def draw(
    image: Path,
    residual_map: NDArray[np.float32],
    mask: NDArray[np.bool_],
    colours: ColourScale,
    conversion: Conversion,
) -> Pictures:
    """Draw the pictures of an image, at most `LONGEST_SIDE` pixels high and wide.

    Where several pixels become one, it shows their largest residual and is marked if any of them
    is, so that shrinking loses no defect.
    """
    height, width = mask.shape
    shrink = min(1.0, LONGEST_SIDE / max(height, width))
    shape = max(1, round(height * shrink)), max(1, round(width * shrink))
    small = colours.position(_shrink(residual_map, shape))
    levels = np.rint(small * (_LEVELS - 1)).astype(np.uint8)
    # Kind of each pixel: 0 good, 1 marked, 2 outline of a marked region.
    marked = np.pad(_shrink(mask, shape), 1)
    outline = marked & ~ndimage.binary_erosion(marked, np.ones((3, 3), bool))
    kinds = (marked.astype(np.uint8) + outline)[1:-1, 1:-1]
    return Pictures(
        shape[1],
        shape[0],
        _photograph(image, shape, conversion),
        _paint(levels, _palette()),
        _paint(kinds, _MASK_COLOURS),
    )


def _shrink(values: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Shrink (h, w) to another shape by taking maxima."""
    rows, columns = (np.arange(n) * size // n for n, size in zip(shape, values.shape, strict=True))
    tall: NDArray[Any] = np.maximum.reduceat(values, rows, axis=0)
    return np.asarray(np.maximum.reduceat(tall, columns, axis=1))


def _palette() -> NDArray[Any]:
    stops = np.linspace(0, 1, len(_COLOURS))
    at = np.linspace(0, 1, _LEVELS)
    return np.stack([np.interp(at, stops, channel) for channel in _COLOURS.T], axis=1)


def _photograph(path: Path, shape: tuple[int, int], conversion: Conversion) -> str:
    from PIL import Image

    # As the model sees it, so that an intensity range that does not fit is visible.
    pixels = np.clip(as_unit_float(Images([path], conversion=conversion)[0]), 0, 1)
    if pixels.shape[-1] != 3:  # A screen cannot show other channels: use their mean.
        pixels = pixels.mean(axis=-1)
    picture = Image.fromarray(np.rint(255 * pixels).astype(np.uint8))
    file = io.BytesIO()
    picture.resize(shape[::-1], Image.Resampling.BOX).save(file, "JPEG", quality=75)
    return _data_url("jpeg", file)


def _paint(levels: NDArray[np.uint8], colours: NDArray[Any]) -> str:
    from PIL import Image

    colours = np.rint(colours).astype(np.uint8)
    picture = Image.fromarray(levels)
    picture.putpalette(colours[:, :3].tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG", transparency=colours[:, 3].tobytes(), optimize=True)
    return _data_url("png", file)


def _data_url(kind: str, file: io.BytesIO) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
