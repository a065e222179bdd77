"""How often good images are flagged, and how well defects are marked, with the default verdict.

python benchmarks/verdict.py --data DIR --out benchmarks/results

Besides its records, it writes short tables of them, which the documentation shows.

All parts use PatchDictionarySegmenter, which trains in a second; "real" judges
`make_default_ensemble` too, with and without a pretrained network, and the SSIM autoencoder with
patches of 128 pixels, the former default, all on the first seed. Autoencoders are trained on the
number of patches in _sets.py, "ssim-128" on half of it.
"synthetic" draws sets of good images to calibrate with from a pool, and counts how many of 1,000
fresh good images are flagged. "bands" holds out bands of the images of `fit` instead. "real" needs
DIR with the folders fabric, kolektor, leather and nanotwice; it fits on half of the good images of
a set and judges the others and the defective ones, once with the former defaults, the pixel rule
alone, and once with those of today. Settings were chosen on synthetic texture, fabric 02_006 and
defects of `draw_defects`. The maps of this segmenter do not separate the images of NanoTWICE:
nothing could be chosen on them.
"""

import argparse
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _common import N_EPOCHS, PATCHES_OF_PAPER
from _rows import read, write_each
from _sets import BOLTS, SETS
from _verdict_tables import write_tables
from scipy import ndimage
from skimage.io import imread
from sklearn.metrics import roc_auc_score

from sk_ssimae import (
    PatchDictionarySegmenter,
    SSIMAutoencoderSegmenter,
    make_default_ensemble,
)
from sk_ssimae._inference._region import Region
from sk_ssimae.datasets import (
    draw_defects,
    load_image_folder,
    load_nanotwice,
    make_nanofibres,
    make_woven_fabric,
)
from sk_ssimae.estimators import BaseSegmenter
from sk_ssimae.estimators._evidence import Evidence

SHAPE = (160, 160)
N_TRAINING, N_POOL, N_FRESH, N_CALIBRATIONS = 8, 200, 250, 50
N_FITS, N_FRESH_OF_A_FIT = 4, 50  # Bands need a training each.
N_JUDGED = 40  # At most so many good and defective images of a real set.
LARGE_IMAGES = ("kolektor", "nanotwice")  # Judged with the first seed alone: they take minutes.
TEXTURES: dict[str, Callable[[int, int], np.ndarray]] = {
    "twill": lambda n, seed: make_woven_fabric(n, shape=SHAPE, random_state=seed),
    "irregular satin": lambda n, seed: make_woven_fabric(
        n, shape=SHAPE, weave="satin", irregularity=3, random_state=seed
    ),
    "nanofibres": lambda n, seed: make_nanofibres(n, shape=SHAPE, random_state=seed),
    "sparse nanofibres": lambda n, seed: make_nanofibres(
        n, shape=SHAPE, fibre_diameter=6, density=0.4, random_state=seed
    ),
}
TARGETS = (0.01, 0.05)
# Each with the rules that are judged: "ssim-128" was the default before, the ensemble is that of
# the command line now.
METHODS = {
    "patch-dictionary": ("before", "after"),
    "ssim-128": ("before",),
    "ensemble": ("after",),
    "ensemble-pretrained": ("after",),
}
RULES = {
    "before": {"threshold": "pixel_fpr", "extent_threshold": "pixel_fpr"},
    "after": {},
}


class Dataset(NamedTuple):
    """Good images, defective ones and the masks of the latter."""

    good: list[np.ndarray]
    defective: list[np.ndarray]
    masks: list[np.ndarray]


def calibrate_synthetic() -> Iterator[dict[str, Any]]:
    """Yield the shares of fresh good images flagged, by texture, number of images and target."""
    for texture, make in TEXTURES.items():
        segmenter = PatchDictionarySegmenter(random_state=0, threshold=1.0).fit(make(N_TRAINING, 0))
        pool = [segmenter._open(m) for m in segmenter.iter_decision_function(make(N_POOL, 1))]
        scores = segmenter.score_images(make(N_FRESH, 2))
        region = Region.of_image(np.empty((*SHAPE, 1)), None)
        for target in TARGETS:
            for n in (3, 5, 10, 20):
                rng = np.random.default_rng(0)
                shares = []
                for _ in range(N_CALIBRATIONS):
                    evidence = Evidence()
                    for i in rng.choice(N_POOL, n, replace=False):
                        evidence.add(pool[i], region)
                    shares.append((scores > evidence.extrapolate(target)).mean())
                yield summarize(texture, "images", n, target, shares)


