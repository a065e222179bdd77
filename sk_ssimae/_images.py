"""Check a user's images, arrays or files, and convert them one at a time."""

import os
import reprlib
import warnings
from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._intensity import Image, scale, warn_of_misfit
from sk_ssimae._interest import Inside, RegionsOfInterest, fill_outside
from sk_ssimae._pixels import Conversion, as_stored, say_channels
from sk_ssimae._reading._files import read_image, read_shape
from sk_ssimae._reading._pillow import is_pillow
from sk_ssimae._reading._stored import StoredImage
from sk_ssimae._validation import from_torch
from sk_ssimae.exceptions import SmallImageWarning

_MANY = "X must be a collection of images"
_COLLECTION = (
    "X must be an array of shape (n, h, w) or (n, h, w, c), or a sequence of arrays or paths"
)
_PATHS = (str, bytes, os.PathLike)


class Images:
    """Checked view of a user's images that reads and converts one at a time.

    Parameters
    ----------
    X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays, paths or Pillow images
        Images; a sequence may mix kinds and sizes. Columns of pandas, polars and Hugging Face
        datasets are sequences.
    min_size : int
        Least height and width in pixels.
    n_channels : int or None
        Number of channels of the training images, or None to take it from the first image read.
    conversion : Conversion
        How to convert them.
    roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
        True where a pixel is inspected. Others are replaced by pixels inside.

    Raises
    ------
    TypeError
        If `X` or `roi` is neither an array nor a sequence, or `X` is a table.
    ValueError
        If `X` is empty or a lone image, or the number of masks is not that of the images.
    """

    def __init__(
        self,
        X: Any,
        *,
        min_size: int = 1,
        n_channels: int | None = None,
        conversion: Conversion = Conversion(),  # noqa: B008  # immutable
        roi: Any = None,
    ) -> None:
        X = _as_sequence(from_torch(X, "X"))
        self.is_array = isinstance(X, np.ndarray) and X.dtype.kind not in "OUS"
        if self.is_array:
            _check_array_of_images(X)
        if (isinstance(X, np.ndarray) and X.ndim == 0) or len(X) == 0:
            raise ValueError("X must contain at least one image, got none.")
        self.has_channel_axis = self.is_array and X.ndim == 4
        self._source = X
        self._min_size = min_size
        self._n_channels = n_channels
        self._reference = "the training images"
        self._conversion = conversion
        self._predicts = n_channels is not None
        self._has_warned = False
        self._rois = RegionsOfInterest(roi, len(X))

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[Image]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Image:
        """Read an image: (h, w, c), uint8 or float32, 0 and 1 at the ends of the range."""
        return self.read(index)[0]

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> Any:
        """Return some of the images as they were given: part of an array, or else a list."""
        if self.is_array:
            return self._source[np.asarray(indices, dtype=np.intp)]
        return [self._source[index] for index in indices]

    @property
    def inspects_all(self) -> bool:
        """Whether there is no region of interest."""
        return self._rois.is_whole

    def take_roi(self, indices: Sequence[int] | NDArray[np.intp]) -> Any:
        """Return the `roi` of some of the images."""
        return self._rois.take(indices)

    def holds(self, index: int, pixels: NDArray[Any]) -> bool:
        """Tell whether an image that was read is part of the user's own arrays, not a copy."""
        if not self.is_array and not isinstance(self._source, list | tuple):
            return False
        item = self._source[index]
        return isinstance(item, np.ndarray) and np.may_share_memory(item, pixels)

    def read(self, index: int) -> tuple[Image, Inside | None]:
        """Read an image, and the mask (h, w) of its inspected pixels, None for all."""
        stored, inside, name = self.read_inspected(index)
        image = scale(stored, self._conversion.intensity_range, name)
        if self._predicts and not self._has_warned:
            self._has_warned = warn_of_misfit(image, stored, name)
        return image, inside

    def iter_inspected(self) -> Iterator[tuple[Image, Inside | None]]:
        """Read all images one at a time, each with the mask of its inspected pixels."""
        return (self.read(index) for index in range(len(self)))

    def read_inspected(self, index: int) -> tuple[StoredImage, Inside | None, str]:
        """Read an image as it is stored, filled outside, its inspected pixels and its name."""
        stored, name = self.read_stored(index)
        inside = self.read_inside(index, stored.pixels.shape)
        return stored._replace(pixels=fill_outside(stored.pixels, inside)), inside, name

    def read_inside(self, index: int, shape: tuple[int, ...]) -> Inside | None:
        """Read the mask (h, w) of the inspected pixels of an image of that shape, None for all."""
        return self._rois.read(index, shape)

    def read_shape(self, index: int) -> tuple[int, int]:
        """Read the height and width of an image; of a file, from its header."""
        item = self._source[index]
        if isinstance(item, _PATHS):
            path = os.fsdecode(item)
            return read_shape(path, f"X[{index}] ({path!r})", max_pixels=None)
        height, width = self.read_stored(index)[0].pixels.shape[:2]
        return height, width

    def read_stored(self, index: int) -> tuple[StoredImage, str]:
        """Read an image (h, w, c) as it is stored, and its name in messages."""
        item = self._source[index]
        name = f"X[{index}]"
        if isinstance(item, _PATHS):
            path = os.fsdecode(item)
            name = f"{name} ({path!r})"
            item = read_image(path, name, max_pixels=self._conversion.max_pixels)
        stored = as_stored(item, name, self._conversion.alpha_channel)
        self._check_size(stored.pixels, name)
        return stored, name

    def _check_size(self, image: Image, name: str) -> None:
        height, width, channels = image.shape
        if self._n_channels is None:
            self._n_channels, self._reference = channels, name
        if channels != self._n_channels:
            raise ValueError(
                f"{name} must have {say_channels(self._n_channels)} like {self._reference}, got "
                f"{channels} instead. Convert it to the same colours first."
            )
        if min(height, width) >= self._min_size:
            return
        if not self._predicts:
            raise ValueError(
                f"{name} must be at least patch_size={self._min_size} pixels high and wide, got "
                f"shape {(height, width)} instead. Choose a smaller patch_size (--patch-size), or "
                "set image_size (--image-size)."
            )
        warnings.warn(
            f"{name} has {height} × {width} pixels, fewer than patch_size={self._min_size}: it is "
            "extended by its mirror image, which the network has not seen in training. Leave it "
            "out, or fit with a smaller patch_size or with image_size.",
            SmallImageWarning,
            stacklevel=3,
        )


