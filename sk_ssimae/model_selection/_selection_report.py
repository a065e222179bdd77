"""The choice among candidates by their ranks in each family of defects."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._validation import as_floats
from sk_ssimae.exceptions import SelectionWarning

_PREFIX = "mean_test_"


@dataclass(frozen=True, eq=False)
class SelectionReport:
    """Scores of candidates by family of defects, the choice among them, and its weak points.

    Candidates are ranked in each family, and the one with the best mean rank is chosen: a family
    whose scores differ by more than those of others has no more weight. If mean ranks are equal,
    the mean score decides. With `eligible`, some candidates are ranked but never chosen.

    Attributes
    ----------
    families : tuple of str
        Names of the families.
    candidates : tuple of dict
        Parameters of the candidates.
    scores : array of shape (n_candidates, n_families)
        Scores, higher is better.
    ranks : array of shape (n_candidates, n_families)
        Ranks within each family, 1 for the best; the mean rank where scores are equal.
    mean_ranks : array of shape (n_candidates,)
        Means of the ranks over families.
    best_index : int
        Index of the chosen candidate.
    correlations : array of shape (n_families, n_families)
        Kendall's τ-b between the rankings of two families, in [-1, 1]; NaN if one of them ranks all
        candidates equally.
    agreement : dict of str to float
        Kendall's τ-b between the ranking of a family and the mean ranks in the others; NaN if
        undefined.
    disagreeing : tuple of str
        Families whose agreement is negative.
    decisive : dict of str to int
        Families without which another candidate would be chosen, and the index of that candidate.

    References
    ----------
    L. Breiman, J. H. Friedman, R. A. Olshen, C. J. Stone, "Classification and Regression Trees",
    1984, section 3.4.3.

    Examples
    --------
    >>> from sk_ssimae.model_selection import SelectionReport
    >>> report = SelectionReport.from_scores(
    ...     {"scar": [0.9, 0.7, 0.5], "blur": [0.8, 0.6, 0.3], "warp": [0.3, 0.2, 0.4]},
    ...     [{"latent_dim": 50}, {"latent_dim": 100}, {"latent_dim": 200}],
    ... )
    >>> report.best_index, report.disagreeing, report.decisive
    (0, ('warp',), {})
    >>> print(report)
    rank   scar   blur   warp  candidate
    1.33  0.900  0.800  0.300  latent_dim=50 (chosen)
    2.33  0.700  0.600  0.200  latent_dim=100
    2.33  0.500  0.300  0.400  latent_dim=200
       τ   0.33   0.33  -0.33
    Families that disagree with the others: warp.
    """

    families: tuple[str, ...]
    candidates: tuple[dict[str, Any], ...]
    scores: NDArray[np.float64]
    ranks: NDArray[np.float64]
    mean_ranks: NDArray[np.float64]
    best_index: int
    correlations: NDArray[np.float64]
    agreement: dict[str, float]
    disagreeing: tuple[str, ...]
    decisive: dict[str, int]

    @classmethod
    def from_scores(
        cls,
        scores: Mapping[str, Sequence[float]],
        candidates: Sequence[Mapping[str, Any]],
        *,
        eligible: Sequence[bool] | None = None,
    ) -> "SelectionReport":
        """Rank candidates by their scores.

        Parameters
        ----------
        scores : dict of str to sequence of n floats
            Scores of the candidates, by family.
        candidates : sequence of n dicts
            Parameters of each candidate.
        eligible : sequence of n bools or None, default=None
            Whether each candidate may be chosen, at least one. None if all may. The others are
            ranked with them.

        Returns
        -------
        SelectionReport
            The report.

        Raises
        ------
        TypeError
            If `scores` is no dict, or `candidates` no sequence of dicts.
        ValueError
            If there is no family or no candidate, numbers differ, or a score is not a finite
            number.

        Warns
        -----
        SelectionWarning
            If another candidate would be chosen without one of the families.
        """
        _check_types(scores, candidates)
        table = _check_scores(scores, len(candidates))
        names = tuple(scores)
        ranks = _rank(table)
        may_win = _check_eligible(eligible, len(table))
        best = _choose(ranks, table, may_win)
        without = {name: np.arange(len(names)) != i for i, name in enumerate(names)}
        agreement: dict[str, float] = {}
        decisive: dict[str, int] = {}
        for index, (name, others) in enumerate(without.items()):
            if others.any():
                mean_of_others = ranks[:, others].mean(axis=1)
                agreement[name] = _kendall(ranks[:, index], mean_of_others)
                choice = _choose(ranks[:, others], table[:, others], may_win)
                if choice != best:
                    decisive[name] = choice
        report = cls(
            families=names,
            candidates=tuple(dict(candidate) for candidate in candidates),
            scores=table,
            ranks=ranks,
            mean_ranks=ranks.mean(axis=1),
            best_index=best,
            correlations=np.array([[_kendall(a, b) for b in ranks.T] for a in ranks.T]),
            agreement=agreement,
            disagreeing=tuple(name for name, tau in agreement.items() if tau < 0),
            decisive=decisive,
        )
        if decisive:
            warnings.warn(" ".join(report.describe_decisive()), SelectionWarning, stacklevel=2)
        return report

    @classmethod
    def from_cv_results(cls, cv_results: Mapping[str, Any]) -> "SelectionReport":
        """Rank the candidates of a search that was run with a :class:`FamilyScorer`.

        Parameters
        ----------
        cv_results : dict
            ``cv_results_`` of the search. Folds without a family do not count in its mean score.

        Returns
        -------
        SelectionReport
            The report; `from_scores` describes its checks and warnings.

        Raises
        ------
        TypeError
            If `cv_results` is no dict.
        ValueError
            If there is no score by family, a family has no score in any fold, or another key is
            missing.
        """
        if not isinstance(cv_results, Mapping):
            raise TypeError(
                "cv_results must be the cv_results_ of a search, a dict, got "
                f"{type(cv_results).__name__} instead."
            )
        names = [key.removeprefix(_PREFIX) for key in cv_results if str(key).startswith(_PREFIX)]
        if not names or names == ["score"]:
            raise ValueError(
                "cv_results must contain scores by family, got none. Run the search with "
                "scoring=FamilyScorer(selection)."
            )
        missing = [key for key in ("params", f"split0_test_{names[0]}") if key not in cv_results]
        if missing:
            raise ValueError(
                f"cv_results must contain {missing}, got only {sorted(cv_results)}. Pass the "
                "cv_results_ of a search unchanged."
            )
        by_family = {}
        for name in names:
            folds = np.array(
                [
                    values
                    for key, values in cv_results.items()
                    if str(key).startswith("split") and str(key).endswith(f"_test_{name}")
                ],
                dtype=float,
            )
            has_family = ~np.isnan(folds).all(axis=1)
            if not has_family.any():
                raise ValueError(
                    f"cv_results must contain scores of the family {name!r}, got NaN in all folds."
                )
            by_family[name] = folds[has_family].mean(axis=0)
        return cls.from_scores(by_family, cv_results["params"])

    def table(self) -> dict[str, list[Any]]:
        """Return the columns of a table, for ``pandas.DataFrame``; one row per candidate."""
        columns: dict[str, list[Any]] = {"candidate": [dict(c) for c in self.candidates]}
        for name, scores in zip(self.families, self.scores.T, strict=True):
            columns[name] = scores.tolist()
        columns["mean_rank"] = self.mean_ranks.tolist()
        columns["chosen"] = [index == self.best_index for index in range(len(self.candidates))]
        return columns

    def describe_decisive(self) -> list[str]:
        """Return a sentence for each family on which the choice hangs."""
        return [
            f"The choice of {_describe(self.candidates[self.best_index])} hangs on the family "
            f"{name!r}: without it, {_describe(self.candidates[index])} would be chosen."
            for name, index in self.decisive.items()
        ]

    def __str__(self) -> str:
        widths = [max(len(name), 5) for name in self.families]
        header = zip(self.families, widths, strict=True)
        lines = ["  ".join(["rank", *(f"{name:>{n}}" for name, n in header), "candidate"])]
        for index in np.argsort(self.mean_ranks, kind="stable"):
            cells = zip(self.scores[index], widths, strict=True)
            chosen = " (chosen)" if index == self.best_index else ""
            lines.append(
                "  ".join(
                    [
                        f"{self.mean_ranks[index]:4.2f}",
                        *(f"{score:{n}.3f}" for score, n in cells),
                        _describe(self.candidates[index]) + chosen,
                    ]
                )
            )
        if self.agreement:
            taus = zip(self.agreement.values(), widths, strict=True)
            lines.append("  ".join(["   τ", *(f"{tau:{n}.2f}" for tau, n in taus)]))
        if self.disagreeing:
            lines.append(f"Families that disagree with the others: {', '.join(self.disagreeing)}.")
        return "\n".join([*lines, *self.describe_decisive()])


def choose_by_rank(cv_results: Mapping[str, Any]) -> int:
    """Return the index of the candidate with the best mean rank over families of defects.

    Pass it as `refit` to a search with a :class:`FamilyScorer`.

    Parameters
    ----------
    cv_results : dict
        ``cv_results_`` of the search.

    Returns
    -------
    int
        ``best_index`` of :class:`SelectionReport`, which says when it warns and raises.

    Examples
    --------
    >>> from sk_ssimae.model_selection import choose_by_rank
    >>> choose_by_rank(
    ...     {
    ...         "params": [{"latent_dim": 50}, {"latent_dim": 100}],
    ...         "mean_test_blur": [0.7, 0.8],
    ...         "split0_test_blur": [0.7, 0.8],
    ...     }
    ... )
    1
    """
    return SelectionReport.from_cv_results(cv_results).best_index


def best_by_rank(scores: Sequence[Sequence[float]]) -> int:
    """Return the index of the candidate with the best mean rank; one row of scores for each."""
    table = np.array(scores, dtype=float)
    return _choose(_rank(table), table, np.ones(len(table), bool))


def rank_scores(scores: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Return the ranks within each family; one row of scores for each candidate."""
    return _rank(np.array(scores, dtype=float))


