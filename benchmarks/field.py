"""Compare the field's systems on real data sets: each trains with the same budget of minutes.

python benchmarks/field.py --data DIR --out FOLDER --sets 01_023 leather --methods ssim gan-after \
    --minutes 2 --seeds 0
python benchmarks/field.py --list
python benchmarks/field.py --summary

DIR contains the folders fabric, leather, kolektor and nanotwice (default: $SK_SSIMAE_DATA). Each
run is a new process that appends a row to --csv; rows that exist are not computed again. Fitted
segmenters are kept in FOLDER. --list prints the methods with their settings. --summary writes the
means over seeds next to the CSV file, and the tables that the documentation includes.

A network trains until --minutes are over: its speed is measured as by `tune`, and ten epochs of as
many patches as fit follow, so that the schedule of the learning rate, and the encoder that
"gan-after" trains last, have their shares. The measurement is not counted. Dictionaries finish.
Good images that a threshold would need train as well: no score here depends on a threshold.

"gan-search", "sparse-dictionary" and "feature-dictionary-napoletano" are slow. They have the finest
of their settings whose segmentation of a set, and that of the training images if it is part of
`fit`, takes at most --limit minutes by the times that --list prints. The column settings tells
which; if even the coarsest takes longer, it is taken.

--max-test tests at most so many defective images, and as many good ones, evenly spaced by name; the
columns n_defective and n_test_good tell how many. Scores, costs and data sets are those of
methods.py; "patches" is the number that a network trained on. "structure_correlation" is that of
reconstructions, near 0 for a network that has learned no texture; "generated_variance" is near 0
for a generator that has collapsed.
"""

import argparse
import functools
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
from _common import describe_machine, peak_mib, write_whole
from _field import METHODS, count_megapixels
from _field_tables import list_methods, summarise
from _rows import append, in_new_process, read, settings_of
from _sets import SETS, Dataset, load
from methods import COSTS, RESULTS, SCORES, score
from sklearn.base import clone

from sk_ssimae.estimators import BaseAutoencoderSegmenter, BaseSegmenter
from sk_ssimae.model_selection._tuning._training import (
    Speed,
    fit_quietly,
    measure,
    speed_of,
)

IDENTITY = ("set", "method", "settings", "minutes", "n_defective", "n_test_good", "seed")
LEARNED = ("epochs", "patches", "structure_correlation", "generated_variance")
COLUMNS = (*IDENTITY, "n_train", *SCORES, *COSTS, *LEARNED, "processor", "threads")


class Run(NamedTuple):
    """One row of the table, as far as the command line says it."""

    set: str
    method: str
    minutes: float
    seed: int
    max_test: int | None
    limit: float
    data: Path

    def dataset(self) -> Dataset:
        """Load the images, as many for testing as requested."""
        return thin(load(self.set, self.data), self.max_test)

    def setting(self) -> dict[str, Any]:
        """Return the parameters of a slow method that suit the data set and the limit."""
        method = METHODS[self.method]
        if not method.settings:
            return {}
        megapixels = _megapixels(self.set, self.data, self.max_test)
        return method.choose(*megapixels, 60 * self.limit).params

    def identity(self) -> dict[str, str]:
        """Return the columns by which a run is recognised."""
        method, dataset = METHODS[self.method], self.dataset()
        settings = settings_of(method.make(self.seed, self.setting()))
        minutes = f"{self.minutes:g}" if method.is_network else ""
        tested = len(dataset.defective), len(dataset.test_good)
        values = self.set, self.method, settings, minutes, *tested, self.seed
        return {name: str(value) for name, value in zip(IDENTITY, values, strict=True)}


def main() -> None:
    """Compute the missing rows, or list methods, or summarise the rows that are there."""
    arguments = parse_arguments()
    if arguments.list:
        print("\n".join(list_methods()))
        return
    if arguments.summary:
        summarise(arguments.csv)
        return
    failures = []
    for run in missing_runs(arguments):
        print(run.set, run.method, run.seed, flush=True)
        try:
            row = in_new_process(execute, run, arguments.out)
        except ValueError as error:
            failures.append(f"{run.set} {run.method} {run.seed}: {error}")
            print("   failed:", error, flush=True)
            continue
        append(row, arguments.csv, COLUMNS)
        shown = (*SCORES, *COSTS, *LEARNED)
        print("  ", *(f"{name} {row[name]}" for name in shown if name in row), flush=True)
    if failures:
        raise SystemExit("\n".join(["Some runs failed, and have no row:", *failures]))


