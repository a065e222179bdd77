"""Convert a user's images, arrays or files, to checked arrays one at a time."""

import math
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._validation import first_sentence, from_torch, to_array

Image = NDArray[Any]

_ALPHA_CHANNELS = (2, 4)
_CHANGING_WARNINGS = threading.Lock()
_TIFF = (".tif", ".tiff")
# No TIFF compression has a higher ratio. tifffile fills in pixels that are missing from the file.
_HIGHEST_COMPRESSION = 40_000
_COLLECTION = (
    "X must be an array of shape (n, h, w) or (n, h, w, c), or a sequence of arrays or paths"
)


class Images:
    """Checked view of a user's images that reads and converts one at a time.

    Parameters
    ----------
    X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
        Images; a sequence may mix arrays, paths and sizes.
    min_size : int
        Least height and width in pixels.
    n_channels : int or None
        Number of channels of the training images, or None to take it from the first image read.

    Raises
    ------
    TypeError
        If `X` is neither an array nor a sequence.
    ValueError
        If `X` is empty or a lone image.
    """

    def __init__(self, X: Any, *, min_size: int = 1, n_channels: int | None = None) -> None:
        X = from_torch(X, "X")
        self.is_array = isinstance(X, np.ndarray) and X.dtype.kind not in "OU"
        if self.is_array:
            # At most 4 columns is too narrow for an image: the last axis must be the channels.
            if X.ndim == 2 or (X.ndim == 3 and 0 < X.shape[-1] <= 4 and len(X) > 0):
                raise ValueError(
                    f"X must be a collection of images, got one image of shape {X.shape} instead: "
                    "wrap it in a list."
                )
            if X.ndim not in (3, 4):
                raise ValueError(f"{_COLLECTION}, got an array of shape {X.shape} instead.")
        elif isinstance(X, str | Path):
            raise TypeError(
                f"X must be a collection of images, got the path {str(X)!r} instead: wrap it in a "
                "list."
            )
        elif not isinstance(X, Sequence | np.ndarray):
            raise TypeError(f"{_COLLECTION}, got {type(X).__name__} instead.")
        if (isinstance(X, np.ndarray) and X.ndim == 0) or len(X) == 0:
            raise ValueError("X must contain at least one image, got none.")
        self.has_channel_axis = self.is_array and X.ndim == 4
        self._source = X
        self._min_size = min_size
        self._n_channels = n_channels
        self._reference = "the training images"

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[Image]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Image:
        """Read an image: (h, w, c), uint8 or float32 in [0, 1], without alpha channel."""
        item = self._source[index]
        name = f"X[{index}]"
        if isinstance(item, str | Path):
            name = f"{name} ({str(item)!r})"
            item = read_image(item, name)
        image = check_image(item, name)
        self._check_size(image, name)
        return image

    def _check_size(self, image: Image, name: str) -> None:
        height, width, channels = image.shape
        if self._n_channels is None:
            self._n_channels, self._reference = channels, name
        if channels != self._n_channels:
            raise ValueError(
                f"{name} must have {self._n_channels} channel(s) like {self._reference}, got "
                f"{channels} instead. Convert it to the same colours first."
            )
        if min(height, width) < self._min_size:
            raise ValueError(
                f"{name} must be at least patch_size={self._min_size} pixels high and wide, got "
                f"shape {(height, width)} instead. Choose a smaller patch_size, or set image_size."
            )


class SlicedImage:
    """Checked view of an image that may be larger than memory and is read part by part.

    Parameters
    ----------
    image : array-like of shape (h, w) or (h, w, c)
        Object with a shape that reads a part on ``image[first:last, first:last]``.
    min_size : int
        Least height and width in pixels.
    n_channels : int
        Number of channels of the training images, without alpha.

    Raises
    ------
    TypeError
        If `image` has no shape or cannot be sliced.
    ValueError
        If its shape, size or channels are not as described.
    """

    def __init__(self, image: Any, *, min_size: int, n_channels: int) -> None:
        shape = getattr(image, "shape", None)
        if not isinstance(shape, tuple) or not hasattr(image, "__getitem__"):
            raise TypeError(
                "image must be one image that can be sliced, such as an array, a numpy.memmap, or "
                f"a zarr or h5py array, got {type(image).__name__} instead. Open a file first."
            )
        if len(shape) not in (2, 3):
            raise ValueError(f"image must have shape (h, w) or (h, w, c), got {shape} instead.")
        if _n_colours(shape) != n_channels:
            raise ValueError(
                f"image must have {n_channels} channel(s) like the training images, got "
                f"{_n_colours(shape)} instead (shape {shape}). Pass one image with the same "
                "colours."
            )
        if min(shape[:2]) < min_size:
            raise ValueError(
                f"image must be at least patch_size={min_size} pixels high and wide, got shape "
                f"{shape[:2]} instead. Fit with a smaller patch_size."
            )
        self.shape = int(shape[0]), int(shape[1])
        self._source = image

    def read(self, rows: slice, columns: slice) -> Image:
        """Read a part: (h, w, c), uint8 or float32 in [0, 1], without alpha channel."""
        name = f"image[{rows.start}:{rows.stop}, {columns.start}:{columns.stop}]"
        return check_image(self._source[rows, columns], name)


@contextmanager
def ignoring(category: type[Warning]) -> Iterator[None]:
    """Ignore warnings of a category.

    Warning filters are a setting of the whole process: a lock keeps threads from restoring each
    other's filters.
    """
    with _CHANGING_WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore", category)
        yield


