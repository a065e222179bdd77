"""Short tables of the records of `verdict.py` and `drift.py`, for the documentation."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from _rows import read, write

Row = dict[str, str]
SUM = ("good", "good_flagged", "defective", "defective_found", "regions", "regions_found")


def write_tables(folder: Path) -> None:
    """Write one short table for each record of a folder that exists."""
    for name, summarize in (("", _real), ("_synthetic", _synthetic), ("_bands", _bands)):
        record = folder / f"verdict{name}.csv"
        if not record.exists():
            continue
        _rewrite(record, summarize, folder / f"verdict{name}_table.csv")


def write_drift_table(folder: Path) -> None:
    """Write a short table of `drift.csv`."""
    _rewrite(folder / "drift.csv", _drift, folder / "drift_table.csv")


def _rewrite(record: Path, summarize: Callable[[list[Row]], Iterable[Row]], table: Path) -> None:
    write([*summarize(read(record))], table)


def _real(rows: list[Row]) -> Iterable[Row]:
    """Sum counts and average scores over the splits of a set, before, where known, and after."""
    of_set: dict[tuple[str, str], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        of_set[row["set"], row["method"]][row["defaults"]].append(row)
    for (name, method), runs in of_set.items():
        summed = [
            {key: sum(int(row[key]) for row in runs[when]) for key in SUM}
            | {key: _mean(runs[when], key) for key in ("image_auc", "iou", "f1")}
            for when in ("before", "after")
            if when in runs
        ]
        yield {
            "set": name,
            "method": method,
            "image AUC": f"{summed[-1]['image_auc']:.2f}",
            "good flagged": _change(summed, "good_flagged", "good"),
            "defective found": _change(summed, "defective_found", "defective"),
            "IoU": " → ".join(f"{each['iou']:.2f}" for each in summed),
            "F1": " → ".join(f"{each['f1']:.2f}" for each in summed),
            "regions found": _change(summed, "regions_found", "regions"),
        }


def _synthetic(rows: list[Row]) -> Iterable[Row]:
    yield from _shares(rows, "images held out", lambda row: f"({_range(row)})")


def _bands(rows: list[Row]) -> Iterable[Row]:
    yield from _shares(rows, "bands", lambda row: f"(at most {_percent(row['quantile_95'])})")


def _shares(rows: list[Row], counted: str, spread) -> Iterable[Row]:
    """Put both targets of a texture and a number of images into one row."""
    pairs: dict[tuple[str, str], dict[str, Row]] = defaultdict(dict)
    for row in rows:
        pairs[row["texture"], row["n_held_out"]][row["target"]] = row
    for (texture, number), targets in pairs.items():
        low, high = targets["0.01"], targets["0.05"]
        yield {
            "texture": texture,
            counted: number,
            "target 1 %": f"{_percent(low['mean_flagged'])} {spread(low)}",
            "target 5 %": f"{_percent(high['mean_flagged'])} {spread(high)}",
            "within a factor of 3": ", ".join(
                f"{100 * float(row['within_factor_3']):.0f} %" for row in (low, high)
            ),
        }


def _drift(rows: list[Row]) -> Iterable[Row]:
    """Put all numbers of images of a change into one row: shares that advise anything."""
    changes: dict[tuple[str, ...], dict[str, Row]] = defaultdict(dict)
    for row in rows:
        key = row["texture"], row["change"], row["strength"]
        changes[key][f"{row['n_held_out']}, {row['n_new']}"] = row
    for (texture, change, strength), counts in changes.items():
        yield {
            "texture": texture,
            "change": change if change == "none" else f"{change} {strength}",
            "shift (5, 5)": f"{float(counts['5, 5']['median_shift']):.1f}",
            **{
                numbers: f"{100 * (float(row['calibrate']) + float(row['train'])):.0f}"
                for numbers, row in counts.items()
            },
            "blocks (20, 5)": f"{100 * float(counts['20, 5']['ks_of_blocks']):.0f}",
        }


def _mean(rows: list[Row], key: str) -> float:
    return sum(float(row[key]) for row in rows) / len(rows)


def _change(summed: list[dict], part: str, whole: str) -> str:
    return f"{' → '.join(str(each[part]) for each in summed)} of {summed[-1][whole]}"


def _range(row: Row) -> str:
    return f"{_percent(row['quantile_05'])}–{_percent(row['quantile_95'])}"


def _percent(share: str) -> str:
    return f"{100 * float(share):.1f}"
