"""Compare segmenters on real data sets: accuracy, time and memory, one row a run in a CSV file.

python benchmarks/methods.py --data DIR --out FOLDER --sets 01_023 leather --methods ssim ensemble \
    --seeds 0 1 2
python benchmarks/methods.py --summary

DIR contains the folders fabric, leather, kolektor and nanotwice (default: $SK_SSIMAE_DATA). Trained
autoencoders and members of ensembles are kept in FOLDER, so that other runs reuse them; then
seconds of training and memory are left out. Give each process a FOLDER of its own. Each run is a
new process that appends a row to --csv; rows that exist are not computed again. --summary writes
the means over seeds next to that file, and a few of them "at a glance"; the documentation shows
both.

Segmenters have their defaults, but for the number of patches, which is that of the data set or
--patches. "ssim-128" has the patches of the paper, 128 pixels wide at a stride of 30, half as many,
and 500 latent dimensions on NanoTWICE. "ensemble" is that of `make_default_ensemble`,
"ensemble-pretrained" that with `pretrained`, and "ensemble-features" has only two of its members,
the autoencoder and, with a weight of 2, the dictionary of features. "ssim-cutout" is the
autoencoder, with an `absolute_weight` of 1 instead of 3. All these were run with --patches 100000,
their default, on NanoTWICE and Kolektor. The members of "ensemble-128" are trained on the same
images as alone, each holds out a fifth of them for its calibration, and their calibrated maps are
added.

Good images of the last two photographs of leather, by name, are for testing: six of eight train.
In "kolektor-images" those of the last three of twelve objects are; "kolektor" trains on the good
images of all objects. The other sets have too few good images to spare any, hence no scores of
images. Pixel ROC AUC and PRO AUC, up to a false positive rate of 0.3, are those of the defective
images. Memory is the peak of a process, including its libraries; it needs Linux.
"""

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _common import (
    N_EPOCHS,
    PATCHES_OF_PAPER,
    describe_machine,
    fit_and_measure,
    peak_mib,
    train_once,
)
from _rows import RESULTS, append, in_new_process, mean, read, settings_of, write
from _sets import SETS, Dataset, load
from sklearn.metrics import average_precision_score

from sk_ssimae import (
    EnsembleSegmenter,
    FeatureDictionarySegmenter,
    L2AutoencoderSegmenter,
    PatchDictionarySegmenter,
    SSIMAutoencoderSegmenter,
    make_default_ensemble,
)
from sk_ssimae._inference._decision import image_score, open_map
from sk_ssimae.estimators import BaseAutoencoderSegmenter, BaseSegmenter
from sk_ssimae.metrics import image_roc_auc_score, pixel_roc_auc_score, pro_auc_score

_READY = {
    name: member.get_params() for name, member in make_default_ensemble(pretrained=True).segmenters
}
# Classes, and the parameters that differ from their defaults.
SEGMENTERS: dict[str, tuple[type[BaseSegmenter], dict[str, Any]]] = {
    "ssim": (SSIMAutoencoderSegmenter, {}),
    "ssim-128": (SSIMAutoencoderSegmenter, PATCHES_OF_PAPER),
    "ssim-cutout": (SSIMAutoencoderSegmenter, _READY["autoencoder"] | {"absolute_weight": 1}),
    "l2": (L2AutoencoderSegmenter, {}),
    "patch-dictionary": (PatchDictionarySegmenter, {}),
    "patch-dictionary-coarse": (PatchDictionarySegmenter, _READY["coarse_dictionary"]),
    "feature-dictionary": (FeatureDictionarySegmenter, {}),
    "feature-dictionary-kmeans": (FeatureDictionarySegmenter, _READY["features"]),
}
# Fitted as a whole; the autoencoder is named "autoencoder" in each.
ENSEMBLES: dict[str, Callable[[], EnsembleSegmenter]] = {
    "ensemble": make_default_ensemble,
    "ensemble-pretrained": partial(make_default_ensemble, pretrained=True),
    "ensemble-features": lambda: EnsembleSegmenter(
        [
            ("autoencoder", SSIMAutoencoderSegmenter(**_READY["autoencoder"])),
            ("features", FeatureDictionarySegmenter(**_READY["features"])),
        ],
        weights=(1, 2),
    ),
}
# Segmenters that were fitted by themselves, whose maps are added.
SUMS = {"ensemble-128": ("ssim-128", "patch-dictionary")}
SETS_AT_A_GLANCE = {
    "02_006": "woven fabric 02_006",
    "00_002": "woven fabric 00_002",
    "01_023": "woven fabric 01_023",
    "leather": "leather, in colour",
    "nanotwice": "nanofibres (NanoTWICE)",
    "kolektor-images": "metal with glare (KolektorSDD)",
}
METHODS_AT_A_GLANCE = {
    "SSIM autoencoder": "ssim-cutout",
    "patch dictionary": "patch-dictionary",
    "ensemble, the default": "ensemble",
    "ensemble, pretrained": "ensemble-pretrained",
}
IDENTITY = ("set", "method", "settings", "patches", "seed")
SCORES = ("pixel_roc_auc", "pro_auc", "image_roc_auc", "image_average_precision")
COSTS = ("training_seconds", "seconds_per_megapixel", "peak_mib")
COLUMNS = (*IDENTITY, "n_train", *SCORES, *COSTS, "processor", "threads")