def read_image(path: str | Path, name: str) -> Image:
    """Read an image file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file cannot be read as an image.
    """
    path = Path(path)
    try:
        exists = path.is_file()
    except OSError:  # The name is too long, for example.
        exists = False
    if not exists:
        raise FileNotFoundError(f"{name} does not exist or is not a file. Check the path.")
    try:
        return _read_tiff(path) if path.suffix.lower() in _TIFF else _read_other(path)
    except Exception as error:  # The readers raise errors of many types, even SyntaxError.
        raise ValueError(
            f"{name} cannot be read as an image: {first_sentence(error)} "
            "Replace the file, or convert it to a grey or RGB image in PNG or TIFF."
        ) from error


def _read_tiff(path: Path) -> Image:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        if len(tiff.pages) > 1:
            raise ValueError(f"It has {len(tiff.pages)} pages instead of one.")
        page = tiff.pages[0].aspage()
        n_bytes = math.prod(page.shape) * (page.dtype.itemsize if page.dtype else 1)
        if n_bytes > _HIGHEST_COMPRESSION * path.stat().st_size:
            raise ValueError(
                f"It declares {n_bytes} bytes of pixels, far more than its size allows."
            )
        image = np.asarray(page.asarray())
        if image.ndim == 3 and page.axes.startswith("S"):  # Each colour in its own plane.
            image = np.moveaxis(image, 0, -1)
        kind = tifffile.PHOTOMETRIC
        if page.photometric == kind.PALETTE and page.colormap is not None:
            return np.moveaxis(np.asarray(page.colormap)[:, image], 0, -1)
        if page.photometric == kind.MINISWHITE and image.dtype.kind == "u":
            return np.asarray(np.iinfo(image.dtype).max - image)
        if page.photometric == kind.SEPARATED:
            raise ValueError("Its colours are CMYK instead of RGB.")
        return image


def _read_other(path: Path) -> Image:
    from PIL import Image as Pillow
    from skimage.io import imread

    with Pillow.open(path) as image:  # Reads no pixels.
        if image.mode == "CMYK":
            raise ValueError("Its colours are CMYK instead of RGB.")
        # Pillow converts 16-bit grey with alpha to colours.
        is_grey = any(tile[3] == "LA;16B" for tile in image.tile)
    # Opened here, because imageio, given a name, leaves an unreadable file open. It also warns
    # about deprecated plugins while it tries them.
    with path.open("rb") as file, ignoring(DeprecationWarning):
        pixels = np.asarray(imread(file))
    return pixels[..., 0] if is_grey else pixels


def check_image(item: Any, name: str) -> Image:
    """Convert one image to (h, w, c), uint8 or float32 in [0, 1]; drop an alpha channel.

    Integers are scaled by the range of their type, as in `skimage.util.img_as_float32`; uint8 stays
    as it is, because it needs a quarter of the memory: see :func:`as_unit_float`.

    Raises
    ------
    TypeError
        If the pixels are not booleans, unsigned integers or real floats, or the image is a masked
        array.
    ValueError
        If the rank is not 2 or 3, there are no pixels, or floats are outside [0, 1] or not finite.
    """
    image = to_array(item, name, "(h, w) or (h, w, c)")
    if image.ndim not in (2, 3):
        raise ValueError(
            f"{name} must have shape (h, w) or (h, w, c), got {image.shape} instead. Pass the "
            "images as a list."
        )
    if image.size == 0:
        raise ValueError(f"{name} must have pixels, got shape {image.shape} instead. Leave it out.")
    image = image.reshape(*image.shape[:2], -1)[..., : _n_colours(image.shape)]
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.bool_:
        return image.astype(np.float32)
    if image.dtype.kind == "u":
        scaled: NDArray[np.float32] = np.divide(image, np.iinfo(image.dtype).max, dtype=np.float32)
        return scaled
    if image.dtype.kind != "f":
        raise TypeError(
            f"{name} must contain booleans, unsigned integers or floats, got {image.dtype} "
            "instead. Convert it first, for example with astype(numpy.uint8) if its values are 0 "
            "to 255."
        )
    _check_range(image, name)
    return image.astype(np.float32, copy=False)


def _n_colours(shape: tuple[int, ...]) -> int:
    """Count the channels of an image (h, w) or (h, w, c) without alpha."""
    channels = math.prod(shape[2:])
    return channels - 1 if channels in _ALPHA_CHANNELS else channels


def _check_range(image: Image, name: str) -> None:
    low, high = float(image.min()), float(image.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(
            f"{name} must be finite, got NaN or infinity instead. Replace them, for example with "
            "numpy.nan_to_num, or leave the image out."
        )
    if low < 0 or high > 1:
        raise ValueError(
            f"{name} must have floats in [0, 1], got values from {low:g} to {high:g} instead. "
            "Rescale it, for example by dividing by the largest possible value."
        )


def as_unit_float(image: Image) -> NDArray[np.float32]:
    """Scale a checked image to float32 in [0, 1]."""
    if image.dtype == np.uint8:
        return np.divide(image, 255, dtype=np.float32)
    return image


def resize(image: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Resize a float image or map to another height and width, anti-aliased when it shrinks."""
    from skimage.transform import resize as resize_image

    if image.shape[:2] == shape:
        return image
    smaller = shape[0] < image.shape[0] or shape[1] < image.shape[1]
    resized = resize_image(  # type: ignore[no-untyped-call]
        image, (*shape, *image.shape[2:]), order=1, anti_aliasing=smaller
    )
    return np.asarray(resized, dtype=np.float32)
