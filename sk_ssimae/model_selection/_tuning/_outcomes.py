"""Results of all candidates: their ranking, the table, and warnings about the time."""

import warnings
from collections.abc import Sequence

from sk_ssimae.exceptions import BudgetWarning
from sk_ssimae.model_selection._selection_report import SelectionReport
from sk_ssimae.model_selection._tuning._candidates import Candidate
from sk_ssimae.model_selection._tuning._progress import Clock
from sk_ssimae.model_selection._tuning._result import Trial
from sk_ssimae.model_selection._tuning._search import NO_TIME, Outcome
from sk_ssimae.model_selection._tuning._training import trains_in_epochs

#: Kinds of segmenters that the chosen ensemble combines, at least.
N_KINDS = 3
# Times its budget that a tuning may take without a warning.
_TOLERANCE = 1.2


def rank_outcomes(
    outcomes: Sequence[Outcome], families: list[str]
) -> tuple[SelectionReport, Outcome]:
    """Rank the best settings of all candidates; return the report and the chosen candidate.

    Painted defects are not the real ones, and the segmenter that finds them best may fail on those.
    The choice is therefore among ensembles of at least three kinds of segmenters, if there is one,
    else among those of most kinds.
    """
    scored = [outcome for outcome in outcomes if outcome.scored]
    if not scored:
        reasons = "; ".join(f"{outcome.name}: {outcome.status}" for outcome in outcomes)
        raise ValueError(
            f"candidates must contain one that can be trained on these images, got {reasons} "
            "Change their parameters, raise budget_minutes, or pass other images."
        )
    by_family = {
        family: [outcome.best_scores[index] for outcome in scored]
        for index, family in enumerate(families)
    }
    numbers_of_kinds = [max(len(outcome.members), 1) for outcome in scored]
    needed = min(N_KINDS, max(numbers_of_kinds))
    report = SelectionReport.from_scores(
        by_family,
        [{"candidate": o.name, **o.best_setting} for o in scored],
        eligible=[n_kinds >= needed for n_kinds in numbers_of_kinds],
    )
    return report, scored[report.best_index]


def list_trials(outcomes: Sequence[Outcome]) -> tuple[Trial, ...]:
    """Return a trial for each setting of each candidate."""
    return tuple(
        Trial(
            outcome.name,
            setting,
            outcome.status,
            outcome.scored.scores[index] if outcome.scored else {},
            outcome.scored is not None and outcome.scored.best == index,
            outcome.n_patches,
            outcome.seconds,
        )
        for outcome in outcomes
        for index, setting in enumerate(outcome.settings)
    )


def warn_of_budget(
    clock: Clock, minutes: float, candidates: Sequence[Candidate], outcomes: Sequence[Outcome]
) -> None:
    """Warn if the time was exceeded, or was too short for any network."""
    networks = {c.name for c in candidates if trains_in_epochs(c.segmenter)}
    of_networks = [outcome for outcome in outcomes if outcome.name in networks]
    skipped = [o.name for o in of_networks if o.status.startswith(NO_TIME)]
    if clock.elapsed > _TOLERANCE * clock.budget:
        warnings.warn(
            f"Tuning took {clock.elapsed / 60:.1f} minutes, more than budget_minutes={minutes:g}: "
            "the first candidate and the last training are never left out. Pass fewer or smaller "
            "images, or a larger budget.",
            BudgetWarning,
            stacklevel=3,
        )
    elif skipped and not any(outcome.scored for outcome in of_networks):
        warnings.warn(
            f"budget_minutes={minutes:g} was too short for any network: {', '.join(skipped)}. "
            "Choose a larger budget to try them; the table says how much each needs.",
            BudgetWarning,
            stacklevel=3,
        )
