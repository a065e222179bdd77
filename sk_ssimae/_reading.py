"""Read images as they are stored, from files and Pillow images, the right way up."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._validation import first_sentence

#: Most pixels of an image file that are read without being asked for: 268 million.
MAX_IMAGE_PIXELS = 2**28

# No TIFF compression has a higher ratio. tifffile fills in pixels that are missing from the file.
_HIGHEST_COMPRESSION = 40_000
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ORIENTATION = 274  # Tag of TIFF and EXIF.
# Array operations that turn the stored pixels the right way up, by the value of the tag.
_TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: np.swapaxes(pixels, 0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.swapaxes(np.rot90(pixels, 2), 0, 1),
    8: lambda pixels: np.rot90(pixels, 1),
}
_SIDEWAYS = (5, 6, 7, 8)


class StoredImage(NamedTuple):
    """Pixels as they are stored, the right way up.

    Attributes
    ----------
    pixels : array of shape (h, w) or (h, w, c)
        Pixels of any type.
    maximum : int or None
        Largest value that the number of bits allows: 4095 for 12 bits in uint16. None for signed
        integers and floats.
    has_alpha : bool or None
        Whether the last channel is alpha; None if unknown.
    """

    pixels: NDArray[Any]
    maximum: int | None
    has_alpha: bool | None


def store(pixels: NDArray[Any], *, has_alpha: bool | None = None) -> StoredImage:
    """Describe an array: all bits of its type are used."""
    kind = pixels.dtype.kind
    maximum = 1 if kind == "b" else int(np.iinfo(pixels.dtype).max) if kind == "u" else None
    return StoredImage(pixels, maximum, has_alpha)


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
        As :func:`read_image`.
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
    if _start(file)[:4] in _TIFF_STARTS:
        return _read_tiff(file, max_pixels)
    image = _open_pillow(file)
    _check_pixels(image.size, max_pixels)
    if any(tile[3] in ("RGB;16B", "RGBA;16B", "LA;16B") for tile in image.tile):
        return _read_deep_png(file, grey=image.tile[0][3] == "LA;16B")
    return of_pillow(image)


def _read_shape(file: BinaryIO, max_pixels: int | None) -> tuple[int, int]:
    if _start(file)[:4] in _TIFF_STARTS:
        import tifffile

        with tifffile.TiffFile(file) as tiff:
            page = _page(tiff)
            height, width = page.imagelength, page.imagewidth
            turned = _tiff_orientation(page) in _SIDEWAYS
    else:
        image = _open_pillow(file)
        width, height = image.size
        turned = image.getexif().get(_ORIENTATION) in _SIDEWAYS
    _check_pixels((width, height), max_pixels)
    return (width, height) if turned else (height, width)


def _start(file: BinaryIO) -> bytes:
    start = file.read(8)
    file.seek(0)
    return start


def _check_pixels(size: tuple[int, ...], max_pixels: int | None) -> None:
    if max_pixels is not None and math.prod(size) > max_pixels:
        raise ValueError(
            f"It has {math.prod(size)} pixels, more than max_image_pixels={max_pixels}. Raise "
            "max_image_pixels if you trust it."
        )


# ---- Pillow


def _open_pillow(file: BinaryIO) -> Any:
    """Open a file with Pillow's reader of one format.

    `PIL.Image.open` would try all formats: it runs Ghostscript on PostScript, whatever the name of
    the file. It also warns of large images, which are normal here.
    """
    from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin

    start = _start(file)
    if start == b"\x89PNG\r\n\x1a\n":
        return PngImagePlugin.PngImageFile(file)
    if start.startswith(b"\xff\xd8\xff"):
        return JpegImagePlugin.JpegImageFile(file)
    if start.startswith(b"BM"):
        return BmpImagePlugin.BmpImageFile(file)
    raise ValueError("It is not a PNG, TIFF, JPEG or BMP file.")


def is_pillow(item: Any) -> bool:
    """Return whether an object is a Pillow image, without importing Pillow."""
    return any(cls.__module__ == "PIL.Image" for cls in type(item).__mro__)


def of_pillow(image: Any) -> StoredImage:
    """Convert a Pillow image: palettes become colours, and orientation is applied.

    Raises
    ------
    ValueError
        If it is animated, or its colours are neither grey nor RGB.
    """
    n_frames = getattr(image, "n_frames", 1)
    if n_frames > 1 and image.format != "MPO":  # Its first image is the photograph.
        raise ValueError(f"It is animated: it has {n_frames} pictures instead of one.")
    return _of_pillow(image)


def _of_pillow(image: Any) -> StoredImage:
    orientation = image.getexif().get(_ORIENTATION)
    match image.mode:
        case "P" | "PA":
            transparent = image.mode == "PA" or "transparency" in image.info
            image = image.convert("RGBA" if transparent else "RGB")
        case "La" | "RGBa":  # Multiplied by alpha.
            image = image.convert(image.mode.upper())
        case "RGBX":
            image = image.convert("RGB")
        case "1" | "L" | "LA" | "RGB" | "RGBA" | "F" | "I":
            pass
        case mode if not mode.startswith("I;16"):
            raise ValueError(f"Its colours are {mode} instead of grey or RGB.")
    pixels = np.asarray(image)
    if not pixels.dtype.isnative:
        pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    return store(_turn(pixels, orientation), has_alpha=image.mode in ("LA", "RGBA"))


def _read_deep_png(file: BinaryIO, *, grey: bool) -> StoredImage:
    """Read a PNG with colours or alpha of 16 bits, of which Pillow would keep 8."""
    try:
        import imagecodecs
    except ImportError:
        raise ValueError(
            "It has colours or alpha of 16 bits, which need the package imagecodecs "
            "(extra 'images')."
        ) from None
    file.seek(0)
    pixels = np.asarray(imagecodecs.png_decode(file.read()))
    return store(pixels, has_alpha=grey or pixels.shape[-1] == 4)


# ---- TIFF


def _read_tiff(file: BinaryIO, max_pixels: int | None) -> StoredImage:
    import tifffile

    with tifffile.TiffFile(file) as tiff:
        page = _page(tiff)
        _check_pixels((page.imagewidth, page.imagelength, page.imagedepth), max_pixels)
        n_bytes = math.prod(page.shape) * (page.dtype.itemsize if page.dtype else 1)
        if n_bytes > _HIGHEST_COMPRESSION * os.fstat(file.fileno()).st_size:
            raise ValueError(
                f"It declares {n_bytes} bytes of pixels, far more than its size allows."
            )
        _check_photometric(page)
        if page.axes not in ("YX", "YXS", "SYX"):
            raise ValueError(f"Its axes are {page.axes} instead of height, width and colours.")
        try:
            pixels = np.asarray(page.asarray())
        except (ValueError, NotImplementedError) as error:
            if "imagecodecs" not in str(error):
                raise
            return _read_tiff_with_pillow(page, file)
    if page.axes == "SYX":  # Each colour in its own plane.
        pixels = np.moveaxis(pixels, 0, -1)
    maximum = 2 ** int(page.bitspersample) - 1 if pixels.dtype.kind in "ub" else None
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        pixels = _invert(pixels, maximum)
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        pixels, maximum = _colours(page, pixels)
    pixels = _turn(pixels, _tiff_orientation(page))
    return StoredImage(pixels, maximum, _has_alpha(page))


def _page(tiff: Any) -> Any:
    """Return the first page; thumbnails and masks of it may follow."""
    if any(not (page.is_reduced or page.is_mask) for page in tiff.pages[1:]):
        raise ValueError(f"It has {len(tiff.pages)} pages instead of one.")
    return tiff.pages[0].aspage()


def _check_photometric(page: Any) -> None:
    import tifffile

    kind, compression = tifffile.PHOTOMETRIC, tifffile.COMPRESSION
    accepted = [kind.MINISWHITE, kind.MINISBLACK, kind.RGB, kind.PALETTE, kind.MASK]
    if page.compression == compression.JPEG:
        accepted.append(kind.YCBCR)  # Decoders of JPEG return RGB.
    if page.photometric not in accepted:
        names = {kind.SEPARATED: "CMYK", kind.CFA: "the mosaic of a colour filter"}
        name = getattr(page.photometric, "name", page.photometric)
        raise ValueError(
            f"Its colours are {names.get(page.photometric, name)} instead of grey or RGB."
        )


def _has_alpha(page: Any) -> bool | None:
    # 1 and 2 are alpha. 0 is unspecified: some programs write alpha so.
    return True if page.extrasamples and page.extrasamples[-1] in (1, 2) else None


def _colours(page: Any, indices: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Look up the colours of a palette, which has 16 bits; some programs write 8."""
    colours = np.asarray(page.colormap)
    if colours.max() < 256:
        return np.moveaxis(colours[:, indices], 0, -1).astype(np.uint8), 255
    return np.moveaxis(colours[:, indices], 0, -1), 2**16 - 1


