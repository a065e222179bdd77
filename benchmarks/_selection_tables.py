"""Tables of the records of selection.py: agreement of rankings, and the regret of a choice."""

import re
import warnings
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from _curves import Curves
from _rows import read, write
from scipy.stats import kendalltau

from sk_ssimae.exceptions import SelectionWarning
from sk_ssimae.model_selection import SelectionReport
from sk_ssimae.model_selection._tuning._outcomes import N_KINDS

REAL = {"AUC": "pixel_roc_auc", "PRO": "pro_auc"}
_OTHERS = {"set", "seed", "configuration", "painted", "training_seconds", "structure_correlation"}
_DICTIONARIES = ("patches", "coarse", "features")
_N_RESAMPLINGS = 1000
# Records by set and seed.
Groups = dict[tuple[str, str], list[dict[str, str]]]


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

    Raises
    ------
    SystemExit
        If there are no records.
    """
    groups: Groups = defaultdict(list)
    for row in read(path):
        groups[row["set"], row["seed"]].append(row)
    if not groups:
        raise SystemExit(f"{path} has no rows: run the configurations first.")
    # The sets in the order of the records, each with all of its seeds.
    order = list(dict.fromkeys(name for name, _ in groups))
    groups = dict(sorted(groups.items(), key=lambda group: (order.index(group[0][0]), group[0][1])))
    choices = [_choice(*group, rows, default) for group, rows in groups.items()]
    write(choices, path.with_name(f"{path.stem}_table.csv"))
    if curves is not None:
        _update_gains(groups, path.with_name(f"{path.stem}_gains.csv"), curves, default)
    write([*_by_family(groups)], path.with_name(f"{path.stem}_families.csv"))


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


def _update_gains(groups: Groups, path: Path, curves: Path, default: str) -> None:
    """Write the gains of groups whose curves are in the folder, and keep those of others."""
    kept = {(row["set"], row["seed"]): row for row in read(path)}
    for (name, seed), rows in groups.items():
        if (curves / f"{name}-{seed}-{default}.npz").exists():
            kept[name, seed] = _gain(name, seed, rows, curves, default)
    write([kept[group] for group in groups if group in kept], path)


def _gain(
    name: str, seed: str, rows: list[dict[str, str]], curves: Path, default: str
) -> dict[str, Any]:
    """Return how far the chosen configuration is above the default, with images resampled."""
    chosen = rows[_report(rows).best_index]["configuration"]
    files = [curves / f"{name}-{seed}-{configuration}.npz" for configuration in (chosen, default)]
    return {"set": name, "seed": seed, "chosen": chosen, **_intervals(*map(Curves.load, files))}


def _cell(numbers: Iterable[float], digits: int = 3) -> str:
    return " ".join(f"{number:.{digits}f}".replace("0.", ".") for number in numbers)


def _intervals(chosen: Curves, default: Curves) -> dict[str, str]:
    """Return the middle 90 % of the gain over the default, images of real defects resampled."""
    rng = np.random.default_rng(0)
    n_images = len(chosen.good)
    gains = []
    for _ in range(_N_RESAMPLINGS):
        images = rng.integers(n_images, size=n_images)
        gains.append(np.subtract(chosen.scores(images), default.scores(images)))
    low, high = np.quantile(gains, (0.05, 0.95), axis=0)
    return {
        f"{label} gain, 90 %": f"{low[i]:+.3f} to {high[i]:+.3f}" for i, label in enumerate(REAL)
    }


def _by_family(groups: Groups) -> Iterable[dict[str, Any]]:
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
