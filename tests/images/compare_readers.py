"""Read a public suite of image files, and print where we differ from OpenCV.

    pip install opencv-python-headless
    python tests/images/compare_readers.py FOLDER

FOLDER is searched with its subfolders. Suites are those of libtiff, libpng (PngSuite), Pillow and
tifffile. Images are compared as 8-bit colours, as OpenCV displays them. A difference
needs a look: either reader may be right. Exit code 1 if there are differences.
"""

import argparse
import logging
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sk_ssimae._images import Images
from sk_ssimae._pixels import as_unit_float
from sk_ssimae.datasets._listing import SUFFIXES

# Of 255. Decoders of JPEG round differently.
TOLERANCE = 3


def ours(path: Path) -> Any:
    """Read a file as 8-bit colours (h, w, 3), or return the error."""
    try:
        image = as_unit_float(Images([path])[0])
    except (TypeError, ValueError, OSError) as error:
        return str(error).split("cannot be read as an image: ")[-1].split(" Replace the file")[0]
    if image.shape[-1] not in (1, 3):
        return f"it has {image.shape[-1]} channels"
    return np.rint(255 * np.broadcast_to(image, (*image.shape[:2], 3)))


def theirs(path: Path) -> Any:
    """Read a file by OpenCV as 8-bit colours (h, w, 3), or return None."""
    try:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if image is None else image[..., ::-1].astype(float)


def verdict(mine: Any, other: Any) -> str:
    """Compare two results in a few words."""
    if isinstance(mine, str):
        return "refused by both" if other is None else f"refused: {mine}"
    if other is None:
        return "read by us alone"
    if mine.shape != other.shape:
        return f"different shapes: {mine.shape} and {other.shape}"
    difference = float(np.abs(mine - other).max())
    return "equal" if difference <= TOLERANCE else f"different by up to {difference:.0f} of 255"


def main() -> int:
    """Compare all files of a folder and print the differences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    logging.disable()
    warnings.simplefilter("ignore")
    counts: Counter[str] = Counter()
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            result = verdict(ours(path), theirs(path))
            counts[result.split(":")[0].split(" by up")[0]] += 1
            if result not in ("equal", "refused by both", "read by us alone"):
                print(f"{path.relative_to(folder)}: {result}")
    print(", ".join(f"{number} {kind}" for kind, number in counts.most_common()))
    return int(counts["different"] + counts["different shapes"] > 0)


if __name__ == "__main__":
    sys.exit(main())
