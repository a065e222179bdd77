"""Small pictures of an image and of its residual map, as data URLs for an HTML file."""

import base64
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._images import Images
from sk_ssimae._pixels import Conversion, as_unit_float
from sk_ssimae.cli._colours import ColourScale

_LONGEST_SIDE = 512
# A page of very many images has smaller pictures, so that a browser can still open it.
_MANY_IMAGES = 500
_LONGEST_SIDE_OF_MANY = 256


class Pictures(NamedTuple):
    """Pictures of one image as data URLs, all of the same width and height in pixels."""

    width: int
    height: int
    image: str
    residual_map: str


def longest_side(n_images: int) -> int:
    """Return the largest height and width of pictures in pixels, for a page of so many images."""
    return _LONGEST_SIDE if n_images <= _MANY_IMAGES else _LONGEST_SIDE_OF_MANY


def read_picture(path: Path, conversion: Conversion) -> NDArray[np.uint8]:
    """Read an image as the model sees it, so that an intensity range that does not fit is visible.

    Returns
    -------
    array of uint8, shape (h, w, 3) or (h, w)
        Colours; the mean of other numbers of channels, which a screen cannot show.
    """
    pixels = np.clip(as_unit_float(Images([path], conversion=conversion)[0]), 0, 1)
    if pixels.shape[-1] != 3:
        pixels = pixels.mean(axis=-1)
    picture: NDArray[np.uint8] = np.rint(255 * pixels).astype(np.uint8)
    return picture


def draw(
    image: Path,
    opened_map: NDArray[np.float32],
    colours: ColourScale,
    conversion: Conversion,
    longest_side: int,
) -> Pictures:
    """Draw the pictures of an image, at most `longest_side` pixels high and wide.

    Where several pixels become one, it shows their largest residual, so that shrinking loses no
    defect.
    """
    height, width = opened_map.shape
    shrink = min(1.0, longest_side / max(height, width))
    shape = max(1, round(height * shrink)), max(1, round(width * shrink))
    codes = colours.encode(_shrink(opened_map, shape))
    return Pictures(
        shape[1],
        shape[0],
        _photograph(image, shape, conversion),
        _paint(codes, colours.palette()),
    )


def _shrink(values: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Shrink (h, w) to another shape by taking maxima."""
    rows, columns = (np.arange(n) * size // n for n, size in zip(shape, values.shape, strict=True))
    tall: NDArray[Any] = np.maximum.reduceat(values, rows, axis=0)
    return np.asarray(np.maximum.reduceat(tall, columns, axis=1))


def _photograph(path: Path, shape: tuple[int, int], conversion: Conversion) -> str:
    from PIL import Image

    picture = Image.fromarray(read_picture(path, conversion))
    file = io.BytesIO()
    picture.resize(shape[::-1], Image.Resampling.BOX).save(file, "JPEG", quality=75)
    return _data_url("jpeg", file)


def _paint(codes: NDArray[np.uint8], palette: NDArray[np.uint8]) -> str:
    from PIL import Image

    picture = Image.fromarray(codes)
    picture.putpalette(palette[:, :3].tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG", transparency=palette[:, 3].tobytes(), optimize=True)
    return _data_url("png", file)


def _data_url(kind: str, file: io.BytesIO) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
