"""How well painted defects choose settings: ranks on painted and on real defects.

python benchmarks/selection.py --data DIR --out FOLDER --sets leather 01_023 --seeds 0
python benchmarks/selection.py --summary

DIR contains the folders fabric, leather, kolektor and nanotwice (default: $SK_SSIMAE_DATA). Of each
set, two thirds of the good images train every configuration. Defects are painted into the others,
as `make_selection_set` does, and `FamilyScorer` scores each family of them. A configuration is one
of 12 trainings with settings of inference, or an ensemble of two trainings. Scores of real defects
judge the choice and have no part in it.

A row of --csv is a configuration. Rows that exist are not computed again. --summary computes from
these rows Kendall's τ between both rankings and the regret, the score of the best configuration on
real defects minus that of the chosen one, beside the regrets of the default and of a random choice,
and writes them next to the file; the documentation shows them. Intervals come from resampled images
of real defects, whose curves are in FOLDER; without --out there are none.
"""

import argparse
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _common import N_EPOCHS, PATCHES_OF_PAPER
from _curves import Curves
from _rows import RESULTS, append
from _rows import read as read_rows
from _selection_tables import summarise
from _sets import CHOOSING_IMAGES, SETS, Dataset, load, object_of
from skimage.io import imread
from sklearn.base import clone

from sk_ssimae import (
    FeatureDictionarySegmenter,
    L2AutoencoderSegmenter,
    PatchDictionarySegmenter,
    SSIMAutoencoderSegmenter,
    VariationalAutoencoderSegmenter,
)
from sk_ssimae._inference._decision import smooth, smoothing_sigma
from sk_ssimae.estimators import BaseAutoencoderSegmenter, BaseSegmenter
from sk_ssimae.model_selection import FamilyScorer, SelectionSet, make_selection_set

N_PATCHES = 12_000
# Classes, the parameters that differ from their defaults, and the settings of inference.
WIDTHS: tuple[dict[str, Any], ...] = ({"smoothing": 0.5}, {"smoothing": 1}, {"smoothing": 2})
TAPERS: tuple[dict[str, Any], ...] = ({}, {"taper": 1.0})
Settings = Sequence[dict[str, Any]]
TRAININGS: dict[str, tuple[type[BaseSegmenter], dict[str, Any], Settings]] = {
    "patches": (PatchDictionarySegmenter, {}, WIDTHS),
    "patches-plain": (PatchDictionarySegmenter, {"contrast_sigma": 0}, WIDTHS),
    "coarse": (PatchDictionarySegmenter, {"scales": (2, 4, 8), "stride": 8}, WIDTHS),
    "patches-half": (PatchDictionarySegmenter, {"image_size": 0.5}, ({},)),
    "features": (FeatureDictionarySegmenter, {}, WIDTHS),
    "ssim": (
        SSIMAutoencoderSegmenter,
        {},
        (
            *({**taper, **width} for taper in TAPERS for width in WIDTHS),
            {"absolute_weight": 3.0},
            {"absolute_weight": 10.0},
        ),
    ),
    "ssim-cutout": (SSIMAutoencoderSegmenter, {"cutout": 0.25}, TAPERS),
    "ssim-latent": (SSIMAutoencoderSegmenter, {"latent_dim": 200}, ({},)),
    "ssim-window": (SSIMAutoencoderSegmenter, {"window_size": 7}, ({},)),
    "ssim-128": (SSIMAutoencoderSegmenter, PATCHES_OF_PAPER, ({},)),
    "ssim-half": (SSIMAutoencoderSegmenter, {"image_size": 0.5}, ({},)),
    "l2": (L2AutoencoderSegmenter, {}, (*WIDTHS, {"taper": 1.0})),
    "variational": (VariationalAutoencoderSegmenter, {}, ({},)),
}
# Sums of the calibrated maps of trainings with default settings.
ENSEMBLES = (
    *("ssim+patches", "ssim+features", "patches+features"),
    *("patches+patches-plain", "ssim+patches+features"),
    *("patches+coarse", "features+coarse", "ssim+coarse", "patches+features+coarse"),
    *("ssim+patches+coarse", "ssim+features+coarse", "ssim+patches+features+coarse"),
)
# That of the command line.
DEFAULT = "ssim+patches+coarse"
# Good images that are painted with each family: large images are few and take longer.
N_PAINTED = {"kolektor-images": 4, "nanotwice": 2}
IDENTITY = ("set", "seed", "configuration")
REAL = ("pixel_roc_auc", "pro_auc")