def _rank(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.stats import rankdata

    return np.asarray(rankdata(-scores, axis=0))


def _choose(
    ranks: NDArray[np.float64], scores: NDArray[np.float64], eligible: NDArray[np.bool_]
) -> int:
    # Sums of ranks are multiples of one half: exact, unlike their means.
    order = np.lexsort((-scores.mean(axis=1), ranks.sum(axis=1)))
    return int(order[eligible[order]][0])


def _kendall(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    from scipy.stats import kendalltau

    return float(kendalltau(a, b).statistic) if len(a) > 1 else float(np.nan)


def _describe(candidate: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in candidate.items()) or "the defaults"


def _check_types(scores: Any, candidates: Any) -> None:
    if not isinstance(scores, Mapping):
        raise TypeError(
            "scores must be a dict from the names of families to the scores of the candidates, got "
            f"{type(scores).__name__} instead."
        )
    if not isinstance(candidates, Sequence) or not all(
        isinstance(candidate, Mapping) for candidate in candidates
    ):
        raise TypeError(
            "candidates must be a list with a dict of parameters for each candidate, got "
            f"{candidates!r} instead."
        )


def _check_eligible(eligible: Sequence[bool] | None, n_candidates: int) -> NDArray[np.bool_]:
    values = np.ones(n_candidates, bool) if eligible is None else np.asarray(eligible)
    if values.shape != (n_candidates,) or values.dtype != bool or not values.any():
        raise ValueError(
            f"eligible must be a bool for each of the {n_candidates} candidates, True for at least "
            f"one, got {eligible!r} instead."
        )
    return values


def _check_scores(scores: Mapping[str, Sequence[float]], n_candidates: int) -> Any:
    if not scores or n_candidates == 0:
        raise ValueError(
            "scores and candidates must contain at least one family and one candidate, got "
            f"{len(scores)} and {n_candidates}."
        )
    for name, own in scores.items():
        values = as_floats(own, f"scores[{name!r}]", "(n_candidates,)")
        if values.shape != (n_candidates,):
            raise ValueError(
                f"scores[{name!r}] must have one score for each of the {n_candidates} candidates, "
                f"got shape {values.shape} instead."
            )
        if not np.isfinite(values).all():
            raise ValueError(
                f"scores[{name!r}] must be finite, got NaN or infinity for candidate "
                f"{int(np.flatnonzero(~np.isfinite(values))[0])}: its fit or score failed. Leave "
                "this candidate out, or run the search with error_score='raise'."
            )
    return np.column_stack([np.asarray(own, dtype=float) for own in scores.values()])
