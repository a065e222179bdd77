"""The folder of results that the experiments share; it survives interruptions."""

import csv
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from _common import describe_machine, train_once, write_whole
from _data import Dataset
from _settings import BUDGETS, Budget, make_segmenter

from sk_ssimae.estimators import BaseAutoencoderSegmenter

mpl.use("Agg")


class Studio:
    """Folder of results for one budget and seed; stored results are not computed again.

    Every file is complete or absent. A partly trained model is not stored, but its checkpoint is,
    and training resumes from it.
    """

    def __init__(
        self,
        out: Path,
        budget: str,
        *,
        data: Path | None,
        seed: int = 0,
        device: str = "auto",
        precision: str = "float32",
        alexnet: str | None = None,
        field: Sequence[str] = (),
    ) -> None:
        self.budget: Budget = BUDGETS[budget]
        name = budget if precision == "float32" else f"{budget}-{precision}"
        self.folder = out / (name if seed == 0 else f"{name}-seed-{seed}")
        self.data = data
        self.seed = seed
        self.device = device
        self.precision = precision
        self.alexnet = alexnet
        self.field = field  # Names in `_field` of further methods for figures 6 and 7.
        self.machines: dict[str, dict] = {}  # Where the models in use were trained.

    def train(
        self, dataset: Dataset, family: str, *, patches: int | None = None, **params: Any
    ) -> BaseAutoencoderSegmenter:
        """Return a fitted segmenter: load its file, or train on the budget's patches."""
        patches = self.budget.patches if patches is None else patches
        changes = "".join(f"-{name}-{value}" for name, value in params.items())
        features = "-alexnet" if family == "FM" and self.alexnet else ""
        name = f"{dataset.name}-{family}{features}{changes}-{patches or 'published'}"
        segmenter = make_segmenter(
            family,
            dataset.protocol,
            patches,
            alexnet=self.alexnet,
            random_state=self.seed,
            device=self.device,
            precision=self.precision,
            **params,
        )
        path = self.folder / "models" / f"{name}.joblib"
        if not path.exists():
            print(f"  training {name}", flush=True)
        trained = train_once(segmenter, dataset.good, path)
        self.machines[name] = trained.machine
        return trained.segmenter

    def keep(self, name: str, settings: dict, compute: Callable[[], Any]) -> Any:
        """Return a result: load it if its settings are equal, or compute and store it."""
        path = self.folder / "parts" / f"{name}.json"
        if not path.exists():
            print(f"  computing {name}", flush=True)
            text = json.dumps({"settings": settings, "result": compute()})
            write_whole(path, lambda temporary: temporary.write_text(text))
        kept = json.loads(path.read_text())
        if kept.get("settings") != settings:
            raise SystemExit(f"{path} was computed with other settings: move it away.")
        return kept["result"]

    def save_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Print a table and write it as CSV."""

        def write_csv(path: Path) -> None:
            with path.open("w", newline="") as file:
                csv.writer(file).writerows([columns, *rows])

        write_whole(self.folder / f"{name}.csv", write_csv)
        cells = [[_cell(value) for value in row] for row in [columns, *rows]]
        widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
        for row in cells:
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            print(f"  {line.rstrip()}")

    def save_figure(self, name: str, figure: Any) -> None:
        """Write a figure as PNG."""
        path = self.folder / f"{name}.png"
        write_whole(path, lambda temporary: figure.savefig(temporary, format="png", dpi=110))
        print(f"  {path}")

    def save_settings(self, name: str, seconds: float) -> None:
        """Write the settings, versions and hardware of an experiment."""
        settings = describe_machine() | {
            "experiment": name,
            "budget": self.budget._asdict(),
            "seed": self.seed,
            "device": self.device,
            "precision": self.precision,
            "features": self.alexnet or "efficientnet-lite0",
            "field": list(self.field),
            "date": time.strftime("%Y-%m-%d"),
            "seconds": round(seconds, 1),
            "models": self.machines,
        }
        text = json.dumps(settings, indent=2)
        write_whole(self.folder / f"{name}.json", lambda temporary: temporary.write_text(text))


def _cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
