"""One small file of every kind that users met, and the image that each must give."""

import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile

from sk_ssimae._images import Images
from sk_ssimae._pixels import as_unit_float
from sk_ssimae._reading._files import read_image, read_shape

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 9), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 2**16, (6, 9), dtype=np.uint16)
DEEP_COLOUR = RNG.integers(0, 2**16, (6, 9, 3), dtype=np.uint16)
BITS = GREY > 127
UNIT = RNG.random((6, 9)).astype(np.float32)
SMOOTH = np.tile(np.linspace(20, 230, 64).astype(np.uint8), (64, 1))

#: Pixels as displayed in the eight orientations of TIFF and EXIF, given those stored.
ORIENTATIONS: dict[int, Callable[[Any], Any]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.swapaxes(a[::-1], 0, 1),
    7: lambda a: np.swapaxes(a[::-1, ::-1], 0, 1),
    8: lambda a: np.swapaxes(a[:, ::-1], 0, 1),
}


def pillow(pixels: Any, mode: str | None = None, **options: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        image = PIL.Image.fromarray(pixels)
        (image if mode is None else image.convert(mode)).save(path, **options)

    return write


def tiff(*pages: Any, **options: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with tifffile.TiffWriter(
            path, bigtiff=options.pop("bigtiff", False), byteorder=options.pop("byteorder", "<")
        ) as file:
            for page in pages:
                pixels, own = page if isinstance(page, tuple) else (page, {})
                file.write(pixels, metadata=None, **(options | own))

    return write


def raw_tiff(data: bytes, shape: tuple[int, int], bits: int, **tags: int) -> Callable[[Path], None]:
    """Write a TIFF of one strip with tags that no library writes."""
    values = {
        256: shape[1],
        257: shape[0],
        258: bits,
        259: tags.get("compression", 1),
        262: tags.get("photometric", 1),
        273: 8,
        274: tags.get("orientation", 1),
        277: 1,
        278: shape[0],
        279: len(data),
        339: tags.get("sample_format", 1),
    }
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items())
    start = struct.pack("<2sHI", b"II", 42, 8 + len(data) + len(data) % 2)
    directory = struct.pack("<H", len(values)) + entries + bytes(4)
    return lambda path: path.write_bytes(start + data + bytes(len(data) % 2) + directory)  # type: ignore[return-value]


def png(pixels: Any, colour_type: int, bits: int, extra: bytes = b"") -> Callable[[Path], None]:
    """Write kinds of PNG that Pillow cannot write; pixels are rows of packed samples."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(f">u{max(1, bits // 8)}").tobytes() for row in pixels)
    chunks = chunk(b"IHDR", header), extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))  # type: ignore[return-value]


def exif(orientation: int) -> PIL.Image.Exif:
    tags = PIL.Image.Exif()
    tags[274] = orientation
    return tags


def turned_after_its_pixels(path: Path) -> None:
    """Move the chunk of the orientation behind the pixels."""
    pillow(COLOUR, exif=exif(6))(path)
    content = path.read_bytes()
    start, end = content.index(b"eXIf") - 4, content.index(b"IDAT") - 4
    path.write_bytes(content[:start] + content[end:-12] + content[start:end] + content[-12:])


def pack_12_bits(pixels: Any) -> bytes:
    """Pack rows of 12-bit samples, an even number per row."""
    first, second = pixels[:, ::2].astype(int), pixels[:, 1::2].astype(int)
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=-1)
    return bytes(packed.astype(np.uint8).tobytes())


TWELVE = RNG.integers(0, 4096, (6, 10), dtype=np.uint16)
WIDE = DEEP.astype(np.uint32) << 16
SIGNED = (DEEP.astype(np.int32) - 2**15).astype(np.int16)
PALETTE = RNG.integers(0, 2**16, (3, 256), dtype=np.uint16)
ALPHA = np.dstack([COLOUR, GREY])
THUMBNAIL = (GREY[::2, ::2], {"subfiletype": 1})
GREY_PALETTE = PIL.Image.fromarray(GREY // 64 * 80).convert("P")

#: Suffix, how the file is made, and its pixels: integers by the range of their
#: type, or as floats in [0, 1].
RIGHT: dict[str, tuple[str, Callable[[Path], None], Any]] = {
    "png of 1 bit": (".png", pillow(BITS), BITS),
    "png of 8 bits": (".png", pillow(GREY), GREY),
    "png of 16 bits": (".png", pillow(DEEP), DEEP),
    "png of colours": (".png", pillow(COLOUR), COLOUR),
    "png with alpha": (".png", pillow(ALPHA), COLOUR),
    "png of grey with alpha": (".png", pillow(GREY, "LA"), GREY),
    "png of a palette": (
        ".png",
        lambda path: PIL.Image.fromarray(COLOUR // 128 * 200).quantize(8).save(path),
        COLOUR // 128 * 200,
    ),
    "png that is turned": (".png", pillow(COLOUR, exif=exif(6)), ORIENTATIONS[6](COLOUR)),
    "png that is turned at its end": (".png", turned_after_its_pixels, ORIENTATIONS[6](COLOUR)),
    "bmp of grey": (".bmp", pillow(GREY), GREY),
    "bmp of colours": (".bmp", pillow(COLOUR), COLOUR),
    "bmp of 1 bit": (".bmp", pillow(BITS), BITS),
    "tiff of 1 bit": (".tif", pillow(BITS), BITS),
    "tiff of 1 bit, 0 is white": (
        ".tif",
        raw_tiff(np.packbits(~BITS, axis=1).tobytes(), BITS.shape, 1, photometric=0),
        BITS,
    ),
    "tiff of 8 bits": (".tif", tiff(GREY), GREY),
    "tiff of 12 bits": (".tif", raw_tiff(pack_12_bits(TWELVE), TWELVE.shape, 12), TWELVE / 4095),
    "tiff of 16 bits": (".tif", tiff(DEEP), DEEP),
    "tiff of 16 bits, big-endian": (".tif", tiff(DEEP, byteorder=">"), DEEP),
    "tiff of 32 bits": (".tif", tiff(WIDE), WIDE),
    "tiff of floats": (".tif", tiff(UNIT), UNIT),
    "tiff of half floats": (".tif", tiff(UNIT.astype(np.float16)), UNIT.astype(np.float16)),
    "tiff of doubles": (".tif", tiff(UNIT.astype(np.float64)), UNIT),
    "tiff of 8 bits, 0 is white": (".tif", tiff(255 - GREY, photometric="miniswhite"), GREY),
    "tiff of 16 bits, 0 is white": (".tif", tiff(~DEEP, photometric="miniswhite"), DEEP),
    "tiff of 12 bits, 0 is white": (
        ".tif",
        raw_tiff(pack_12_bits(4095 - TWELVE), TWELVE.shape, 12, photometric=0),
        TWELVE / 4095,
    ),
    "tiff of floats, 0 is white": (".tif", tiff(1 - UNIT, photometric="miniswhite"), UNIT),
    "tiff of colours": (".tif", tiff(COLOUR, photometric="rgb"), COLOUR),
    "tiff of deep colours": (".tif", tiff(DEEP_COLOUR, photometric="rgb"), DEEP_COLOUR),
    "tiff of planes": (
        ".tif",
        tiff(np.moveaxis(COLOUR, -1, 0), photometric="rgb", planarconfig="separate"),
        COLOUR,
    ),
    "tiff of a palette": (
        ".tif",
        tiff(GREY, photometric="palette", colormap=PALETTE),
        np.moveaxis(PALETTE[:, GREY], 0, -1),
    ),
    "tiff of a palette of 8 bits": (
        ".tif",
        tiff(GREY, photometric="palette", colormap=PALETTE >> 8),
        np.moveaxis(PALETTE[:, GREY] >> 8, 0, -1).astype(np.uint8),
    ),
    "tiff with alpha": (
        ".tif",
        tiff(ALPHA, photometric="rgb", extrasamples=["unassalpha"]),
        COLOUR,
    ),
    "tiff with thumbnail": (".tif", tiff(GREY, THUMBNAIL), GREY),
    "tiff of tiles": (".tif", tiff(np.tile(GREY, (9, 9)), tile=(16, 16)), np.tile(GREY, (9, 9))),
    "BigTIFF": (".tif", tiff(GREY, bigtiff=True), GREY),
    "tiff named png": (".png", tiff(GREY), GREY),
    "png named tiff": (".tif", lambda path: PIL.Image.fromarray(GREY).save(path, "PNG"), GREY),
    **{
        f"tiff, {name}": (".tif", tiff(GREY, compression=name), GREY)
        for name in ("zlib", "packbits", "lzma")
        if name != "packbits"
    },
    **{
        f"tiff, {name}": (".tif", pillow(GREY, compression=name), GREY)
        for name in ("tiff_lzw", "packbits", "tiff_adobe_deflate")
    },
    "tiff of 16 bits, lzw": (".tif", pillow(DEEP, compression="tiff_lzw"), DEEP),
    "tiff of colours, lzw": (".tif", pillow(COLOUR, compression="tiff_lzw"), COLOUR),
    "tiff of 1 bit, fax": (".tif", pillow(BITS, compression="group4"), BITS),
    "tiff that is turned, lzw": (
        ".tif",
        pillow(COLOUR, compression="tiff_lzw", tiffinfo={274: 6}),
        ORIENTATIONS[6](COLOUR),
    ),
    **{
        f"tiff in orientation {tag}": (
            ".tif",
            raw_tiff(GREY.tobytes(), GREY.shape, 8, orientation=tag),
            turn(GREY),
        )
        for tag, turn in ORIENTATIONS.items()
    },
}

#: Suffix, how the file is made, and text of the message.
WRONG: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "tiff of pages": (".tif", tiff(GREY, GREY), "It has 2 pages instead of one"),
    "tiff of a volume": (
        ".tif",
        tiff(np.zeros((16, 16, 16), np.uint8), tile=(16, 16, 16), volumetric=True),
        "Its axes are ZYX instead of height, width and colours",
    ),
    "CMYK tiff": (".tif", pillow(COLOUR, "CMYK"), "Its colours are CMYK instead of grey or RGB"),
    "CMYK jpeg": (".jpg", pillow(COLOUR, "CMYK"), "Its colours are CMYK instead of grey or RGB"),
    "LAB tiff": (".tif", pillow(COLOUR, "LAB"), "Its colours are CIELAB instead of grey or RGB"),
    "YCbCr tiff": (".tif", pillow(COLOUR, "YCbCr"), "Its colours are YCBCR instead of grey"),
    "floats, 0 is white": (
        ".tif",
        tiff(100 * UNIT, photometric="miniswhite"),
        "Its floats are outside .0, 1., and 0 is white: black is unknown",
    ),
    "animated png": (
        ".png",
        pillow(GREY, save_all=True, append_images=[PIL.Image.fromarray(GREY[::-1])]),
        "It is animated: it has 2 pictures instead of one",
    ),
    "PostScript named png": (
        ".png",
        lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 6\n"),  # type: ignore[arg-type,return-value]
        "It is not a PNG, TIFF, JPEG or BMP file",
    ),
    "gif named png": (".png", pillow(GREY, format="GIF"), "It is not a PNG, TIFF, JPEG or BMP"),
    "signed tiff": (".tif", tiff(SIGNED), "got int16 instead. Set intensity_range"),
    "floats in other units": (".tif", tiff(100 * UNIT), "must have floats in .0, 1., got values"),
    "floats that are not finite": (
        ".tif",
        tiff(np.where(BITS, np.nan, UNIT).astype(np.float32)),
        "must be finite, got NaN",
    ),
    "complex tiff": (".tif", tiff(UNIT.astype(np.complex64)), "got complex64 instead"),
    "cut png": (".png", lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), "cannot be read"),  # type: ignore[arg-type,return-value]
    "empty file": (".png", lambda path: path.write_bytes(b""), "It is not a PNG, TIFF"),  # type: ignore[arg-type,return-value]
}


def read(path: Path) -> Any:
    return Images([path])[0]


@pytest.mark.parametrize("kind", RIGHT)
def test_pixels_of(kind: str, tmp_path: Path):
    suffix, write, expected = RIGHT[kind]
    path = tmp_path / f"image{suffix}"
    write(path)
    image = read(path)
    expected = expected.reshape(*expected.shape[:2], -1)
    if expected.dtype.kind in "bu":
        largest = 1 if expected.dtype == np.bool_ else np.iinfo(expected.dtype).max
        expected = expected / largest
    np.testing.assert_allclose(as_unit_float(image), expected, atol=1e-6)
    assert read_shape(path, "image") == image.shape[:2]


@pytest.mark.parametrize("kind", ["png", "png that is turned"])
def test_shapes_are_read_without_pixels(kind: str, tmp_path: Path, monkeypatch: Any):
    path = tmp_path / "image.png"
    pillow(COLOUR, **({"exif": exif(6)} if "turned" in kind else {}))(path)
    monkeypatch.setattr(PIL.ImageFile.ImageFile, "load", None)
    turned = ORIENTATIONS[6](COLOUR) if "turned" in kind else COLOUR
    assert read_shape(path, "image") == turned.shape[:2]


@pytest.mark.parametrize("kind", WRONG)
def test_refusal_of(kind: str, tmp_path: Path):
    suffix, write, message = WRONG[kind]
    path = tmp_path / f"image{suffix}"
    write(path)
    with pytest.raises((TypeError, ValueError), match=message):
        read(path)


@pytest.mark.parametrize("tag", ORIENTATIONS)
def test_jpeg_in_orientation(tag: int, tmp_path: Path):
    path = tmp_path / "photograph.jpg"
    stored = SMOOTH[:32]
    pillow(stored, exif=exif(tag), quality=95)(path)
    image = read(path)[..., 0].astype(int)
    assert np.abs(image - ORIENTATIONS[tag](stored)).max() < 10
    assert read_shape(path, "image") == image.shape


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "jpeg", "group4"])
def test_without_imagecodecs(compression: str, tmp_path: Path, monkeypatch: Any):
    """Pillow decodes files for which tifffile needs imagecodecs."""

    def decode(self: Any, *args: Any, **kwargs: Any) -> None:
        raise ValueError("<COMPRESSION> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", decode)
    path = tmp_path / "image.tif"
    pixels = BITS if compression == "group4" else SMOOTH
    pillow(pixels, compression=compression)(path)
    image = as_unit_float(read(path))[..., 0]
    np.testing.assert_allclose(image, pixels / (1 if pixels is BITS else 255), atol=0.03)


def test_codec_that_is_missing(tmp_path: Path, monkeypatch: Any):
    def decode(self: Any, *args: Any, **kwargs: Any) -> None:
        raise ValueError("<COMPRESSION.LERC: 34887> requires the 'imagecodecs' package")

    path = tmp_path / "image.tif"
    tiff(DEEP_COLOUR, photometric="rgb", compression="zlib")(path)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", decode)
    with pytest.raises(
        ValueError, match="Its compression ADOBE_DEFLATE of 16 bits needs the package"
    ):
        read(path)


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_png_of_deep_colours(colour_type: int, channels: int, tmp_path: Path, monkeypatch: Any):
    pixels = RNG.integers(0, 2**16, (6, 9, channels), dtype=np.uint16)
    path = tmp_path / "image.png"
    png(pixels, colour_type, 16)(path)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "imagecodecs", None)
        with pytest.raises(
            ValueError, match="alpha of 16 bits, which need the package imagecodecs"
        ):
            read(path)
    pytest.importorskip("imagecodecs")
    kept = channels if channels == 3 else channels - 1
    np.testing.assert_allclose(read(path), pixels[..., :kept] / 65535, atol=1e-6)


def test_too_many_pixels(tmp_path: Path):
    path = tmp_path / "bomb.tif"
    raw_tiff(bytes(8), (2**15, 2**14), 8)(path)
    with pytest.raises(ValueError, match="It has 536870912 pixels, more than max_image_pixels"):
        read_image(path, "image")
    PIL.Image.fromarray(GREY).save(tmp_path / "small.png")
    with pytest.raises(ValueError, match="It has 54 pixels, more than max_image_pixels=53"):
        read_image(tmp_path / "small.png", "image", max_pixels=53)
    assert read_image(tmp_path / "small.png", "image", max_pixels=None).pixels.shape == (6, 9)
