"""The result of `tune`: the winner, the ranking and everything that was tried."""

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sk_ssimae._atomic import replace_file
from sk_ssimae.model_selection._selection_report import SelectionReport


@dataclass(frozen=True)
class Trial:
    """A setting of a candidate that was tried, or a candidate that was not.

    Attributes
    ----------
    candidate : str
        Name of the candidate; of an ensemble, the names of its members with " + " between them.
    parameters : dict
        Parameters of inference that were set; none for an ensemble, whose members keep their best.
    status : str
        "scored"; or it begins with "skipped" or "failed", and says why.
    scores : dict of str to float
        Scores by family; empty unless scored.
    is_best : bool
        Whether it is the best setting of its candidate, which was compared with those of others.
    n_patches : int or None
        Number of patches on which a network was trained; None for other segmenters.
    seconds : float
        Seconds for training and all settings of the candidate.
    """

    candidate: str
    parameters: dict[str, Any]
    status: str
    scores: dict[str, float]
    is_best: bool = False
    n_patches: int | None = None
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class TuningResult:
    """The result of :func:`tune`.

    Attributes
    ----------
    segmenter : segmenter
        The winner, fitted on all good images and calibrated.
    report : SelectionReport
        Ranking of the best setting of each candidate, by family of painted defects.
    trials : tuple of Trial
        Everything that was tried, and candidates that were skipped or failed.
    severities : dict of str to float
        Severity of each family around which defects were painted, in (0, 1].
    seconds : float
        Seconds of the wall clock, with those of earlier, interrupted runs.
    """

    segmenter: Any
    report: SelectionReport
    trials: tuple[Trial, ...]
    severities: dict[str, float]
    seconds: float

    @property
    def chosen(self) -> dict[str, Any]:
        """Name of the winner, as "candidate", and its parameters of inference."""
        return dict(self.report.candidates[self.report.best_index])

    def table(self) -> dict[str, list[Any]]:
        """Return the columns of a table, for ``pandas.DataFrame``; one row per trial."""
        ranks = {
            candidate["candidate"]: float(rank)
            for candidate, rank in zip(self.report.candidates, self.report.mean_ranks, strict=True)
        }
        chosen = self.chosen["candidate"]
        columns: dict[str, list[Any]] = {
            "candidate": [trial.candidate for trial in self.trials],
            "parameters": [
                ", ".join(f"{name}={value}" for name, value in trial.parameters.items())
                for trial in self.trials
            ],
            "status": [trial.status for trial in self.trials],
        }
        for family in self.report.families:
            columns[family] = [trial.scores.get(family) for trial in self.trials]
        columns["mean_rank"] = [
            ranks[trial.candidate] if trial.is_best else None for trial in self.trials
        ]
        columns["chosen"] = [trial.is_best and trial.candidate == chosen for trial in self.trials]
        columns["n_patches"] = [trial.n_patches for trial in self.trials]
        columns["seconds"] = [round(trial.seconds, 1) for trial in self.trials]
        return columns

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the table to a CSV file, or leave an existing file as it was.

        Parameters
        ----------
        path : path
            File to write. Numbers have six digits; cells that do not apply are empty.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        columns = self.table()
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        for row in zip(*columns.values(), strict=True):
            writer.writerow([_cell(value) for value in row])
        replace_file(Path(path), text.getvalue().encode())

    def plot(self, *, ax: Any = None) -> Any:
        """Draw the scores of the candidates by family.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on. By default those of a new figure.

        Returns
        -------
        SelectionDisplay
            The display, plotted.

        Raises
        ------
        ImportError
            If matplotlib is not installed; the extra ``plot`` contains it.
        """
        from sk_ssimae.plotting import SelectionDisplay

        return SelectionDisplay.from_report(self.report, ax=ax)


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else value
