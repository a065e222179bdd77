"""Compare corruptions of training images and kinds of residuals: AUC and PRO, one line each.

python benchmarks/corruption.py --data DIR --sets nanotwice 02_006 \
    --corruptions none cutout blobs --seeds 0
python benchmarks/corruption.py --summary

DIR contains the folders nanotwice and fabric (default: $SK_SSIMAE_DATA). NanoTWICE's part
"choosing" is ITIA1108, 1115, 1127, 1131 and 1135. Of a fabric, every seventh good tile is tested.
The part "painted" has defects of `draw_defects` in good images: tested ones of the fabric, or what
`fit` holds out of NanoTWICE.

Each network of --corruptions is trained on patches whose input is corrupted, and its residual maps
are scored in several ways, all smoothed by a hundredth of the shorter side:

- ssim, absolute: 1 - SSIM, and the absolute difference of grey values;
- ssim + 3 absolute, ssim + 10 absolute: as with `absolute_weight`;
- scaled: each divided by its mean on held-out good pixels, and added;
- tails, tails of smoothed, maximum of tails: negative logarithms of the tail probabilities of
  held-out good pixels, added, or their maximum.

With --masked, each quarter of a patch, in cells of 16 pixels, is also reconstructed from a patch in
which it was masked: four passes. Lines are appended; a run whose lines are there is not repeated.
--summary writes means over seeds of real defects, for a few residuals; the documentation shows it.
"""

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from _common import N_EPOCHS, PATCHES_OF_PAPER
from _corruptions import CELL, CORRUPTIONS, corrupt, lattice
from _rows import RESULTS, mean, read, write
from _sets import BOLTS, SETS, load
from scipy.ndimage import gaussian_filter
from torch import Tensor

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae._inference._region import Region, working_pixels
from sk_ssimae._pixels import as_unit_float
from sk_ssimae._reading._files import read_image
from sk_ssimae.datasets import draw_defects
from sk_ssimae.estimators import TailProbability
from sk_ssimae.estimators._net import ReconstructionNet
from sk_ssimae.estimators._sampler import PatchSampler
from sk_ssimae.metrics import pixel_roc_auc_score, pro_auc_score

# Residuals in the table.
SHOWN = ("ssim", "absolute", "ssim + 3 absolute", "tails", "maximum of tails")
N_PATCHES_OF_FIBRES = 12_000
FAMILIES_OF_FIBRES = ("cut", "blur", "contamination", "stain", "rotation", "scratch")
FAMILIES = (*FAMILIES_OF_FIBRES, "missing_line", "doubled_line")


class Study(NamedTuple):
    """Good images to train on, and images with their masks by the name of the part."""

    good: list
    parts: dict[str, tuple[Sequence[Any], Sequence[np.ndarray]]]
    latent_dim: int
    n_patches: int


