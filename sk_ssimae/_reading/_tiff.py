"""TIFF files of every kind that cameras and other programs write."""

import math
import os
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._reading._pillow import convert
from sk_ssimae._reading._stored import ORIENTATION, StoredImage, check_pixels, turn

# No TIFF compression has a higher ratio. tifffile fills in pixels that are missing from the file.
_HIGHEST_COMPRESSION = 40_000


def read_tiff(file: BinaryIO, max_pixels: int | None) -> StoredImage:
    """Read a TIFF file of one page.

    Raises
    ------
    ValueError
        If it is of a kind that is refused, declares too many pixels, or cannot be decoded.
    """
    import tifffile

    with tifffile.TiffFile(file) as tiff:
        page = _first_page(tiff)
        check_pixels((page.imagewidth, page.imagelength, page.imagedepth), max_pixels)
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
    pixels = turn(pixels, _orientation(page))
    return StoredImage(pixels, maximum, _has_alpha(page))


def read_tiff_size(file: BinaryIO) -> tuple[int, int, Any]:
    """Read the stored height and width, and the orientation."""
    import tifffile

    with tifffile.TiffFile(file) as tiff:
        page = _first_page(tiff)
        return page.imagelength, page.imagewidth, _orientation(page)


def _first_page(tiff: Any) -> Any:
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


def _orientation(page: Any) -> Any:
    tag = page.tags.get(ORIENTATION)
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
        stored = convert(image)
    except Exception as error:  # Pillow raises errors of many types, as for other files.
        raise needs from error
    if stored.pixels.dtype == np.uint16:
        stored = stored._replace(maximum=2 ** int(page.bitspersample) - 1)
    # Pillow inverts up to 8 bits.
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and stored.pixels.itemsize > 1:
        stored = stored._replace(pixels=_invert(stored.pixels, stored.maximum))
    return stored
