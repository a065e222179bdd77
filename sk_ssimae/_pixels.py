"""Convert the pixels of one image: channels, intensities and size."""

import io
import reprlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._intensity import Image, IntensityRange, scale
from sk_ssimae._reading._pillow import is_pillow, of_pillow
from sk_ssimae._reading._stored import MAX_IMAGE_PIXELS, StoredImage, store
from sk_ssimae._validation import first_sentence, to_array


class Conversion(NamedTuple):
    """How to convert stored images.

    Attributes
    ----------
    intensity_range : IntensityRange or None
        Stored values that become 0 and 1; None to scale by the type of the pixels.
    alpha_channel : {"auto", "drop", "keep"}
        Handling of the last of 2 or 4 channels.
    max_pixels : int or None
        Most pixels of an image file.
    """

    intensity_range: IntensityRange | None = None
    alpha_channel: str = "auto"
    max_pixels: int | None = MAX_IMAGE_PIXELS


def as_stored(item: Any, name: str, alpha_channel: str = "auto") -> StoredImage:
    """Convert an array, a Pillow image or the content of a file to stored pixels (h, w, c).

    Raises
    ------
    TypeError
        If it is none of them, has pixels of another type, or is a masked array.
    ValueError
        If the rank is not 2 or 3, there are no pixels, or the last of 2 or 4 channels may or may
        not be alpha.
    """
    if isinstance(item, io.IOBase) or hasattr(item, "readinto"):
        raise TypeError(
            f"{name} must be an array or a path, got an open file instead. Pass its path."
        )
    if isinstance(item, Mapping):
        raise TypeError(
            f"{name} must be an array, a path or a Pillow image, got a {type(item).__name__} with "
            f"the keys {list(item)} instead. Pass the images alone, such as "
            "[row['image'] for row in X]; let Hugging Face datasets decode them."
        )
    if is_pillow(item):
        try:
            item = of_pillow(item)
        except ValueError as error:
            raise ValueError(
                f"{name} cannot be read as an image: {first_sentence(error)}"
            ) from error
    stored = item if isinstance(item, StoredImage) else None
    image = to_array(item, name, "(h, w) or (h, w, c)") if stored is None else stored.pixels
    if image.ndim == 0:
        raise ValueError(
            f"{name} must be an array, a path or a Pillow image, got {reprlib.repr(item)} instead. "
            "Leave it out."
        )
    if image.ndim not in (2, 3):
        raise ValueError(
            f"{name} must have shape (h, w) or (h, w, c), got {image.shape} instead. Pass the "
            "images as a list."
        )
    if image.size == 0:
        raise ValueError(f"{name} must have pixels, got shape {image.shape} instead. Leave it out.")
    if image.dtype.kind not in "buif":
        raise TypeError(
            f"{name} must contain booleans, integers or floats, got {image.dtype} instead. Convert "
            "it first, for example with astype(numpy.uint8) if its values are 0 to 255."
        )
    stored = store(image) if stored is None else stored
    image = image.reshape(*image.shape[:2], -1)
    if alpha_channel != "keep" and image.shape[-1] > 1:
        image = _without_alpha(image, stored.has_alpha, alpha_channel, name)
    return stored._replace(pixels=image)


def _without_alpha(image: Image, has_alpha: bool | None, alpha_channel: str, name: str) -> Image:
    may_be_alpha = image.shape[-1] in (2, 4) and has_alpha is not False
    if has_alpha or (may_be_alpha and alpha_channel == "drop"):
        return image[..., :-1]
    if not may_be_alpha:
        return image
    # A channel of one value has nothing to inspect.
    if (image[..., -1] != image[0, 0, -1]).any():
        raise ValueError(
            f"{name} has {image.shape[-1]} channels, and the last may be alpha or not. Set "
            "alpha_channel='keep' to inspect it, or alpha_channel='drop'."
        )
    return image[..., :-1]


def check_image(item: Any, name: str, conversion: Conversion = Conversion()) -> Image:  # noqa: B008
    """Convert one image to (h, w, c), uint8 or float32, 0 and 1 at the ends of the range.

    With uint8, an image needs a quarter of the memory: see :func:`as_unit_float`.

    Raises
    ------
    TypeError, ValueError
        As :func:`as_stored`, or if the intensities cannot be scaled.
    """
    stored = as_stored(item, name, conversion.alpha_channel)
    return scale(stored, conversion.intensity_range, name)


def say_channels(number: int) -> str:
    """Return a number of channels for a message."""
    return f"{number} channel{'s' * (number != 1)}"


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
    resized = resize_image(image, (*shape, *image.shape[2:]), order=1, anti_aliasing=smaller)
    return np.asarray(resized, dtype=np.float32)
