"""The search over candidates: each is trained and scored while there is time."""

import time
from dataclasses import asdict, dataclass
from typing import Any

from sk_ssimae._out_of_memory import is_out_of_memory
from sk_ssimae.model_selection._tuning._candidates import Candidate
from sk_ssimae.model_selection._tuning._folder import TuningFolder
from sk_ssimae.model_selection._tuning._images import Division, scale_size
from sk_ssimae.model_selection._tuning._progress import Clock, Reporter, format_seconds
from sk_ssimae.model_selection._tuning._training import (
    LEAST_SHARE,
    Speed,
    fit_quietly,
    measure,
    prepared,
    speed_of,
    total_patches,
    trains_in_epochs,
    with_patches,
)
from sk_ssimae.model_selection._tuning._trials import Bench, Scored, n_passes

#: Share of the budget that is kept for the training of the winner.
FINAL_SHARE = 0.3
#: Parameters by which images are read; members of an ensemble have them in common.
OF_IMAGES = (
    *("image_size", "intensity_range", "alpha_channel"),
    *("max_image_pixels", "images_in_memory"),
)
#: Beginning of the status of a candidate that did not fit into the time that was left.
NO_TIME = "skipped for lack of time"


@dataclass(frozen=True)
class Outcome:
    """Result of a candidate; `scored`, `speed` and `n_patches` are None if unknown."""

    name: str
    status: str
    settings: list[dict[str, Any]]
    scored: Scored | None = None
    seconds: float = 0.0
    fit_seconds: float = 0.0
    n_patches: int | None = None
    speed: Speed | None = None
    members: tuple[str, ...] = ()

    @property
    def best_scores(self) -> list[float]:
        """Scores of the best setting, by family."""
        scored = self.scored
        return [] if scored is None else [*scored.scores[scored.best].values()]

    @property
    def best_setting(self) -> dict[str, Any]:
        """The best setting."""
        return {} if self.scored is None else self.settings[self.scored.best]


class _NoTimeError(Exception):
    """A candidate does not fit into the time that is left."""


