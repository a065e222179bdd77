"""Compare precisions of training on real images: accuracy and time, one row a run in a CSV file.

python benchmarks/precision.py --data DIR --out FOLDER --sets 02_006 01_023 --seeds 0 1
python benchmarks/precision.py --summary

DIR contains the folders fabric, leather, kolektor and nanotwice (default: $SK_SSIMAE_DATA). Each
run trains `SSIMAutoencoderSegmenter` with its defaults on the number of patches of the data set or
--patches, in each precision. Precisions take turns, so that other work on the machine affects both.
Trained segmenters are kept in FOLDER; runs whose row is in --csv are not computed again. Scores are
those of `benchmarks/methods.py`. --summary writes, next to the file, the differences of bf16 from
float32 for the same seed beside the range of float32 over seeds; the documentation shows them.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _common import train_once
from _rows import RESULTS, append, read, write
from _sets import SETS, load
from methods import Run, make, score

IDENTITY = ("set", "precision", "patches", "seed")
SCORES = ("last_loss", "pixel_roc_auc", "pro_auc")
COLUMNS = (*IDENTITY, *SCORES, "training_seconds", "processor", "threads")


def main() -> None:
    """Compute the missing rows."""
    arguments = parse_arguments()
    if arguments.summary:
        path = arguments.csv
        write(summarise(read(path)), path.with_name(f"{path.stem}_table.csv"))
        return
    for run, precision in missing_runs(arguments):
        row = measure(run, precision, arguments.data, arguments.out)
        append(row, arguments.csv, COLUMNS)
        print("  ".join(f"{name} {row[name]}" for name in COLUMNS if name in row), flush=True)


def missing_runs(arguments: argparse.Namespace) -> Iterator[tuple[Run, str]]:
    """Yield the requested runs that have no row, and the precision of each."""
    for seed in arguments.seeds:
        for name in arguments.sets:
            for precision in arguments.precisions:
                run = Run(name, "ssim", arguments.patches or SETS[name].patches, seed)
                identity = identify(run, precision)
                if not any(identity.items() <= row.items() for row in read(arguments.csv)):
                    yield run, precision


def identify(run: Run, precision: str) -> dict[str, str]:
    """Return the columns by which a run is recognised."""
    values = run.set, precision, run.patches, run.seed
    return {name: str(value) for name, value in zip(IDENTITY, values, strict=True)}


def measure(run: Run, precision: str, data: Path, folder: Path) -> dict[str, Any]:
    """Train in a precision, compute the maps of defective images and score them."""
    dataset = load(run.set, data)
    path = folder / f"{run.set}-{precision}-{run.patches}-{run.seed}.joblib"
    unfitted = make(run, "ssim").set_params(precision=precision)
    segmenter, machine, cost = train_once(unfitted, dataset.good, path)
    maps = segmenter.decision_function([*dataset.test_good, *dataset.defective])
    scores = score(maps, dataset, segmenter.opening_diameter)
    row = identify(run, precision) | {
        "last_loss": round(segmenter.history_[-1, "train_loss"], 5),
        "pixel_roc_auc": scores["pixel_roc_auc"],
        "pro_auc": scores["pro_auc"],
        "processor": machine["machine"],
        "threads": machine["threads"],
    }
    if cost:  # Else the fit was resumed, whose seconds are not known.
        row["training_seconds"] = round(cost["seconds"], 1)
    return row


def summarise(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the differences of each data set that has both precisions."""
    summary = []
    for name in dict.fromkeys(row["set"] for row in rows):
        by_precision: dict[str, dict[str, dict[str, str]]] = {"float32": {}, "bf16": {}}
        for row in rows:
            if row["set"] == name and row["precision"] in by_precision:
                by_precision[row["precision"]][row["seed"]] = row
        seeds = sorted(by_precision["float32"].keys() & by_precision["bf16"].keys())
        if not seeds:
            continue
        line = {"set": name, "seeds": str(len(seeds))}
        for label, column in {"AUC": "pixel_roc_auc", "PRO": "pro_auc"}.items():
            full, half = (
                [float(by_precision[precision][seed][column]) for seed in seeds]
                for precision in ("float32", "bf16")
            )
            changes = [b - a for a, b in zip(full, half, strict=True)]
            line[f"{label}, bf16 - float32"] = f"{min(changes):+.4f} to {max(changes):+.4f}"
            line[f"{label}, range of float32"] = f"{max(full) - min(full):.4f}"
        summary.append(line)
    return summary


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = os.environ.get("SK_SSIMAE_DATA")
    parser.add_argument("--data", type=Path, default=folder)
    parser.add_argument("--out", type=Path, help="folder of the trained segmenters")
    parser.add_argument("--csv", type=Path, default=RESULTS / "precision.csv")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=["02_006", "01_023"])
    parser.add_argument("--precisions", nargs="+", default=["float32", "bf16"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--patches", type=int, help="for all sets, instead of that of each")
    parser.add_argument("--summary", action="store_true", help="write the table, run nothing")
    arguments = parser.parse_args()
    if not arguments.summary and (arguments.data is None or arguments.out is None):
        parser.error("--data and --out are required, unless --summary is given.")
    return arguments


if __name__ == "__main__":
    main()
