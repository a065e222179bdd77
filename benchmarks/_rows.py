"""Tables in CSV files whose rows are measurements, each written completely or not at all."""

import csv
import itertools
from collections.abc import Callable, Iterable, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from _common import write_whole

from sk_ssimae.estimators import BaseSegmenter

# Folder of the records that the documentation shows.
RESULTS = Path(__file__).parent / "results"


def read(path: Path) -> list[dict[str, str]]:
    """Read the rows of a table, none if the file does not exist."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write(rows: Sequence[dict[str, Any]], path: Path, columns: Sequence[str] = ()) -> None:
    """Write a table; columns that are not named follow those that are."""
    columns = list(dict.fromkeys(itertools.chain(columns, *rows)))

    def write_rows(temporary: Path) -> None:
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    write_whole(path, write_rows)


def append(row: dict[str, Any], path: Path, columns: Sequence[str] = ()) -> None:
    """Append a row to a table."""
    write([*read(path), row], path, columns)


def write_each(
    rows: Iterable[dict[str, Any]], path: Path, before: Iterable[dict[str, Any]] = ()
) -> None:
    """Print each row, and write it with those before: a run that is killed loses at most one."""
    done = [*before]
    for row in rows:
        done.append(row)
        write(done, path)
        print(*row.values(), flush=True)


def mean(rows: Sequence[dict[str, str]], name: str, digits: int) -> str:
    """Return the mean of a column, without the rows that have no value; empty if none has."""
    values = [float(row[name]) for row in rows if row.get(name)]
    return f"{np.mean(values):z.{digits}f}" if values else ""  # Without the sign of -0.


def settings_of(segmenter: BaseSegmenter) -> str:
    """Return a segmenter with the parameters that differ from their defaults, on one line."""
    return " ".join(repr(segmenter.set_params(random_state=None)).split())


def in_new_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result of a function in a process of its own, whose peak of memory is its own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)