class Search:
    """Train and score candidates, and write results to the folder.

    Parameters
    ----------
    candidates : list of Candidate
        Candidates, in their order.
    bench : Bench
        Selection set.
    division : Division
        Images that train them.
    clock : Clock
        Budget.
    report : Reporter
        Progress.
    folder : TuningFolder or None
        Where to write results.
    seed : int
        Seed of segmenters without one.
    """

    def __init__(
        self,
        candidates: list[Candidate],
        bench: Bench,
        division: Division,
        clock: Clock,
        report: Reporter,
        folder: TuningFolder | None,
        seed: int,
    ) -> None:
        self.candidates, self.bench, self.division = candidates, bench, division
        self.clock, self.report, self.folder, self.seed = clock, report, folder, seed
        self._slowest = 0.0
        self._is_warm = False

    def run(self) -> list[Outcome]:
        """Return the outcome of each candidate."""
        return [self._outcome(number) for number in range(len(self.candidates))]

    def _outcome(self, number: int) -> Outcome:
        known = None if self.folder is None else self.folder.read_trial(number)
        if known and known["status"] == "scored":
            return self._restore(number, known)
        try:
            outcome = self._try(number, known)
        except _NoTimeError as reason:
            return self._not_tried(number, f"{NO_TIME}: {reason}")
        except ImportError as error:
            return self._not_tried(number, f"skipped: {error}")
        except ValueError as error:
            return self._not_tried(number, f"failed: {error}")
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return self._not_tried(number, f"failed: out of memory ({error})")
        if self.folder is not None:
            self._store(number, outcome)
        return outcome

    def _try(self, number: int, known: dict[str, Any] | None) -> Outcome:
        candidate, start = self.candidates[number], time.monotonic()
        settings = candidate.settings()
        unfitted = self._unfitted(candidate)
        n_patches = None
        if trains_in_epochs(unfitted):
            n_patches = known["n_patches"] if known else self._choose_patches(number, unfitted)
            if self.folder is not None and not known:
                # The checkpoint of an interrupted training belongs to this number.
                content = {"status": "begun", "n_patches": n_patches}
                self.folder.write_trial(number, content)
            unfitted = with_patches(unfitted, n_patches)
            n_patches = total_patches(unfitted)
            self.report(candidate.name, f"training on {n_patches} patches")
        else:
            self._check_time_of_others(number)
            self.report(candidate.name, "training")
        began = time.monotonic()
        fitted = fit_quietly(unfitted, self.division.training, self.division.training_roi)
        fit_seconds = time.monotonic() - began
        self.report(candidate.name, f"scoring {len(settings)} settings")
        scored = self.bench.score_settings(fitted, settings)
        seconds = time.monotonic() - start
        self._slowest = max(self._slowest, 0.0 if n_patches else seconds)
        speed = speed_of(fitted, fit_seconds) if n_patches else None
        return Outcome(
            candidate.name, "scored", settings, scored, seconds, fit_seconds, n_patches, speed
        )

    def _unfitted(self, candidate: Candidate) -> Any:
        checkpoints = None if self.folder is None else self.folder.checkpoints
        unfitted = prepared(candidate.segmenter, self.seed, checkpoints)
        unfitted.set_params(threshold=0.0)  # None of these images are needed for a threshold.
        if self.division.is_part:
            part, whole = self.division.training[0].shape[:2], self.division.shapes[0]
            unfitted.set_params(image_size=scale_size(unfitted.image_size, part, whole))
        return unfitted

    def _choose_patches(self, number: int, unfitted: Any) -> int:
        """Choose the number of patches for a fair share of the time that is left.

        Raises
        ------
        _NoTimeError
            If not even a small share of its own number fits.
        """
        name = self.candidates[number].name
        left = self.clock.left_but(FINAL_SHARE)
        if left <= 0:
            raise _NoTimeError("no time was left.")
        self.report(name, "measuring its speed")
        if not self._is_warm:
            # The first training of a process is slower: libraries are loaded.
            roi = self.division.roi and self.division.roi[0]
            measure(unfitted, self.division.parts[:1], roi)
            self._is_warm = True
        speed, probe = measure(unfitted, self.division.training, self.division.training_roi)
        settings = self.candidates[number].settings()
        seconds_to_score = (
            n_passes(settings) * len(self.bench) * self.bench.time_map(probe)
            + len(settings) * self.bench.seconds_per_score
        )
        left = self.clock.left_but(FINAL_SHARE) - seconds_to_score
        total = total_patches(unfitted)
        least = speed.seconds(LEAST_SHARE * total)
        if left < least:
            raise _NoTimeError(
                f"it needs about {format_seconds(least + seconds_to_score)}, and "
                f"{format_seconds(max(left + seconds_to_score, 0))} were left."
            )
        following = sum(trains_in_epochs(c.segmenter) for c in self.candidates[number + 1 :])
        share = (left + seconds_to_score) / (1 + following) - seconds_to_score
        seconds = min(max(share, least), left)
        return round(min(total, speed.patches * (seconds - speed.overhead)))

    def _check_time_of_others(self, number: int) -> None:
        """Skip a segmenter without epochs if the slowest so far would not fit; try the first."""
        left = self.clock.left_but(FINAL_SHARE)
        if self._slowest and self._slowest > left:
            raise _NoTimeError(
                f"a similar candidate took {format_seconds(self._slowest)}, and "
                f"{format_seconds(max(left, 0))} were left."
            )

    def _not_tried(self, number: int, status: str) -> Outcome:
        candidate = self.candidates[number]
        return Outcome(candidate.name, " ".join(status.split()), [{}])

    def _store(self, number: int, outcome: Outcome) -> None:
        assert self.folder is not None and outcome.scored is not None  # noqa: PT018
        content = asdict(outcome)
        content["scored"].pop("maps")
        # Settings follow from the candidate.
        del content["settings"], content["members"]
        self.folder.write_maps(number, outcome.scored.maps)
        self.folder.write_trial(number, content)
        self.folder.update_plan(spent=self.clock.elapsed)

    def _restore(self, number: int, known: dict[str, Any]) -> Outcome:
        assert self.folder is not None
        maps = self.folder.read_maps(number)
        known = dict(known, settings=self.candidates[number].settings())
        known["scored"] = Scored(**known["scored"], maps=maps)
        known["speed"] = known["speed"] and Speed(*known["speed"])
        if not known["n_patches"]:
            self._slowest = max(self._slowest, known["seconds"])
        return Outcome(**known)
