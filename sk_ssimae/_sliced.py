"""An image that may be larger than memory, and its region of interest, read part by part."""

import math
from typing import Any

import numpy as np

from sk_ssimae._areas import Area, outside_of, shape_of, whole_area, with_halo, within
from sk_ssimae._intensity import Image
from sk_ssimae._interest import Inside, box_around, check_mask_values, fill_outside
from sk_ssimae._pixels import Conversion, check_image, say_channels
from sk_ssimae._validation import to_array

# Rows of a mask that are read at once to find its bounding box.
_STRIP = 1024


class SlicedImage:
    """Checked view of an image that may be larger than memory and is read part by part.

    With a region of interest it is the view of the smallest rectangle that contains it, with other
    pixels filled as in a whole image.

    Parameters
    ----------
    image : array-like of shape (h, w) or (h, w, c)
        Object with a shape that reads a part on ``image[first:last, first:last]``.
    min_size : int
        Least height and width in pixels, also of that rectangle.
    n_channels : int
        Number of channels of the training images.
    conversion : Conversion
        How to convert it.
    roi : None or array-like of shape (h, w)
        True, or another number than 0, where a pixel is inspected; read part by part as well. None
        inspects all pixels.
    reach : int
        How many rows and columns around an inspected pixel its residual depends on, at most. Other
        pixels are filled rightly within it.

    Raises
    ------
    TypeError
        If `image` or `roi` has no shape or cannot be sliced.
    ValueError
        If a shape, size or number of channels is not as described, or `roi` marks no pixel.

    Attributes
    ----------
    shape : tuple of two int
        Height and width of the rectangle; those of the image without `roi`.
    image_shape : tuple of two int
        Height and width of the image.
    box : tuple of two slice
        The rectangle in the coordinates of the image.
    """

    def __init__(
        self,
        image: Any,
        *,
        min_size: int,
        n_channels: int,
        conversion: Conversion = Conversion(),  # noqa: B008  # immutable
        roi: Any = None,
        reach: int = 0,
    ) -> None:
        shape = _check_sliceable(image, "image", "image")
        if len(shape) not in (2, 3):
            raise ValueError(f"image must have shape (h, w) or (h, w, c), got {shape} instead.")
        channels = shape[2] if len(shape) == 3 else 1
        if channels in (2, 4) and conversion.alpha_channel != "keep":
            channels -= 1
        if channels != n_channels:
            raise ValueError(
                f"image must have {say_channels(n_channels)} like the training images, got "
                f"{channels} instead (shape {shape}). Pass one image with the same colours."
            )
        if min(shape[:2]) < min_size:
            raise ValueError(
                f"image must be at least patch_size={min_size} pixels high and wide, got shape "
                f"{shape[:2]} instead. Fit with a smaller patch_size."
            )
        self._source = image
        self._conversion = conversion
        self._roi = roi
        self.image_shape = int(shape[0]), int(shape[1])
        self.box = whole_area(self.image_shape) if roi is None else self._bounding_box(min_size)
        self.shape = shape_of(self.box)
        # Within the reach, a pixel outside lies at most √2 times as far from one inside, and its
        # mirror image twice as far.
        self._margin = math.ceil(2 * math.sqrt(2) * reach)

    def read(self, rows: slice, columns: slice) -> Image:
        """Read a part: (h, w, c), uint8 or float32, 0 and 1 at the ends of the range."""
        area = outside_of((rows, columns), self.box)
        inside = self.read_inside(area)
        if inside is None or inside.all():
            return self._read(area)
        around = with_halo(area, self._margin, self.image_shape)
        inside = self.read_inside(around)
        pixels = self._read(around)
        if inside is not None and inside.any():
            pixels = fill_outside(pixels, inside)
        return pixels[within(area, around)]

    def read_inside(self, area: Area) -> Inside | None:
        """Read the mask of inspected pixels of an area of the whole image; None if all are."""
        if self._roi is None:
            return None
        name = _name_of("roi", area)
        mask = to_array(self._roi[area], name)
        check_mask_values(mask, name)
        inside: Inside = mask != 0
        return inside

    def _read(self, area: Area) -> Image:
        return check_image(self._source[area], _name_of("image", area), self._conversion)

    def _bounding_box(self, least: int) -> Area:
        shape = _check_sliceable(self._roi, "roi", "mask")
        if shape != self.image_shape:
            raise ValueError(
                f"roi must have the height and width of the image, {self.image_shape}, got {shape} "
                "instead."
            )
        height, width = self.image_shape
        rows, columns = np.zeros(height, dtype=bool), np.zeros(width, dtype=bool)
        for start in range(0, height, _STRIP):
            strip = slice(start, min(start + _STRIP, height))
            inside = self.read_inside((strip, slice(0, width)))
            rows[strip] = np.any(inside, axis=1)
            columns |= np.any(inside, axis=0)
        if not rows.any():
            raise ValueError(
                "roi must mark at least one pixel as inspected (True), got none. Check the mask."
            )
        return box_around(rows, columns, (least, least))


def _check_sliceable(array: Any, name: str, noun: str) -> tuple[int, ...]:
    """Return the shape of something that can be sliced."""
    shape = getattr(array, "shape", None)
    if not isinstance(shape, tuple) or not hasattr(array, "__getitem__"):
        raise TypeError(
            f"{name} must be one {noun} that can be sliced, such as an array, a numpy.memmap, or "
            f"a zarr or h5py array, got {type(array).__name__} instead. Open a file first."
        )
    return shape


def _name_of(name: str, area: Area) -> str:
    rows, columns = area
    return f"{name}[{rows.start}:{rows.stop}, {columns.start}:{columns.stop}]"
