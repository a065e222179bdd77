"""The training of the winner on all good images, in the time that is left."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sk_ssimae.model_selection._tuning._candidates import Candidate
from sk_ssimae.model_selection._tuning._cutting import Shape
from sk_ssimae.model_selection._tuning._ensembles import kind_of, make_ensemble
from sk_ssimae.model_selection._tuning._folder import TuningFolder
from sk_ssimae.model_selection._tuning._images import Division
from sk_ssimae.model_selection._tuning._progress import Clock, Reporter
from sk_ssimae.model_selection._tuning._search import Outcome
from sk_ssimae.model_selection._tuning._training import (
    LEAST_SHARE,
    fit_completely,
    owners,
    parts_of,
    prepared,
    total_patches,
    trains_in_epochs,
    with_patches,
)

STEP = "winner"
# Least number of good images on which `fit` finds a threshold.
_FEWEST_HELD_OUT = 3


def make_winner(
    outcome: Outcome,
    candidates: Mapping[str, Candidate],
    best_settings: Mapping[str, dict[str, Any]],
    seed: int,
    checkpoint_dir: Path | None,
) -> Any:
    """Return the winner, unfitted, with its best setting; members of an ensemble with theirs."""
    if not outcome.members:
        winner = prepared(candidates[outcome.name].segmenter, seed, checkpoint_dir)
        return winner.set_params(**outcome.best_setting)
    members = {}
    for name in outcome.members:
        member = prepared(candidates[name].segmenter, seed, checkpoint_dir)
        members[kind_of(member)] = member.set_params(**best_settings[name])
    return make_ensemble(members, seed)


def train_winner(
    X: Any,
    winner: Any,
    outcome: Outcome,
    *,
    roi: Any,
    shapes: Sequence[Shape],
    division: Division,
    clock: Clock,
    report: Reporter,
    folder: TuningFolder | None,
    plan: Mapping[str, Any],
) -> Any:
    """Fit the winner on all good images, and calibrate it."""
    doing = f"training {outcome.name} on all images"
    if trains_in_epochs(winner):
        final = plan.get("final", {})
        n_patches = final.get("n_patches")
        names = [outcome.name, *outcome.members]
        if final.get("names") != names:
            n_patches = _choose_patches(outcome, winner, shapes, division, clock)
            if folder is not None:
                # The checkpoint of an interrupted training belongs to this number.
                folder.update_plan(final={"names": names, "n_patches": n_patches})
        winner = with_patches(winner, n_patches)
        doing += f", with {total_patches(winner)} patches"
    report(STEP, doing)
    fit_completely(winner, X, roi)
    if folder is not None:
        _forget_checkpoints(winner, folder.checkpoints)
    return winner


def _choose_patches(
    outcome: Outcome, winner: Any, shapes: Sequence[Shape], division: Division, clock: Clock
) -> int:
    """Choose the number of patches for the time that the calibration leaves."""
    assert outcome.speed is not None and outcome.scored is not None  # noqa: PT018
    n_images, total = len(shapes), total_patches(winner)
    share: float = winner.validation_fraction
    n_held_out = max(share * n_images, min(_FEWEST_HELD_OUT, n_images / 2))
    pixels = sum(map(math.prod, shapes)) / n_images
    pixels_per_map = sum(math.prod(part.shape[:2]) for part in division.parts) / len(division.parts)
    calibrating = n_held_out * outcome.scored.seconds_per_map * pixels / pixels_per_map
    # All images are read, and members of an ensemble are calibrated on images of their own too.
    overhead = outcome.speed.overhead * n_images / len(division.training)
    if outcome.members:
        in_epochs = (outcome.n_patches or 0) / outcome.speed.patches
        overhead = max(outcome.fit_seconds - in_epochs, 0.0) * n_images / len(division.training)
        calibrating *= 2
    seconds = clock.left - calibrating - overhead
    return round(min(total, max(LEAST_SHARE * total, outcome.speed.patches * seconds)))


def _forget_checkpoints(fitted: Any, checkpoint_dir: Path) -> None:
    """Leave no trace of the folder of the tuning in the parameters."""
    for part in [fitted, *parts_of(fitted)]:
        for name in owners(part, "checkpoint_dir"):
            if part.get_params()[name] == checkpoint_dir:
                part.set_params(**{name: None})
