"""Compare the accuracy of intensity ranges on a fabric whose images are stored in other types.

python benchmarks/intensities.py --data DIR [--bolt 02_006] [--patches 8000] [--seed 0] \
    [--out results.json]

DIR contains the folder fabric (default: $SK_SSIMAE_DATA). The images have 8 bits. They are also
stored as the 10 bits of a camera in uint16, and as uint16 from 30,000 to 32,000. An SSIM segmenter
trains on each with the range of the type, with the range that is found from the images, and
prints the pixel ROC AUC.
"""

import os
from pathlib import Path

import numpy as np
from _common import N_EPOCHS, PATCHES_OF_PAPER, options, save
from _sets import BOLTS, load

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae._intensity import IntensityRange
from sk_ssimae._reading._files import read_image
from sk_ssimae._reading._stored import StoredImage

STORED_AS = {
    "8 bits": lambda image: image,
    "10 bits in uint16": lambda image: np.rint(image * (1023 / 255)).astype(np.uint16),
    "uint16 from 30,000 to 32,000": lambda image: (30_000 + np.rint(image * (2_000 / 255))).astype(
        np.uint16
    ),
}


def main() -> None:
    """Train with each type and range, and print the scores."""
    parser = options(__doc__)
    folder = os.environ.get("SK_SSIMAE_DATA")
    parser.add_argument("--data", type=Path, default=folder, required=not folder)
    parser.add_argument("--bolt", choices=BOLTS, default=BOLTS[0])
    parser.add_argument("--patches", type=int, default=8_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    dataset = load(arguments.bolt, Path(arguments.data))
    good, defective = (
        [read_image(path, str(path)).pixels for path in paths]
        for paths in (dataset.good, dataset.defective)
    )
    scores: dict = {}
    for name, store in STORED_AS.items():
        stored = [store(image) for image in good]
        for kind, intensity_range in {"type": "dtype", "found": found_in(stored)}.items():
            segmenter = SSIMAutoencoderSegmenter(
                intensity_range=intensity_range,
                n_patches=arguments.patches // N_EPOCHS,
                max_epochs=N_EPOCHS,
                random_state=arguments.seed,
                **PATCHES_OF_PAPER,
            ).fit(stored)
            score = segmenter.score([store(image) for image in defective], dataset.masks)
            scores.setdefault(name, {})[kind] = score
            print(f"{name:<30}{kind:<8}{score:.3f}", flush=True)
    save({"bolt": arguments.bolt, "patches": arguments.patches, "scores": scores}, arguments)


def found_in(images: list[np.ndarray]) -> IntensityRange:
    """Find the range of images as for types that say nothing about it."""
    found = IntensityRange.find(
        [StoredImage(image.astype(np.int32), None, False) for image in images]
    )
    if found is None:
        raise ValueError("images must have more than one value.")
    return found


if __name__ == "__main__":
    main()