class Problem(NamedTuple):
    """A data set, and the painted images that configurations are chosen on."""

    name: str
    seed: int
    dataset: Dataset
    training: list[Any]
    selection: SelectionSet


def main() -> None:
    """Compute the missing rows, or summarise those that are there."""
    arguments = parse_arguments()
    if arguments.summary:
        summarise(arguments.csv, arguments.out, DEFAULT)
        return
    for name, seed in itertools.product(arguments.sets, arguments.seeds):
        done = {row["configuration"] for row in read(arguments.csv, name, seed)}
        if done.issuperset([*itertools.chain(*map(names, TRAININGS)), *ENSEMBLES]):
            continue
        problem = pose(name, seed, arguments.data)
        for row in measure(problem, arguments.out, done):
            if row["configuration"] not in done:
                append(row, arguments.csv)
                print(*(row[key] for key in (*IDENTITY, "painted", *REAL)), flush=True)


def pose(name: str, seed: int, data: Path) -> Problem:
    """Load a data set and paint defects into a third of its good images, which train nothing."""
    dataset = load(name, data)
    objects = np.array(
        [object_of(file) if SETS[name].n_test_objects else file.stem for file in dataset.good]
    )
    order = np.random.default_rng(seed).permutation(np.unique(objects))
    held_out = order[: max(2, round(len(order) / 3))]
    held = [
        imread(file) for file, each in zip(dataset.good, objects, strict=True) if each in held_out
    ]
    training = [
        file for file, each in zip(dataset.good, objects, strict=True) if each not in held_out
    ]
    groups = objects[np.isin(objects, held_out)]
    n_painted = min(len(held), N_PAINTED.get(name, 8))
    selection = make_selection_set(held, n_per_family=n_painted, groups=groups, random_state=seed)
    if name == "nanotwice":  # Recipes were chosen on some images.
        kept = [i for i in range(len(dataset.defective)) if i not in CHOOSING_IMAGES]
        dataset = dataset._replace(
            defective=[dataset.defective[i] for i in kept], masks=[dataset.masks[i] for i in kept]
        )
    return Problem(name, seed, dataset, training, selection)


def names(training: str) -> list[str]:
    """Return the names of the configurations of a training."""
    settings = TRAININGS[training][2]
    return [" ".join([training, *(f"{k}={v}" for k, v in each.items())]) for each in settings]


def measure(problem: Problem, out: Path, done: set[str]) -> Iterator[dict[str, Any]]:
    """Yield a row for each configuration, but for trainings of which nothing is missing."""
    scorer = FamilyScorer(problem.selection)
    of_members: dict[str, tuple[list[Any], list[Any]]] = {}
    missing = [ensemble for ensemble in ENSEMBLES if ensemble not in done]
    needed = {member for ensemble in missing for member in ensemble.split("+")}
    for training, (_, _, settings) in TRAININGS.items():
        if done.issuperset(names(training)) and training not in needed:
            continue
        segmenter = make(problem, training)
        start = time.perf_counter()
        segmenter.fit(problem.training)
        seconds = time.perf_counter() - start
        tail = segmenter.tail_
        raw: dict[str, tuple[list[Any], list[Any]]] = {}
        for name, setting in zip(names(training), settings, strict=True):
            forward = {k: v for k, v in setting.items() if k != "smoothing"}
            if repr(forward) not in raw:
                raw = {repr(forward): compute(segmenter, problem, forward)}
            width = setting.get("smoothing", 1)
            painted, real = (
                [smooth(each, width * smoothing_sigma("auto", each.shape)) for each in maps]
                for maps in raw[repr(forward)]
            )
            if not forward and width == 1:
                of_members[training] = tuple(
                    [tail.surprise(each) for each in maps] for maps in (painted, real)
                )
            row = {"training_seconds": round(seconds, 1)}
            correlation = getattr(segmenter, "structure_correlation_", None)
            row |= {} if correlation is None else {"structure_correlation": round(correlation, 3)}
            yield score(problem, name, painted, real, scorer, out) | row
    for ensemble in missing:
        members = [of_members[member] for member in ensemble.split("+")]
        painted, real = (
            [np.sum(of_image, axis=0) for of_image in zip(*maps, strict=True)]
            for maps in zip(*members, strict=True)
        )
        yield score(problem, ensemble, painted, real, scorer, out)


