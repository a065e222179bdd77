"""Images that Pillow decodes, and its own image objects."""

from typing import Any, BinaryIO

import numpy as np

from sk_ssimae._reading._stored import ORIENTATION, StoredImage, store, turn


def read_start(file: BinaryIO) -> bytes:
    """Read the first bytes, which tell the format, and go back."""
    start = file.read(8)
    file.seek(0)
    return start


def open_pillow(file: BinaryIO) -> Any:
    """Open a file with Pillow's reader of one format.

    `PIL.Image.open` would try all formats: it runs Ghostscript on PostScript, whatever the name of
    the file. It also warns of large images, which are normal here.
    """
    from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin

    start = read_start(file)
    if start == b"\x89PNG\r\n\x1a\n":
        return PngImagePlugin.PngImageFile(file)
    if start.startswith(b"\xff\xd8\xff"):
        return JpegImagePlugin.JpegImageFile(file)
    if start.startswith(b"BM"):
        return BmpImagePlugin.BmpImageFile(file)
    raise ValueError("It is not a PNG, TIFF, JPEG or BMP file.")


def read_orientation(image: Any, file: BinaryIO) -> Any:
    """Return the orientation tag of an opened file, or None, without decoding if possible."""
    from PIL.Image import Image

    if image.format == "PNG" and not _has_chunks_after_pixels(file):
        # That of PngImageFile would decode all pixels, in search of a tag that follows them.
        return Image.getexif(image).get(ORIENTATION)
    return image.getexif().get(ORIENTATION)


def _has_chunks_after_pixels(file: BinaryIO) -> bool:
    """Return whether a PNG has more than its end after the first pixels."""
    position = file.tell()
    file.seek(8)
    kind, found = b"", False
    while not found and kind != b"IEND" and len(start := file.read(8)) == 8:
        before, kind = kind, start[4:]
        found = before == b"IDAT" and kind not in (b"IDAT", b"IEND")
        file.seek(int.from_bytes(start[:4], "big") + 4, 1)  # Data and checksum.
    file.seek(position)
    return found


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
    return convert(image)


def convert(image: Any) -> StoredImage:
    """Convert the current frame of a Pillow image."""
    orientation = image.getexif().get(ORIENTATION)
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
    return store(turn(pixels, orientation), has_alpha=image.mode in ("LA", "RGBA"))


def read_deep_png(file: BinaryIO, *, grey: bool) -> StoredImage:
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
