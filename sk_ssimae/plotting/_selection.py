"""Draw the scores of candidates by family of painted defects."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from sk_ssimae._validation import as_floats
from sk_ssimae.plotting._pyplot import import_pyplot

_MARKERS = "osD^vP*Xh<>p"


class SelectionDisplay:
    """Scores of candidates by family of defects, one row per candidate, the best on top.

    Create it with :meth:`from_report`.

    Parameters
    ----------
    scores : array of shape (n_candidates, n_families)
        Scores, higher is better.
    families : sequence of str
        Names of the families.
    candidates : sequence of str
        Names of the candidates.
    mean_ranks : array of shape (n_candidates,)
        Mean ranks over the families, 1 for the best.
    best_index : int
        Index of the chosen candidate.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        Markers of each family.
    ax_ : matplotlib Axes
        Axes with the scores.
    figure_ : matplotlib Figure
        Figure with the scores.

    Raises
    ------
    ValueError
        If numbers of scores, names and ranks do not agree.

    Examples
    --------
    >>> from sk_ssimae.model_selection import SelectionReport
    >>> from sk_ssimae.plotting import SelectionDisplay
    >>> report = SelectionReport.from_scores(
    ...     {"scar": [0.9, 0.7], "blur": [0.8, 0.6]}, [{"candidate": "ssim"}, {"candidate": "l2"}]
    ... )
    >>> [label.get_text() for label in SelectionDisplay.from_report(report).ax_.get_yticklabels()]
    ['ssim (chosen)', 'l2']
    """

    def __init__(
        self,
        scores: ArrayLike,
        families: Sequence[str],
        candidates: Sequence[str],
        mean_ranks: ArrayLike,
        best_index: int,
    ) -> None:
        self.scores = as_floats(scores, "scores", "(n_candidates, n_families)")
        self.mean_ranks = as_floats(mean_ranks, "mean_ranks", "(n_candidates,)")
        expected = (len(candidates), len(families))
        if self.scores.shape != expected:
            raise ValueError(
                f"scores must have shape (n_candidates, n_families), {expected}, got "
                f"{self.scores.shape} instead."
            )
        if self.mean_ranks.shape != expected[:1]:
            raise ValueError(
                f"mean_ranks must have shape (n_candidates,), {expected[:1]}, got "
                f"{self.mean_ranks.shape} instead."
            )
        if not 0 <= best_index < len(candidates):
            raise ValueError(
                f"best_index must be the index of one of the {len(candidates)} candidates, got "
                f"{best_index!r} instead."
            )
        self.families, self.candidates = list(families), list(candidates)
        self.best_index = best_index

    @classmethod
    def from_report(cls, report: Any, *, ax: Any = None) -> Self:
        """Draw the scores of a report.

        Parameters
        ----------
        report : SelectionReport
            The report of a search, or of :func:`~sk_ssimae.model_selection.tune`.
        ax : matplotlib Axes, optional
            Axes to draw on. By default those of a new figure.

        Returns
        -------
        SelectionDisplay
            The display, plotted.

        Raises
        ------
        TypeError
            If `report` is not a SelectionReport.
        """
        if not hasattr(report, "mean_ranks") or not hasattr(report, "candidates"):
            raise TypeError(f"report must be a SelectionReport, got {report!r} instead.")
        names = [_describe(candidate) for candidate in report.candidates]
        display = cls(report.scores, report.families, names, report.mean_ranks, report.best_index)
        return display.plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw the scores.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on. By default those of a new figure.

        Returns
        -------
        SelectionDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed; the extra ``plot`` contains it.
        TypeError
            If `ax` is not matplotlib Axes.
        """
        n_rows = len(self.candidates)
        if ax is None:
            size = (9, 1.2 + 0.32 * max(n_rows, len(self.families)))
            ax = import_pyplot().subplots(figsize=size, layout="constrained")[1]
        elif not hasattr(ax, "plot"):
            raise TypeError(f"ax must be matplotlib Axes, got {ax!r} instead.")
        self.ax_, self.figure_ = ax, ax.figure
        order = sorted(range(n_rows), key=lambda i: (self.mean_ranks[i], i != self.best_index))
        rows = np.arange(n_rows)
        ax.hlines(rows, *_extremes(self.scores[order]), color="0.85", zorder=0)
        self.lines_ = [
            ax.plot(
                self.scores[order, index],
                rows,
                _MARKERS[index % len(_MARKERS)],
                label=family,
                alpha=0.8,
            )[0]
            for index, family in enumerate(self.families)
        ]
        labels = [self.candidates[i] + (" (chosen)" if i == self.best_index else "") for i in order]
        ax.set_yticks(rows, labels)
        ax.get_yticklabels()[order.index(self.best_index)].set_weight("bold")
        ax.invert_yaxis()
        ax.set(xlabel="score of painted defects", ylabel="candidates by mean rank")
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        return self


def _extremes(scores: Any) -> tuple[Any, Any]:
    return scores.min(axis=1), scores.max(axis=1)


def _describe(candidate: Any) -> str:
    """Return the name of a candidate and its other parameters."""
    named = dict(candidate)
    name = named.pop("candidate", None)
    others = ", ".join(f"{key}={value}" for key, value in named.items())
    return ": ".join(part for part in (name, others) if part) or "defaults"