class Run(NamedTuple):
    """One row of the table, as far as the command line says it."""

    set: str
    method: str
    patches: int
    seed: int

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the segmenters whose maps are added."""
        return SUMS.get(self.method, (self.method,))

    def identity(self) -> dict[str, str]:
        """Return the columns by which a run is recognised."""
        settings = " + ".join(settings_of(make(self, member)) for member in self.members)
        patches = self.patches if any(map(takes_patches, self.members)) else ""
        values = self.set, self.method, settings, patches, self.seed
        return {name: str(value) for name, value in zip(IDENTITY, values, strict=True)}


def main() -> None:
    """Compute the missing rows, or summarise those that are there."""
    arguments = parse_arguments()
    if arguments.summary:
        summarise(arguments.csv)
        return
    for run in missing_runs(arguments):
        print(*run, flush=True)
        row = in_new_process(measure, run, arguments.data, arguments.out)
        append(row, arguments.csv, COLUMNS)
        print(
            "  ", *(f"{name} {row[name]}" for name in (*SCORES, *COSTS) if name in row), flush=True
        )


def missing_runs(arguments: argparse.Namespace) -> Iterator[Run]:
    """Yield the requested runs that have no row."""
    for name in arguments.sets:
        for seed in arguments.seeds:
            for method in arguments.methods:
                run = Run(name, method, arguments.patches or SETS[name].patches, seed)
                identity = run.identity()
                if not any(identity.items() <= row.items() for row in read(arguments.csv)):
                    yield run


def is_autoencoder(member: str) -> bool:
    """Return whether a segmenter is an autoencoder, which trains for minutes."""
    return member in SEGMENTERS and issubclass(SEGMENTERS[member][0], BaseAutoencoderSegmenter)


def takes_patches(member: str) -> bool:
    """Return whether a segmenter trains on patches."""
    return member in ENSEMBLES or is_autoencoder(member)


def make(run: Run, member: str) -> BaseSegmenter:
    """Make the unfitted segmenter of a run."""
    if member in ENSEMBLES:
        return ENSEMBLES[member]().set_params(
            random_state=run.seed,
            autoencoder__n_patches=run.patches // N_EPOCHS,
            autoencoder__max_epochs=N_EPOCHS,
        )
    segmenter_class, changes = SEGMENTERS[member]
    segmenter = segmenter_class(**changes).set_params(random_state=run.seed)
    if is_autoencoder(member):
        segmenter.set_params(n_patches=run.patches // N_EPOCHS, max_epochs=N_EPOCHS)
        if member == "ssim-128":
            n_patches, latent_dim = segmenter.n_patches // 2, SETS[run.set].latent_dim
            segmenter.set_params(n_patches=n_patches, latent_dim=latent_dim)
    return segmenter


def measure(run: Run, data: Path, folder: Path) -> dict[str, Any]:
    """Train the members of a run, compute their maps and score the sum."""
    dataset = load(run.set, data)
    images = [*dataset.test_good, *dataset.defective]
    maps: list[list[np.ndarray]] = []
    costs, seconds = [], 0.0
    for member in run.members:
        segmenter, cost = fit(run, member, dataset.good, folder)
        costs.append(cost)
        compute = segmenter.decision_function if len(run.members) == 1 else segmenter.calibrated_map
        start = time.perf_counter()
        maps.append(compute(images))
        seconds += time.perf_counter() - start
    combined = [sum(of_image) for of_image in zip(*maps, strict=True)]
    peak = peak_mib()  # Before scoring takes more.
    megapixels = sum(residual_map.size for residual_map in combined) / 1e6
    row = run.identity() | {"n_train": len(dataset.good)}
    row |= score(combined, dataset, segmenter.opening_diameter)
    row["seconds_per_megapixel"] = round(seconds / megapixels, 2)
    if all(costs):  # Else a fit was resumed or reused, whose costs are not known.
        row["training_seconds"] = round(sum(cost["seconds"] for cost in costs), 2)
        row["peak_mib"] = round(max(peak, *(cost["mib"] for cost in costs)))
    machine = describe_machine()
    return row | {"processor": machine["machine"], "threads": machine["threads"]}


def fit(
    run: Run, member: str, good: Sequence[Path], folder: Path
) -> tuple[BaseSegmenter, dict | None]:
    """Fit a member, or reuse a fit in the folder. Return its cost as well, None if unknown."""
    segmenter = make(run, member)
    if member in ENSEMBLES:
        memory = folder / "members"
        segmenter.set_params(memory=memory)
        n_kept = len(list(memory.rglob("output.pkl")))
        cost = fit_and_measure(segmenter, good)
        n_fitted = len(list(memory.rglob("output.pkl"))) - n_kept
        return segmenter, cost if n_fitted == len(segmenter.segmenters_) else None
    if is_autoencoder(member):
        path = folder / f"{run.set}-{member}-{run.patches}-{run.seed}.joblib"
        trained = train_once(segmenter, good, path)
        return trained.segmenter, trained.cost
    return segmenter, fit_and_measure(segmenter, good)


def score(maps: list[np.ndarray], dataset: Dataset, opening_diameter: int) -> dict[str, float]:
    """Score the maps of good test images, if any, followed by those of defective images."""
    n_good = len(dataset.test_good)
    scores = {
        "pixel_roc_auc": pixel_roc_auc_score(dataset.masks, maps[n_good:]),
        "pro_auc": pro_auc_score(dataset.masks, maps[n_good:]),
    }
    if n_good:
        labels = [0] * n_good + [1] * len(dataset.defective)
        of_images = [image_score(open_map(each, opening_diameter)) for each in maps]
        scores["image_roc_auc"] = image_roc_auc_score(labels, of_images)
        scores["image_average_precision"] = float(average_precision_score(labels, of_images))
    return {name: round(value, 4) for name, value in scores.items()}


def summarise(path: Path) -> None:
    """Write the means over seeds of each data set and method, in the order of this script.

    Raises
    ------
    SystemExit
        If there are no rows, or runs of a method differ in more than the seed.
    """
    groups: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for row in read(path):
        groups[row["set"], row["method"]].append(row)
    if not groups:
        raise SystemExit(f"{path} has no rows: run the methods first.")
    summary, last = [], None
    for name, method in sorted(groups, key=_order):
        rows = groups[name, method]
        if len({(row["settings"], row["patches"]) for row in rows}) > 1:
            raise SystemExit(
                f"{path} has runs of {method} on {name} with several settings or numbers of "
                "patches: move those of one into another file."
            )
        summary.append(
            {
                "set": "" if name == last else name,
                "method": method,
                "AUC": mean(rows, "pixel_roc_auc", 3),
                "PRO": mean(rows, "pro_auc", 3),
                "image AUC": mean(rows, "image_roc_auc", 3),
                "image AP": mean(rows, "image_average_precision", 3),
                "fit, s": mean(rows, "training_seconds", 0),
                "s/Mpx": mean(rows, "seconds_per_megapixel", 1),
                "MiB": mean(rows, "peak_mib", 0),
                "seeds": len(rows),
            }
        )
        last = name
    write(summary, path.with_name(f"{path.stem}_summary.csv"))
    if glance := _glance(groups):
        write(glance, path.with_name(f"{path.stem}_glance.csv"))


def _glance(groups: dict[tuple[str, str], list[dict[str, str]]]) -> list[dict[str, str]]:
    """Return AUC and PRO of a few methods, one row a set, for the first page."""
    return [
        {"": SETS_AT_A_GLANCE[name]}
        | {
            label: " ".join(
                mean(groups[name, method], score, 3) for score in ("pixel_roc_auc", "pro_auc")
            )
            for label, method in METHODS_AT_A_GLANCE.items()
        }
        for name in SETS_AT_A_GLANCE
        if all((name, method) in groups for method in METHODS_AT_A_GLANCE.values())
    ]


def _order(group: tuple[str, str]) -> tuple[int, int]:
    return list(SETS).index(group[0]), [*SEGMENTERS, *ENSEMBLES, *SUMS].index(group[1])


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = os.environ.get("SK_SSIMAE_DATA")
    methods = [*SEGMENTERS, *ENSEMBLES, *SUMS]
    parser.add_argument("--data", type=Path, default=folder)
    parser.add_argument("--out", type=Path, help="folder of trained segmenters")
    parser.add_argument("--csv", type=Path, default=RESULTS / "methods.csv")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--methods", nargs="+", choices=methods, default=methods)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--patches", type=int, help="for all sets, instead of that of each")
    parser.add_argument("--summary", action="store_true", help="write the means, run nothing")
    arguments = parser.parse_args()
    if not arguments.summary and (arguments.data is None or arguments.out is None):
        parser.error("--data and --out are required, unless --summary is given.")
    return arguments


if __name__ == "__main__":
    main()
