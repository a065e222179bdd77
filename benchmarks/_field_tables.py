"""Short tables of the record of `field.py`, for the documentation, and the list of its methods."""

import csv
import io
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _common import write_whole
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
    """Write the means over seeds as CSV, and as tables for the documentation.

    The first table has the AUC of each method, in the order of `_field`, on each data set. One of
    each data set follows, methods by falling AUC.

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
    names = sorted(of_sets, key=list(SETS).index)
    captions = {name: _describe(name, of_sets[name], path) for name in names}
    summaries = {name: _summarise(name, of_sets[name], path) for name in names}
    write(
        [{"set": name, **row} for name in names for row in summaries[name]],
        path.with_name(f"{path.stem}_summary.csv"),
    )
    tables = [_as_table("Pixel AUC", _overview(summaries))]
    tables += [_as_table(captions[name], summaries[name]) for name in names]
    write_whole(
        path.with_name(f"{path.stem}_tables.txt"),
        lambda temporary: temporary.write_text("\n".join(tables)),
    )


def _describe(name: str, rows: list[dict[str, str]], path: Path) -> str:
    """Return the caption of a data set: its images and the budget."""
    counts = {
        column: _only_value(rows, column, name, path)
        for column in ("n_train", "n_defective", "n_test_good", "minutes")
    }
    images = f"{counts['n_train']} good images to train, {counts['n_defective']} defective"
    good = f" and {counts['n_test_good']} good" if counts["n_test_good"] != "0" else ""
    networks = f"; {counts['minutes']} min for each network" if counts["minutes"] else ""
    n_seeds = len({row["seed"] for row in rows})
    return f"{name}: {images}{good} ones to test{networks}; number of seeds: {n_seeds}"


def _overview(summaries: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    aucs = {(name, row["method"]): row["AUC"] for name, rows in summaries.items() for row in rows}
    measured = {method for _, method in aucs}
    return [
        {"method": method, **{name: aucs.get((name, method), "") for name in summaries}}
        for method in METHODS
        if method in measured
    ]


def _as_table(title: str, rows: list[dict[str, Any]]) -> str:
    """Return a table in reStructuredText; columns without any value are left out."""
    columns = [name for name in rows[0] if any(row[name] for row in rows)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    header = f".. csv-table:: {title}\n   :header-rows: 1\n   :class: compact\n\n"
    return header + textwrap.indent(text.getvalue(), "   ")


def _summarise(name: str, rows: list[dict[str, str]], path: Path) -> list[dict[str, Any]]:
    of_methods: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        of_methods[row["method"]].append(row)
    summary = []
    for method, runs in of_methods.items():
        _only_value(runs, "settings", f"{method} on {name}", path)
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


def _only_value(rows: list[dict[str, str]], column: str, runs: str, path: Path) -> str:
    """Return the only value of a column, of the rows that have one; empty if none has."""
    values = sorted({row[column] for row in rows} - {""})
    if len(values) > 1:
        raise SystemExit(
            f"{path} has runs of {runs} that differ in {column}, {' and '.join(values)}: move all "
            "but those of one value into another file."
        )
    return values[0] if values else ""