def make(problem: Problem, training: str) -> BaseSegmenter:
    """Make the unfitted segmenter of a training."""
    segmenter_class, changes, _ = TRAININGS[training]
    changes = dict(changes)
    if issubclass(segmenter_class, BaseAutoencoderSegmenter):
        patches = N_PATCHES
        if training == "ssim-128":
            patches //= 2
            changes["latent_dim"] = SETS[problem.name].latent_dim
        changes |= {"n_patches": patches // N_EPOCHS, "max_epochs": N_EPOCHS}
    if "image_size" in changes:
        height, width = imread(problem.training[0]).shape[:2]
        changes["image_size"] = (height // 2, width // 2)
    return segmenter_class(random_state=problem.seed, **changes)


def compute(
    segmenter: BaseSegmenter, problem: Problem, setting: dict[str, Any]
) -> tuple[list[Any], list[Any]]:
    """Compute the maps of painted and of real images, not smoothed."""
    configured = clone(segmenter)
    segmenter.set_params(**setting, smoothing=0)
    maps = (
        list(segmenter.decision_function(problem.selection.X)),
        list(segmenter.decision_function(problem.dataset.defective)),
    )
    segmenter.set_params(**configured.get_params())
    return maps


def score(
    problem: Problem,
    name: str,
    painted: list[Any],
    real: list[Any],
    scorer: FamilyScorer,
    out: Path,
) -> dict[str, Any]:
    """Score the maps of painted and of real images; keep the curves of the latter."""
    families = scorer(_Computed(painted), *problem.selection)
    curves = Curves.of_images(problem.dataset.masks, real)
    curves.save(out / f"{problem.name}-{problem.seed}-{name}.npz")
    scores = dict(zip(REAL, curves.scores(), strict=True)) | families
    row = dict(zip(IDENTITY, (problem.name, problem.seed, name), strict=True))
    row |= {key: round(value, 4) for key, value in scores.items()}
    return row | {"painted": round(float(np.mean(list(families.values()))), 4)}


class _Computed:
    """A segmenter whose maps are computed."""

    def __init__(self, maps: list[Any]) -> None:
        self._maps = maps

    def decision_function(self, X: Any) -> list[Any]:
        """Return the maps."""
        return self._maps


def read(path: Path, name: str | None = None, seed: int | None = None) -> list[dict[str, str]]:
    """Read the rows of a table, or those of a data set; none if the file does not exist."""
    rows = read_rows(path)
    return [row for row in rows if name is None or (row["set"], row["seed"]) == (name, str(seed))]


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sets = [name for name in SETS if name not in ("kolektor", "nanotwice-choosing")]
    parser.add_argument("--data", type=Path, default=os.environ.get("SK_SSIMAE_DATA"))
    parser.add_argument("--out", type=Path, help="folder of the curves")
    parser.add_argument("--csv", type=Path, default=RESULTS / "selection.csv")
    parser.add_argument("--sets", nargs="+", choices=sets, default=sets)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--summary", action="store_true", help="write the tables, run nothing")
    arguments = parser.parse_args()
    if not arguments.summary and (arguments.data is None or arguments.out is None):
        parser.error("--data and --out are required, unless --summary is given.")
    return arguments


if __name__ == "__main__":
    main()