def calibrate_on_bands(data: Path | None) -> Iterator[dict[str, Any]]:
    """Yield the same for bands of the images of `fit`: texture, and a fabric if there is data."""
    for texture, make in TEXTURES.items():
        yield from hold_out_bands(texture, make, make(N_FRESH_OF_A_FIT, 2))
    if data is not None:
        good = [imread(path) for path in sorted((data / "fabric" / BOLTS[0] / "good").iterdir())]
        order = np.random.default_rng(0).permutation(len(good))
        judged, others = np.split(order, [N_FRESH_OF_A_FIT // 2])

        def choose(n: int, seed: int) -> list[np.ndarray]:
            return [good[i] for i in np.random.default_rng(seed).permutation(others)[:n]]

        yield from hold_out_bands(f"fabric/{BOLTS[0]}", choose, [good[i] for i in judged])


def hold_out_bands(
    texture: str, make: Callable[[int, int], Any], fresh: Any
) -> Iterator[dict[str, Any]]:
    """Yield the shares of fresh images flagged, each after another training."""
    for n in (3, 5, 9):
        shares: dict[float, list[float]] = {target: [] for target in TARGETS}
        for seed in range(N_FITS):
            good = make(n, 100 + seed)
            for target in TARGETS:
                segmenter = PatchDictionarySegmenter(random_state=seed, target_fpr=target).fit(good)
                if target == TARGETS[0]:
                    scores = segmenter.score_images(fresh)
                shares[target].append((scores > segmenter.threshold_).mean())
        for target in TARGETS:
            yield summarize(texture, "regions", n, target, shares[target])


def summarize(
    texture: str, kind: str, n: int, target: float, shares: list[float]
) -> dict[str, Any]:
    """Describe the shares of good images flagged after several calibrations."""
    array = np.array(shares)
    low, high = np.quantile(array, [0.05, 0.95])
    within = (array >= target / 3 - 1e-9) & (array <= 3 * target + 1e-9)
    return {
        "texture": texture,
        "held_out": kind,
        "n_held_out": n,
        "target": target,
        "calibrations": len(array),
        "mean_flagged": round(array.mean(), 4),
        "quantile_05": round(low, 4),
        "quantile_95": round(high, 4),
        "within_factor_3": round(within.mean(), 3),
    }


def load_datasets(data: Path) -> Iterator[tuple[str, Dataset]]:
    """Yield synthetic defects, and the sets of images that the folder contains, by name."""
    drawn = draw_defects(make_woven_fabric(36, random_state=2), random_state=0)
    yield (
        "synthetic defects",
        Dataset(list(make_woven_fabric(60, random_state=1)), *map(list, drawn)),
    )
    for name in (*(f"fabric/{bolt}" for bolt in BOLTS), "kolektor", "leather"):
        folder = data / name
        found = load_image_folder(folder / "good", folder / "defective", folder / "mask")
        yield name, Dataset(*(list(found[key]) for key in ("good", "defective", "masks")))
    found = load_nanotwice(data / "nanotwice")
    yield "nanotwice", Dataset(*(list(found[key]) for key in ("good", "defective", "masks")))


def judge(name: str, dataset: Dataset, method: str, seed: int) -> Iterator[dict[str, Any]]:
    """Fit on some of the good images; yield the results on all others with each set of rules."""
    good, defective, masks = dataset
    order = np.random.default_rng(seed).permutation(len(good))
    # Half of the images, but for the five of NanoTWICE.
    n_training = max(len(good) // 2, min(len(good) - 1, 4))
    training, others = order[:n_training], order[n_training:][:N_JUDGED]
    step = -(-len(defective) // N_JUDGED)  # Not the first alone: they are sorted by kind.
    defective, masks = defective[::step], masks[::step]
    maps: tuple[list, list] | None = None
    for version, rules in RULES.items():
        if version not in METHODS[method]:
            continue
        segmenter = make(name, method, seed).set_params(**rules)
        segmenter.fit([good[i] for i in training])
        if maps is None:  # The rules do not change them.
            maps = (
                list(segmenter.iter_decision_function([good[i] for i in others])),
                list(segmenter.iter_decision_function(defective)),
            )
        on_good, on_defective = (
            [segmenter._segment(one, segmenter._levels()) for one in part] for part in maps
        )
        yield {
            "set": name,
            "method": method,
            "seed": seed,
            "defaults": version,
            "n_fitted": len(training),
            "held_out": segmenter.calibration_.held_out,
            "n_held_out": segmenter.calibration_.n_held_out,
            "good": len(others),
            "good_flagged": sum(int(one.mask.any()) for one in on_good),
            "defective": len(defective),
            "defective_found": sum(int(one.mask.any()) for one in on_defective),
            "image_auc": round(_image_auc(on_good, on_defective), 3),
            **_compare([one.mask for one in on_defective], masks, [one.mask for one in on_good]),
        }


def make(name: str, method: str, seed: int) -> BaseSegmenter:
    """Make the unfitted segmenter of a method for a data set."""
    if method == "patch-dictionary":
        return PatchDictionarySegmenter(random_state=seed)
    folder = name.split("/")[-1]
    patches = SETS[folder].patches if folder in SETS else SETS[BOLTS[0]].patches
    if method == "ssim-128":
        segmenter = SSIMAutoencoderSegmenter(random_state=seed, **PATCHES_OF_PAPER)
        return segmenter.set_params(n_patches=patches // 2 // N_EPOCHS, max_epochs=N_EPOCHS)
    ensemble = make_default_ensemble(pretrained=method == "ensemble-pretrained", random_state=seed)
    return ensemble.set_params(
        autoencoder__n_patches=patches // N_EPOCHS, autoencoder__max_epochs=N_EPOCHS
    )


def _image_auc(good: list, defective: list) -> float:
    scores = [one.score for one in good + defective]
    return float(roc_auc_score([0] * len(good) + [1] * len(defective), scores))


def _compare(predicted: list, truth: list, on_good: list) -> dict[str, Any]:
    """Compare masks, pooled over all images, and count the true regions that they touch."""
    true_positive = n_marked = n_true = n_regions = n_found = 0
    for mask, true in zip(predicted, truth, strict=True):
        defect = np.asarray(true) > 0
        true_positive += int((mask & defect).sum())
        n_marked += int(mask.sum())
        n_true += int(defect.sum())
        labels, n_labels = ndimage.label(defect, np.ones((3, 3)))
        n_regions += n_labels
        n_found += len(np.unique(labels[mask & defect]))
    n_marked += sum(int(mask.sum()) for mask in on_good)
    return {
        "iou": round(true_positive / (n_marked + n_true - true_positive), 4),
        "f1": round(2 * true_positive / (n_marked + n_true), 4),
        "regions": n_regions,
        "regions_found": n_found,
    }


def judge_all(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the results of all requested sets, methods and seeds."""
    for name, dataset in load_datasets(arguments.data):
        for method, seed in itertools.product(arguments.methods, arguments.seeds):
            if is_requested(arguments, name, method, seed):
                yield from judge(name, dataset, method, seed)


def is_requested(arguments: argparse.Namespace, name: str, method: str, seed: int) -> bool:
    """Tell whether to judge a method: slow ones with the first seed alone."""
    seeds = arguments.seeds
    if name in LARGE_IMAGES or method != "patch-dictionary":
        seeds = seeds[:1]
    is_named = arguments.sets is None or name in arguments.sets
    return is_named and method in arguments.methods and seed in seeds


def other_rows(path: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the rows of a file that are not computed again."""
    return [
        row
        for row in read(path)
        if not is_requested(arguments, row["set"], row["method"], int(row["seed"]))
    ]


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help="folder with fabric, kolektor, leather, nanotwice"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the CSV files")
    parser.add_argument("--parts", nargs="+", default=["synthetic", "bands", "real"])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[*METHODS])
    parser.add_argument("--sets", nargs="+", help="names of sets as in the table; all by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    if "synthetic" in arguments.parts:
        write_each(calibrate_synthetic(), arguments.out / "verdict_synthetic.csv")
    if "bands" in arguments.parts:
        write_each(calibrate_on_bands(arguments.data), arguments.out / "verdict_bands.csv")
    if "real" in arguments.parts:
        path = arguments.out / "verdict.csv"
        write_each(judge_all(arguments), path, other_rows(path, arguments))
    write_tables(arguments.out)


if __name__ == "__main__":
    main()
