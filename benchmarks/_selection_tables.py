"""Tables of the records of selection.py: agreement of rankings, and the regret of a choice."""

import csv
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from _common import write_whole
from _curves import Curves
from scipy.stats import kendalltau

from sk_ssimae.exceptions import SelectionWarning
from sk_ssimae.model_selection import SelectionReport
from sk_ssimae.model_selection._tuning._outcomes import N_KINDS

REAL = {"AUC": "pixel_roc_auc", "PRO": "pro_auc"}
_OTHERS = {"set", "seed", "configuration", "painted", "training_seconds", "structure_correlation"}
_DICTIONARIES = ("patches", "coarse", "features")
_N_RESAMPLINGS = 1000


def summarise(path: Path, curves: Path | None, default: str) -> None:
    """Write two tables beside the records: one row per data set and seed, and one per family.

    Parameters
    ----------
    path : Path
        CSV file of the records.
    curves : Path or None
        Folder of the curves of real defects. None leaves the intervals out.
    default : str
        Configuration that a user has without a choice.
    """
    groups: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            groups[row["set"], row["seed"]].append(row)
    choices = [_choice(*group, rows, default) for group, rows in groups.items()]
    _write(path.with_name(f"{path.stem}_table.csv"), choices)
    if curves is not None:
        gains = [_gain(*group, rows, curves, default) for group, rows in groups.items()]
        _write(path.with_name(f"{path.stem}_gains.csv"), gains)
    _write(path.with_name(f"{path.stem}_families.csv"), _by_family(groups))


def _choice(name: str, seed: str, rows: list[dict[str, str]], default: str) -> dict[str, Any]:
    """Compare the choice by painted defects with the best, the default and a random one.

    Cells of scores contain AUC and PRO on real defects.
    """
    report = _report(rows)
    names = [row["configuration"] for row in rows]
    chosen, usual = report.best_index, names.index(default)
    scores = np.array([[float(row[column]) for column in REAL.values()] for row in rows])
    best = scores.max(axis=0)
    taus = [kendalltau(-report.mean_ranks, column).statistic for column in scores.T]
    return {
        "set": name,
        "seed": seed,
        "chosen": names[chosen].replace("+", " + "),
        "scores": _cell(scores[chosen]),
        "best": _cell(best),
        "regret": _cell(best - scores[chosen]),
        "ready": _cell(best - scores[usual]),
        "random": _cell(best - scores.mean(axis=0)),
        "τ": _cell(taus, 2),
    }


def _gain(
    name: str, seed: str, rows: list[dict[str, str]], curves: Path, default: str
) -> dict[str, Any]:
    """Return how far the chosen configuration is above the default, with images resampled."""
    names = [row["configuration"] for row in rows]
    files = [curves / f"{name}-{seed}-{configuration}.npz" for configuration in names]
    chosen, usual = _report(rows).best_index, names.index(default)
    intervals = _intervals([Curves.load(file) for file in files], chosen, usual)
    return {"set": name, "seed": seed, "chosen": names[chosen], **intervals}


def _cell(numbers: Iterable[float], digits: int = 3) -> str:
    return " ".join(f"{number:.{digits}f}".replace("0.", ".") for number in numbers)


def _intervals(curves: list[Curves], chosen: int, usual: int) -> dict[str, str]:
    """Return the middle 90 % of the gain over the default, images of real defects resampled."""
    rng = np.random.default_rng(0)
    n_images = len(curves[0].good)
    gains = []
    for _ in range(_N_RESAMPLINGS):
        images = rng.integers(n_images, size=n_images)
        gains.append(np.subtract(curves[chosen].scores(images), curves[usual].scores(images)))
    low, high = np.quantile(gains, (0.05, 0.95), axis=0)
    return {
        f"{label} gain, 90 %": f"{low[i]:+.3f} to {high[i]:+.3f}" for i, label in enumerate(REAL)
    }


def _by_family(groups: dict[tuple[str, str], list[dict[str, str]]]) -> Iterable[dict[str, Any]]:
    """Return τ of each family with real defects, and the regret of a choice by it alone."""
    for (name, seed), rows in groups.items():
        report = _report(rows)
        for family, ranks in zip(report.families, report.ranks.T, strict=True):
            row: dict[str, Any] = {"set": name, "seed": seed, "family": family}
            best = int(np.lexsort((report.mean_ranks, ranks))[0])
            for label, column in REAL.items():
                scores = np.array([float(row[column]) for row in rows])
                row[f"{label} τ"] = f"{kendalltau(-ranks, scores).statistic:.2f}"
                row[f"{label} regret"] = f"{scores.max() - scores[best]:.3f}"
            yield row


def _report(rows: list[dict[str, str]]) -> SelectionReport:
    families = [key for key in rows[0] if key not in _OTHERS and key not in REAL.values()]
    scores = {family: [float(row[family]) for row in rows] for family in families}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SelectionWarning)  # The table of families shows it.
        return SelectionReport.from_scores(
            scores,
            [{"configuration": row["configuration"]} for row in rows],
            eligible=[_n_kinds(row["configuration"]) >= N_KINDS for row in rows],
        )


def _n_kinds(configuration: str) -> int:
    """Count the kinds of segmenters that a configuration combines, as `tune` does."""
    names = [re.split("[- ]", part)[0] for part in configuration.split("+")]
    return len({name if name in _DICTIONARIES else "autoencoder" for name in names})


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    rows = list(rows)

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    write_whole(path, write)
