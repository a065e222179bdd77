"""Time the pixel ROC AUC by the instructions with which NumPy sorts, and scikit-learn's beside it.

python benchmarks/metrics_sort.py [--megapixels 4] [--csv benchmarks/results/metrics_sort.csv]

Most of the time of the score is sorting, and np.sort is ten times as fast with AVX2 or AVX-512 as
without. A process is started for each kind of instructions that this processor has, with the others
switched off (NPY_DISABLE_CPU_FEATURES). Times are those of the processor: the shortest of three,
and one of scikit-learn's.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _common import describe_machine
from metrics import SHAPE, make_maps
from sklearn.metrics import roc_auc_score

from sk_ssimae.metrics import pixel_roc_auc_score

COLUMNS = ("instructions", "sort_ns", "seconds", "seconds_scikit_learn", "ratio", "processor")


def main() -> None:
    """Time in a process for each kind of instructions, and write the table."""
    arguments = parse_arguments()
    if arguments.as_json:
        print(json.dumps(measure(arguments.megapixels)))
        return
    rows = []
    for name, features in disabled_by_instructions().items():
        command = [sys.executable, __file__, "--as-json", f"--megapixels={arguments.megapixels}"]
        environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(features)}
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        rows.append({"instructions": name, **json.loads(done.stdout)})
        print(rows[-1], flush=True)
    if arguments.csv:
        with arguments.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def disabled_by_instructions() -> dict[str, list[str]]:
    """Return the features that NumPy must not use, by the best instructions that remain."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    found = [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]
    wide = [name for name in found if name.startswith("AVX512") or name == "X86_V4"]
    kinds = {"AVX-512": [], "AVX2": wide} if wide else {"AVX2": []}
    return kinds | {"neither": found}


def measure(megapixels: float) -> dict:
    """Time sorting and both scores in this process."""
    masks, maps = make_maps(round(megapixels * 1e6 / (SHAPE[0] * SHAPE[1])))
    ours = processor_seconds(lambda: pixel_roc_auc_score(masks, maps))
    theirs = processor_seconds(lambda: roc_auc_score(masks.ravel(), maps.ravel()), n_calls=1)
    return {
        "sort_ns": round(1e9 * processor_seconds(lambda: np.sort(maps, axis=None)) / maps.size, 1),
        "seconds": round(ours, 3),
        "seconds_scikit_learn": round(theirs, 2),
        "ratio": round(theirs / ours, 1),
        "processor": describe_machine()["machine"],
    }


def processor_seconds(compute: Callable[[], object], n_calls: int = 3) -> float:
    """Return the shortest processor time of some calls."""
    times = []
    for _ in range(n_calls):
        start = time.process_time()
        compute()
        times.append(time.process_time() - start)
    return min(times)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megapixels", type=float, default=4)
    parser.add_argument("--csv", type=Path, help="file for the table")
    parser.add_argument("--as-json", action="store_true", help="time in this process alone")
    return parser.parse_args()


if __name__ == "__main__":
    main()
