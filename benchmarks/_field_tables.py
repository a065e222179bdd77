"""Short tables of the record of `field.py`, for the documentation, and the list of its methods."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _field import METHODS, PUBLISHED
from _rows import mean, read, settings_of, write
from _sets import SETS


def list_methods() -> Iterator[str]:
    """Yield the name and settings of each method, and of slow ones the settings to choose from."""
    for name, method in METHODS.items():
        yield f"{name}: {settings_of(method.make(0, {}))}"
        for params, seconds in method.settings:
            values = ", ".join(f"{key}={value}" for key, value in params.items())
            passed = "to segment or to fit" if method.fits_slowly else "to segment"
            yield f"    {values}: about {seconds:g} s per megapixel {passed}"


def summarise(path: Path) -> None:
    """Write the means over seeds: all in one table, one of each data set, and one of budgets.

    Data sets are in the order of `_sets`, methods by falling AUC.

    Raises
    ------
    SystemExit
        If there are no rows, runs of a data set differ in the budget or the images, or those of a
        method also in its settings.
    """
    of_sets: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in read(path):
        of_sets[row["set"]].append(row)
    if not of_sets:
        raise SystemExit(f"{path} has no rows: run the methods first.")
    summary, budgets = [], []
    for name in sorted(of_sets, key=list(SETS).index):
        rows = of_sets[name]
        (minutes,) = _same(rows, "minutes", name, path) or [""]
        budgets.append(
            {
                "set": name,
                "minutes": minutes,
                "good images to train": rows[0]["n_train"],
                "defective images": _same(rows, "n_defective", name, path)[0],
                "good test images": _same(rows, "n_test_good", name, path)[0],
                "seeds": len({row["seed"] for row in rows}),
            }
        )
        of_set = list(_summarise(name, rows, path))
        write(of_set, _beside(path, name))
        summary += [{"set": name, **row} for row in of_set]
    write(summary, _beside(path))
    write(budgets, _beside(path, "sets"))


def _summarise(name: str, rows: list[dict[str, str]], path: Path) -> list[dict[str, Any]]:
    of_methods: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        of_methods[row["method"]].append(row)
    summary = []
    for method, runs in of_methods.items():
        _same(runs, "settings", f"{name} by {method}", path)
        published = PUBLISHED.get((name, method))
        scores = {
            "method": method,
            "AUC": mean(runs, "pixel_roc_auc", 3),
            "published": published and f"{published.pixel_roc_auc} ({published.source})",
            "PRO": mean(runs, "pro_auc", 3),
            "image AUC": mean(runs, "image_roc_auc", 3),
            "image AP": mean(runs, "image_average_precision", 3),
            "structure": mean(runs, "structure_correlation", 2),
            "patches": mean(runs, "patches", 0),
            "fit, s": mean(runs, "training_seconds", 0),
            "s/Mpx": mean(runs, "seconds_per_megapixel", 1),
            "MiB": mean(runs, "peak_mib", 0),
        }
        summary.append(scores)
    return sorted(summary, key=lambda row: -float(row["AUC"]))


def _same(rows: list[dict[str, str]], column: str, what: str, path: Path) -> list[str]:
    """Return the only value of a column, none if it is empty everywhere."""
    values = sorted({row[column] for row in rows} - {""})
    if len(values) > 1:
        raise SystemExit(
            f"{path} has runs of {what} that differ in {column}, {' and '.join(values)}: move all "
            "but those of one value into another file."
        )
    return values


def _beside(path: Path, part: str = "") -> Path:
    return path.with_name("_".join(filter(None, [path.stem, "summary", part])) + ".csv")