def missing_runs(arguments: argparse.Namespace) -> Iterator[Run]:
    """Yield the requested runs that have no row."""
    for name in arguments.sets:
        for seed in arguments.seeds:
            for method in arguments.methods:
                run = Run(
                    name,
                    method,
                    arguments.minutes,
                    seed,
                    arguments.max_test,
                    arguments.limit,
                    arguments.data,
                )
                identity = run.identity()
                if not any(identity.items() <= row.items() for row in read(arguments.csv)):
                    yield run


def execute(run: Run, folder: Path) -> dict[str, Any]:
    """Train a segmenter, compute its maps and score them."""
    dataset = run.dataset()
    fitted, cost = fit_once(run, dataset.good, folder)
    images = [*dataset.test_good, *dataset.defective]
    start = time.perf_counter()
    maps = fitted.decision_function(images)
    seconds = time.perf_counter() - start
    peak = max(peak_mib(), cost["mib"])  # Before scoring takes more.
    megapixels = sum(residual_map.size for residual_map in maps) / 1e6
    row: dict[str, Any] = run.identity() | {"n_train": len(dataset.good)}
    row |= score(maps, dataset, fitted.opening_diameter)
    row |= {
        "training_seconds": round(cost["seconds"], 2),
        "seconds_per_megapixel": round(seconds / megapixels, 2),
        "peak_mib": round(peak),
    }
    machine = describe_machine()
    row |= {"processor": machine["machine"], "threads": machine["threads"]}
    return row | describe_training(fitted)


def fit_once(run: Run, good: Sequence, folder: Path) -> tuple[BaseSegmenter, dict[str, float]]:
    """Return a fitted segmenter and its cost, from its file or by training.

    Raises
    ------
    ValueError
        If the budget is too short, or the file has a segmenter with other parameters of training.
    """
    method, setting = METHODS[run.method], run.setting()
    later = method.of_inference(setting)
    segmenter = method.make(run.seed, {k: v for k, v in setting.items() if k not in later})
    params = segmenter.get_params()
    budget = f"-{run.minutes:g}" if method.is_network else ""
    path = folder / f"{run.set}-{run.method}{budget}-{run.seed}.joblib"
    if path.exists():
        kept = joblib.load(path)
        changed = sorted(name for name in params if kept["params"].get(name) != params[name])
        if changed:
            raise ValueError(f"{path} was trained with other {', '.join(changed)}: move it away.")
    else:
        cost = fit(segmenter, good, run.minutes)
        kept = {"segmenter": segmenter, "cost": cost, "params": params}
        write_whole(path, lambda temporary: joblib.dump(kept, temporary))
    return kept["segmenter"].set_params(**later), kept["cost"]


def fit(segmenter: BaseSegmenter, good: Sequence, minutes: float) -> dict[str, float]:
    """Fit on all good images, a network for so many minutes; return seconds and peak memory."""
    segmenter.set_params(threshold=0.0)  # A number, for which no images are held out.
    if isinstance(segmenter, BaseAutoencoderSegmenter):
        segmenter.set_params(n_patches=affordable_patches(segmenter, good, 60 * minutes))
    start = time.perf_counter()
    fit_quietly(segmenter, good)
    return {"seconds": time.perf_counter() - start, "mib": peak_mib()}