def _as_sequence(X: Any) -> Any:
    """Return an array or a sequence.

    Raises
    ------
    TypeError
        If `X` is neither, such as a table.
    """
    if isinstance(X, _PATHS):
        path = os.fsdecode(X)
        remedy = (
            "list its images with sk_ssimae.datasets.load_image_folder."
            if os.path.isdir(path)  # noqa: PTH112  # a null character makes Path raise
            else "wrap it in a list."
        )
        raise TypeError(f"{_MANY}, got the path {path!r} instead: {remedy}")
    if is_pillow(X):
        raise TypeError(f"{_MANY}, got one image instead: wrap it in a list.")
    if isinstance(X, Sequence | np.ndarray):
        return X
    _refuse_table(X)
    if hasattr(X, "to_list"):  # A column of pandas or polars. Iteration keeps types of pixels.
        return list(X)
    raise TypeError(f"{_COLLECTION}, got {type(X).__name__} instead.")


def _refuse_table(X: Any) -> None:
    """Raise an error if `X` is a table of pandas, polars or Hugging Face datasets, or a dict."""
    if isinstance(X, Mapping):
        names = list(X)
    elif hasattr(X, "column_names"):
        names = list(X.column_names or [])
    elif hasattr(type(X), "columns"):
        names = list(X.columns)
    else:
        return
    features = getattr(X, "features", None) or {}
    of_images = [name for name in names if type(features.get(name)).__name__ == "Image"]
    chosen = (of_images or names or ["image"])[0]
    remedy = f"X[{chosen!r}]" if isinstance(X, Sized) else f"[row[{chosen!r}] for row in X]"
    raise TypeError(
        f"X must be the images alone, got {type(X).__name__} with the columns "
        f"{reprlib.repr(names)} instead. Pass the column of images, for example {remedy}."
    )


def _check_array_of_images(X: NDArray[Any]) -> None:
    # At most 4 columns is too narrow for an image: the last axis must be the channels.
    if X.ndim == 2 or (X.ndim == 3 and 0 < X.shape[-1] <= 4 and len(X) > 0):
        raise ValueError(
            f"X must be a collection of images, got one image of shape {X.shape} instead: "
            "wrap it in a list."
        )
    if X.ndim not in (3, 4):
        raise ValueError(f"{_COLLECTION}, got an array of shape {X.shape} instead.")
