"""Measure how much worse patches are reconstructed near their edges than in their middle.

python benchmarks/window_edges.py --data DIR [--patches 12000] [--out window_edges.json]

DIR contains the folder nanotwice (default: $SK_SSIMAE_DATA). A segmenter trains on all good
nanofibre images but one, with its defaults and 500 latent dimensions. Over random patches of the
remaining image, the residual is averaged by distance from the nearest edge, the distance that
`taper` weights.
"""

import itertools
import os
from pathlib import Path

import numpy as np
from _common import N_EPOCHS, PATCHES_OF_PAPER, options, save

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae._reading._files import read_image
from sk_ssimae.datasets import load_nanotwice

N_PATCHES = 500
DISTANCES = (0, 4, 8, 16, 32, 64)  # In pixels; edges of the bins.


def main() -> None:
    """Train, measure and print."""
    parser = options(__doc__)
    folder = os.environ.get("SK_SSIMAE_DATA")
    parser.add_argument("--data", type=Path, default=folder, required=not folder)
    parser.add_argument("--patches", type=int, default=12_000)
    arguments = parser.parse_args()
    *training, unseen = load_nanotwice(Path(arguments.data) / "nanotwice").good
    segmenter = SSIMAutoencoderSegmenter(
        latent_dim=500,
        n_patches=arguments.patches // N_EPOCHS,
        random_state=0,
        verbose=1,
        **PATCHES_OF_PAPER,
    ).fit(training)
    residuals = by_distance(segmenter, read_image(unseen, str(unseen)).pixels)
    for distance, residual in residuals.items():
        print(f"{distance:<16}{residual:.3f}")
    save({"patches": arguments.patches, "residuals": residuals}, arguments)


def by_distance(segmenter: SSIMAutoencoderSegmenter, image: np.ndarray) -> dict[str, float]:
    """Average the residual of separate patches by distance from the nearest edge."""
    side = segmenter.patch_size
    rng = np.random.default_rng(0)
    rows, columns = (rng.integers(0, n - side + 1, N_PATCHES) for n in image.shape[:2])
    patches = [
        image[row : row + side, column : column + side]
        for row, column in zip(rows, columns, strict=True)
    ]
    # One patch per image: nothing overlaps.
    maps = segmenter.set_params(smoothing=0).decision_function(np.stack(patches))
    residual = np.mean(maps, axis=0)
    to_edge = np.minimum(np.arange(side), side - 1 - np.arange(side))
    distance = np.minimum.outer(to_edge, to_edge)
    return {
        f"{first} to {stop - 1} pixels": float(
            residual[(first <= distance) & (distance < stop)].mean()
        )
        for first, stop in itertools.pairwise(DISTANCES)
    }


if __name__ == "__main__":
    main()
