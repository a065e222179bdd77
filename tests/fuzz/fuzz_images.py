"""Fuzz the image readers, guided by coverage.

    python tests/fuzz/fuzz_images.py [CORPUS] [libFuzzer's options, such as -max_total_time=300]

The first byte selects the suffix, the rest is the file. Errors must name the image and the file.
"""

import logging
import struct
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["sk_ssimae", "PIL", "tifffile"]):
    import PIL.Image
    import skimage.io
    import tifffile

    from sk_ssimae._images import Images

import numpy as np

SUFFIXES = (".png", ".tif", ".bmp", ".jpg")
FOLDER = Path(tempfile.mkdtemp(prefix="sk_ssimae-fuzz-"))


def read(data: bytes) -> None:
    if not data:
        return
    path = FOLDER / f"image{SUFFIXES[data[0] % len(SUFFIXES)]}"
    path.write_bytes(data[1:])
    try:
        image = Images([path])[0]
    except (ValueError, TypeError) as error:
        if f"X[0] ({str(path)!r})" not in str(error):
            raise AssertionError(f"the file is not named: {error}") from error
        return
    assert image.ndim == 3
    assert image.size > 0
    assert image.dtype in (np.uint8, np.float32)
    if image.dtype == np.float32:
        assert ((image >= 0) & (image <= 1)).all()


def write_seeds(corpus: Path) -> None:
    """Write small images of every kind that the readers support."""
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (6, 7), dtype=np.uint8)
    colour = rng.integers(0, 256, (6, 7, 3), dtype=np.uint8)
    deep = rng.integers(0, 2**16, (6, 7), dtype=np.uint16)
    unit = rng.random((6, 7), dtype=np.float32)
    arrays = {"grey": grey, "colour": colour, "deep": deep, "unit": unit, "bool": grey > 99}
    for number, suffix in enumerate(SUFFIXES):
        for name, array in arrays.items():
            path = FOLDER / f"seed{suffix}"
            try:
                skimage.io.imsave(path, array, check_contrast=False)
            except (OSError, TypeError, ValueError):
                continue  # Not every format supports every type.
            (corpus / f"{name}{suffix}").write_bytes(bytes([number]) + path.read_bytes())
    image = PIL.Image.fromarray(colour)
    for name, other in (("palette", image.quantize(4)), ("alpha", image.convert("LA"))):
        other.save(FOLDER / "seed.png")
        (corpus / f"{name}.png").write_bytes(b"\0" + (FOLDER / "seed.png").read_bytes())
    for name, options in (
        ("deflate", {"compression": "zlib"}),
        ("tiled", {"tile": (16, 16)}),
        ("white", {"photometric": "miniswhite"}),
        ("predictor", {"compression": "zlib", "predictor": True}),
    ):
        tifffile.imwrite(FOLDER / "seed.tif", deep, **options)
        (corpus / f"{name}.tif").write_bytes(b"\1" + (FOLDER / "seed.tif").read_bytes())
    (corpus / "bare.tif").write_bytes(b"\1II" + struct.pack("<HIHI", 42, 8, 0, 0))


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable()
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
        write_seeds(Path(sys.argv[1]))
    atheris.Setup(sys.argv, read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
