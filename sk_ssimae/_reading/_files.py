"""Image files, recognised by their content."""

from pathlib import Path
from typing import Any, BinaryIO

from sk_ssimae._reading._pillow import (
    of_pillow,
    open_pillow,
    read_deep_png,
    read_orientation,
    read_start,
)
from sk_ssimae._reading._stored import (
    MAX_IMAGE_PIXELS,
    SIDEWAYS,
    StoredImage,
    check_pixels,
)
from sk_ssimae._reading._tiff import read_tiff, read_tiff_size
from sk_ssimae._validation import first_sentence

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_image(
    path: str | Path, name: str, *, max_pixels: int | None = MAX_IMAGE_PIXELS
) -> StoredImage:
    """Read an image file: PNG, TIFF, JPEG or BMP, recognised by its content.

    Parameters
    ----------
    path : path
        The file.
    name : str
        Its name in messages.
    max_pixels : int or None
        Most pixels that it may have; None for no limit.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file cannot be read as an image.
    """
    return _open(Path(path), name, _read, max_pixels)


def read_shape(
    path: str | Path, name: str, *, max_pixels: int | None = MAX_IMAGE_PIXELS
) -> tuple[int, int]:
    """Read the height and width of an image file, without its pixels where possible.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`read_image`. The cause of the latter is a `TooManyPixelsError` if the file
        declares more than `max_pixels`.
    """
    return _open(Path(path), name, _read_shape, max_pixels)


def _open(path: Path, name: str, read: Any, max_pixels: int | None) -> Any:
    try:
        exists = path.is_file()
    except OSError:  # The name is too long, for example.
        exists = False
    except ValueError:  # It contains a null character.
        exists = False
    if not exists:
        raise FileNotFoundError(f"{name} does not exist or is not a file. Check the path.")
    try:
        with path.open("rb") as file:
            return read(file, max_pixels)
    except PermissionError as error:
        raise PermissionError(
            f"{name} cannot be opened: permission denied. Allow reading it, or leave it out."
        ) from error
    except Exception as error:  # The readers raise errors of many types, even SyntaxError.
        raise ValueError(
            f"{name} cannot be read as an image: {first_sentence(error)} "
            "Replace the file, or convert it to a grey or RGB image in PNG or TIFF."
        ) from error


def _read(file: BinaryIO, max_pixels: int | None) -> StoredImage:
    if read_start(file)[:4] in _TIFF_STARTS:
        return read_tiff(file, max_pixels)
    image = open_pillow(file)
    check_pixels(image.size, max_pixels)
    if any(tile[3] in ("RGB;16B", "RGBA;16B", "LA;16B") for tile in image.tile):
        return read_deep_png(file, grey=image.tile[0][3] == "LA;16B")
    return of_pillow(image)


def _read_shape(file: BinaryIO, max_pixels: int | None) -> tuple[int, int]:
    if read_start(file)[:4] in _TIFF_STARTS:
        height, width, orientation = read_tiff_size(file)
        check_pixels((width, height), max_pixels)
    else:
        image = open_pillow(file)
        width, height = image.size
        check_pixels((width, height), max_pixels)  # Finding the orientation may decode them.
        orientation = read_orientation(image, file)
    return (width, height) if orientation in SIDEWAYS else (height, width)