def affordable_patches(segmenter: BaseAutoencoderSegmenter, good: Sequence, seconds: float) -> int:
    """Return the number of patches per epoch, whole batches, that takes so many seconds in all.

    The speed is that of a training for a tenth of the time: few steps would not show all of a
    training whose steps differ.

    Raises
    ------
    ValueError
        If there is no time for a batch in each epoch.
    """
    batch, epochs = segmenter.batch_size, segmenter.max_epochs

    def n_batches(speed: Speed, share: float = 1) -> int:
        total = speed.patches * (share * seconds - speed.overhead)
        return max(int(total / epochs) // batch, 0)

    measure(segmenter, good[:1])  # The first training of a process is slower.
    speed, _ = measure(segmenter, good)
    pilot = clone(segmenter).set_params(n_patches=max(n_batches(speed, 0.1), 1) * batch)
    start = time.perf_counter()
    fit_quietly(pilot, good)
    speed = speed_of(pilot, time.perf_counter() - start)
    if n_batches(speed) == 0:
        least = speed.seconds(batch * epochs)
        raise ValueError(
            f"--minutes must be at least about {least / 60:.2g} here, for a batch of patches in "
            f"each of {epochs} epochs, got {seconds / 60:.2g} instead."
        )
    return n_batches(speed) * batch


def describe_training(fitted: BaseSegmenter) -> dict[str, Any]:
    """Return epochs, patches and diagnostics of a network, nothing for dictionaries."""
    if not isinstance(fitted, BaseAutoencoderSegmenter):
        return {}
    epochs = len(fitted.history_)
    learned = {"epochs": epochs, "patches": epochs * fitted.n_patches}
    # A search took a single step in fit: that correlation says nothing about it.
    if getattr(fitted, "encoder", None) != "search":
        learned["structure_correlation"] = _rounded(fitted.structure_correlation_)
    if "generated_variance" in fitted.history_[-1]:
        learned["generated_variance"] = _rounded(fitted.history_[-1, "generated_variance"])
    return learned


def thin(dataset: Dataset, most: int | None) -> Dataset:
    """Keep at most so many defective images and good test images, evenly spaced by name."""
    if most is None:
        return dataset
    tested = _evenly_spaced(len(dataset.test_good), most)
    defective = _evenly_spaced(len(dataset.defective), most)
    return Dataset(
        dataset.good,
        [dataset.test_good[i] for i in tested],
        [dataset.defective[i] for i in defective],
        [dataset.masks[i] for i in defective],
    )


def _evenly_spaced(n_items: int, most: int) -> list[int]:
    """Return the middles of as many equal parts of a range as requested."""
    n_parts = min(n_items, most)
    return [(2 * part + 1) * n_items // (2 * n_parts) for part in range(n_parts)]


@functools.cache
def _megapixels(name: str, data: Path, max_test: int | None) -> tuple[float, float]:
    """Return the megapixels of test images and of training images of a data set."""
    dataset = thin(load(name, data), max_test)
    tested = count_megapixels([*dataset.test_good, *dataset.defective])
    return tested, count_megapixels(dataset.good)


def _rounded(value: float | None) -> float | str:
    return "" if value is None else round(value, 3)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sets = [name for name in SETS if name not in ("kolektor", "nanotwice-choosing")]
    parser.add_argument("--data", type=Path, default=os.environ.get("SK_SSIMAE_DATA"))
    parser.add_argument("--out", type=Path, help="folder of the fitted segmenters")
    parser.add_argument("--csv", type=Path, default=RESULTS / "field.csv")
    parser.add_argument("--sets", nargs="+", choices=sets, default=sets)
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--minutes", type=positive, default=2, help="budget of each network")
    parser.add_argument("--limit", type=positive, default=5, help="minutes to segment a set")
    parser.add_argument("--max-test", type=at_least_1, help="defective images of each set")
    parser.add_argument("--list", action="store_true", help="print the methods, run nothing")
    parser.add_argument("--summary", action="store_true", help="write the means, run nothing")
    arguments = parser.parse_args()
    is_run = not (arguments.list or arguments.summary)
    if is_run and (arguments.data is None or arguments.out is None):
        parser.error("--data and --out are required, unless --list or --summary is given.")
    return arguments


def positive(text: str) -> float:
    """Read a number above 0."""
    number = float(text)
    if not (number > 0 and np.isfinite(number)):
        raise argparse.ArgumentTypeError(f"must be above 0, got {text} instead.")
    return number


def at_least_1(text: str) -> int:
    """Read an integer of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text} instead.")
    return number


if __name__ == "__main__":
    main()