@dataclass
class CorruptedPatches:
    """Corrupted batches, new ones in each epoch."""

    sampler: PatchSampler
    corruption: str

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Corrupt each batch of an epoch."""
        for patches, _ in self.sampler:
            yield corrupt(self.sampler.generator, patches, self.corruption)


class CorruptingNet(ReconstructionNet):
    """Train on corrupted batches."""

    corruption = "none"

    def get_iterator(self, dataset: PatchSampler, training: bool = False) -> Any:
        """Iterate over corrupted batches, once per epoch."""
        return CorruptedPatches(dataset, self.corruption)


class StudiedSegmenter(SSIMAutoencoderSegmenter):
    """Keep the held-out regions, and reconstruct masked patches if asked for."""

    net_class = CorruptingNet
    method_name = None
    held_out: Sequence[Region]
    masked = False

    def _calibrate(self, held_out: Sequence[Region], kind: str) -> None:
        self.held_out = held_out

    def reconstruct_patches(self, patches: Tensor) -> Tensor:
        """Reconstruct patches, or each quarter of their cells from patches that lack it."""
        network = self.net_.inference_module_
        if not self.masked:
            return network(patches)
        reconstructed = torch.zeros_like(patches)
        mean = patches.mean((2, 3), keepdim=True)
        for shift in np.ndindex(2, 2):
            mask = lattice(patches, *CELL * torch.tensor(shift).repeat(len(patches), 1).T)
            masked = torch.where(mask, mean, patches)
            reconstructed = torch.where(mask, network(masked), reconstructed)
        return reconstructed


def main() -> None:
    """Run the missing studies."""
    arguments = parse_arguments()
    if arguments.summary:
        path = arguments.out
        write(summarise(read(path)), path.with_name(f"{path.stem}_table.csv"))
        return
    for name in arguments.sets:
        for corruption in arguments.corruptions:
            for seed in arguments.seeds:
                run = {"corruption": corruption, "seed": seed}
                key = {"set": name, **run, "masked": int(arguments.masked)}
                texts = {column: str(value) for column, value in key.items()}
                if not any(texts.items() <= row.items() for row in read(arguments.out)):
                    print(f"{name}: {corruption}, seed {seed}", flush=True)
                    study(name, run, arguments)


def study(name: str, run: dict, arguments: argparse.Namespace) -> None:
    """Train one network, score all residuals, and append them."""
    dataset = divide(name, arguments.data)
    n_patches = arguments.patches or dataset.n_patches
    CorruptingNet.corruption = run["corruption"]
    segmenter = StudiedSegmenter(
        latent_dim=dataset.latent_dim,
        n_patches=n_patches // N_EPOCHS,
        max_epochs=N_EPOCHS,
        random_state=run["seed"],
        **PATCHES_OF_PAPER,
    ).fit(dataset.good)
    if name == "nanotwice":
        dataset.parts["painted"] = paint_bands(segmenter.held_out)
    rows = []
    for segmenter.masked in (False, True) if arguments.masked else (False,):
        for part, residual, scores in measure(segmenter, dataset):
            row = {"set": name, "part": part, "corruption": run["corruption"]}
            row |= {"residual": residual, "masked": int(segmenter.masked)}
            rows.append(row | {"patches": n_patches, "seed": run["seed"]} | scores)
    write([*read(arguments.out), *rows], arguments.out)


def measure(segmenter: StudiedSegmenter, dataset: Study) -> Iterator[tuple[str, str, dict]]:
    """Yield the scores of each part and kind of residual map."""
    held_out = [residuals(segmenter, working_pixels(region)) for region in segmenter.held_out]
    combinations = combine(held_out)
    for part, (images, masks) in dataset.parts.items():
        computed = [residuals(segmenter, as_array(image)) for image in images]
        for name, combination in combinations.items():
            maps = [combination(*both) for both in computed]
            auc, pro = pixel_roc_auc_score(masks, maps), pro_auc_score(masks, maps)
            yield part, name, {"auc": f"{auc:.4f}", "pro": f"{pro:.4f}"}


def combine(held_out: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, Callable[..., Any]]:
    """Return functions from both residuals of an image to a smoothed map."""
    kinds = list(zip(*held_out, strict=True))
    tails = [TailProbability.fit(kind) for kind in kinds]
    smooth_tails = [TailProbability.fit([*map(smooth, kind)]) for kind in kinds]
    means = [np.mean([residual.mean() for residual in kind]) for kind in kinds]

    def surprises(*both: np.ndarray) -> list[np.ndarray]:
        return [tail.surprise(kind) for tail, kind in zip(tails, both, strict=True)]

    return {
        "ssim": lambda ssim, _: smooth(ssim),
        "absolute": lambda _, absolute: smooth(absolute),
        "ssim + 3 absolute": lambda ssim, absolute: smooth(ssim + 3 * absolute),
        "ssim + 10 absolute": lambda ssim, absolute: smooth(ssim + 10 * absolute),
        "scaled": lambda ssim, absolute: smooth(ssim / means[0] + absolute / means[1]),
        "tails": lambda *both: smooth(sum(surprises(*both))),
        "tails of smoothed": lambda *both: sum(
            tail.surprise(smooth(kind)) for tail, kind in zip(smooth_tails, both, strict=True)
        ),
        "maximum of tails": lambda *both: smooth(np.maximum(*surprises(*both))),
    }


def residuals(segmenter: StudiedSegmenter, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute 1 - SSIM and the absolute difference (h, w) of an image (h, w, c)."""
    pixels, reconstruction = as_unit_float(image), segmenter.compute_reconstruction(image)
    planes = (np.moveaxis(array, -1, 0) for array in (pixels, reconstruction))
    dissimilarity = segmenter.numpy_residual().residual_map(*planes)
    return dissimilarity, np.abs(pixels - reconstruction).mean(axis=-1)