def _invert(pixels: NDArray[Any], maximum: int | None) -> NDArray[Any]:
    """Turn pixels where 0 is white into pixels where 0 is black."""
    if pixels.dtype == np.bool_ or pixels.dtype.kind == "i":
        return np.invert(pixels)
    if maximum is not None:
        return np.asarray(maximum - pixels, dtype=pixels.dtype)
    if not (pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError("Its floats are outside [0, 1], and 0 is white: black is unknown.")
    return np.asarray(1 - pixels, dtype=pixels.dtype)


def _turn(pixels: NDArray[Any], orientation: Any) -> NDArray[Any]:
    """Turn stored pixels the right way up."""
    return _TURNS[orientation](pixels) if orientation in _TURNS else pixels


def _tiff_orientation(page: Any) -> Any:
    tag = page.tags.get(_ORIENTATION)
    return None if tag is None else tag.value


def _read_tiff_with_pillow(page: Any, file: BinaryIO) -> StoredImage:
    """Read a TIFF whose compression tifffile leaves to the package imagecodecs."""
    import tifffile
    from PIL import TiffImagePlugin

    needs = ValueError(
        f"Its compression {getattr(page.compression, 'name', page.compression)} of "
        f"{page.bitspersample} bits needs the package imagecodecs (extra 'images')."
    )
    if page.samplesperpixel > 1 and page.bitspersample > 8:
        raise needs  # Pillow would keep 8 bits.
    file.seek(0)
    try:
        image = TiffImagePlugin.TiffImageFile(file)
        image.load()  # It applies the orientation.
        stored = _of_pillow(image)
    except Exception as error:
        raise needs from error
    if stored.pixels.dtype == np.uint16:
        stored = stored._replace(maximum=2 ** int(page.bitspersample) - 1)
    # Pillow inverts up to 8 bits.
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and stored.pixels.itemsize > 1:
        stored = stored._replace(pixels=_invert(stored.pixels, stored.maximum))
    return stored