def smooth(residual: np.ndarray) -> np.ndarray:
    """Smooth a map by a hundredth of its shorter side."""
    return gaussian_filter(residual, 0.01 * min(residual.shape))


def divide(name: str, folder: Path) -> Study:
    """Load a data set; of a fabric, divide the good images."""
    if name == "nanotwice":
        data = load("nanotwice-choosing", folder)
        parts = {"choosing": (data.defective, data.masks)}
        return Study(data.good, parts, SETS[name].latent_dim, N_PATCHES_OF_FIBRES)
    data = load(name, folder)
    tested = [as_array(file) for file in data.good[::7]]
    training = [file for index, file in enumerate(data.good) if index % 7]
    without = [np.zeros(image.shape[:2], dtype=bool) for image in tested]
    parts = {
        "real": ([*tested, *data.defective], [*without, *data.masks]),
        "painted": paint(tested, n_copies=3, n_defects=1, families=FAMILIES),
    }
    return Study(training, parts, SETS[name].latent_dim, SETS[name].patches // 2)


def paint_bands(held_out: Sequence[Region]) -> tuple[list, list]:
    """Paint defects into the bands that were held out, cut to a common size."""
    bands = [working_pixels(region) for region in held_out]
    height, width = np.min([band.shape[:2] for band in bands], axis=0)
    cut = [band[:height, :width] for band in bands]
    return paint(cut, n_copies=2, n_defects=4, families=FAMILIES_OF_FIBRES)


def paint(
    images: Sequence[np.ndarray], *, n_copies: int, n_defects: int, families: Sequence[str]
) -> tuple[list, list]:
    """Paint defects into copies of good images (h, w, 1)."""
    good = np.concatenate([np.stack(images)] * n_copies)
    painted = draw_defects(good, families=families, n_defects=n_defects, random_state=0)
    return list(painted.images), list(painted.masks)


def as_array(image: Path | np.ndarray) -> np.ndarray:
    """Return an image (h, w, c), read if it is a file."""
    pixels = read_image(image, str(image)).pixels if isinstance(image, Path) else image
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def summarise(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return AUC and PRO of real defects, a row for each set and corruption."""
    groups: dict[tuple[str, ...], dict[str, list[dict[str, str]]]] = {}
    for row in rows:
        if row["part"] != "painted":
            passes = "4" if row["masked"] == "1" else "1"
            group = groups.setdefault((row["set"], row["corruption"], passes), {})
            group.setdefault(row["residual"], []).append(row)
    return [
        {"set": name, "corruption": corruption, "passes": passes}
        | {
            residual: f"{mean(runs, 'auc', 3)} {mean(runs, 'pro', 3)}"
            for residual in SHOWN
            if (runs := group.get(residual))
        }
        | {"seeds": str(len({row["seed"] for runs in group.values() for row in runs}))}
        for (name, corruption, passes), group in sorted(groups.items(), key=_order)
    ]


def _order(group: tuple[tuple[str, ...], Any]) -> tuple[Any, ...]:
    (name, corruption, passes), _ = group
    known = ["none", "noise", *CORRUPTIONS]
    places = [known.index(part) for part in corruption.split("+")]
    return ["nanotwice", *BOLTS].index(name), passes, len(places), places


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = os.environ.get("SK_SSIMAE_DATA")
    parser.add_argument("--data", type=Path, default=folder)
    parser.add_argument("--out", type=Path, default=RESULTS / "corruption.csv")
    sets = ["nanotwice", *BOLTS]
    parser.add_argument("--sets", nargs="+", choices=sets, default=sets)
    parser.add_argument(
        "--corruptions",
        nargs="+",
        default=["none", "cutout", "blobs"],
        help=f"none, noise, {', '.join(CORRUPTIONS)}, or several joined by +",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--patches", type=int, help="by default 12,000 for nanotwice, else 8,000")
    parser.add_argument("--masked", action="store_true", help="also reconstruct in four passes")
    parser.add_argument("--summary", action="store_true", help="write the table, run nothing")
    arguments = parser.parse_args()
    if not arguments.summary and arguments.data is None:
        parser.error("--data is required, unless --summary is given.")
    for corruption in arguments.corruptions:
        unknown = {*corruption.split("+")} - {"none", "noise", *CORRUPTIONS}
        if unknown:
            parser.error(f"--corruptions has the unknown {', '.join(sorted(unknown))}.")
    return arguments


if __name__ == "__main__":
    main()
