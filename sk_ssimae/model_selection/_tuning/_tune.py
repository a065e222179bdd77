"""One call from good images to a calibrated segmenter."""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import sk_ssimae
from sk_ssimae._lock import lock_folder
from sk_ssimae._pixels import Conversion
from sk_ssimae._validation import make_rng
from sk_ssimae.model_selection._selection_set import DEFAULT_FAMILIES
from sk_ssimae.model_selection._split import number_groups
from sk_ssimae.model_selection._tuning._candidates import Candidate, default_candidates
from sk_ssimae.model_selection._tuning._checks import (
    check_candidates,
    common_parameter,
    with_params,
)
from sk_ssimae.model_selection._tuning._cutting import Shape
from sk_ssimae.model_selection._tuning._ensembles import ENSEMBLES, try_ensembles
from sk_ssimae.model_selection._tuning._folder import (
    TuningFolder,
    checksum_images,
    checksum_roi,
    describe_segmenter,
)
from sk_ssimae.model_selection._tuning._images import (
    divide,
    find_severities,
    n_scored_pixels,
    open_images,
    paint,
    scale_size,
)
from sk_ssimae.model_selection._tuning._outcomes import (
    list_trials,
    rank_outcomes,
    warn_of_budget,
)
from sk_ssimae.model_selection._tuning._progress import Clock, Reporter, TuningStep
from sk_ssimae.model_selection._tuning._result import TuningResult
from sk_ssimae.model_selection._tuning._search import Search
from sk_ssimae.model_selection._tuning._trials import Bench
from sk_ssimae.model_selection._tuning._winner import STEP, make_winner, train_winner

_SELECTION_SET = "selection set"


def tune(
    X: Any,
    *,
    budget_minutes: float = 30,
    candidates: Sequence[Candidate] | None = None,
    params: Mapping[str, Any] | None = None,
    families: Sequence[str] = DEFAULT_FAMILIES,
    ensembles: bool = True,
    groups: ArrayLike | None = None,
    roi: Any = None,
    folder: str | os.PathLike[str] | None = None,
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
    progress: Callable[[TuningStep], Any] | None = None,
) -> TuningResult:
    """Choose method and settings from good images alone, and train and calibrate the winner.

    About a third of the good images, at most eight, are set aside, and defects of several families
    are painted into copies of parts of them, near the limit of detection. The candidates are
    trained on the others, and their settings of inference are searched without training again. Of
    the ensembles of at least three kinds of segmenters, that with the best mean rank over the
    families is trained on all good images, and calibrated as in its `fit`. Without such ensembles,
    it is the best of those that combine most kinds: painted defects are not the real ones, and a
    sum of maps is seldom far from its best part.

    The budget is wall-clock time. 30 % of it is kept for the last training. Speed is
    measured: each network is trained on as many patches as fit into its share of the time, at most
    its own number. A network for which not even 4 % of that number fit is skipped. So is any other
    segmenter if the slowest so far took more time than is left; the first is always tried.

    Parameters
    ----------
    X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
        Good images: uint8, uint16, or floats in [0, 1]. A single image is divided.
    budget_minutes : float, default=30
        Minutes for everything, above 0. It also sets the number of pixels of the selection set.
    candidates : list of Candidate or None, default=None
        Candidates, tried in their order. None is :func:`default_candidates`.
    params : dict or None, default=None
        Parameters to set on all candidates that have them, such as ``{"alpha_channel": "keep",
        "intensity_range": (0, 4095), "max_image_pixels": None, "target_fpr": 0.05}``.
    families : sequence of str
        Families of defects, see :func:`~sk_ssimae.datasets.draw_defects`. By default scar, foreign
        texture, crease, contamination, blur, warp and missing line.
    ensembles : bool, default=True
        Whether the best candidates of different kinds together, such as an autoencoder and a
        dictionary as an :class:`~sk_ssimae.EnsembleSegmenter`, are candidates too: all combinations
        of the four kinds with the best candidates. It costs next to no time.
    groups : array of shape (n,), optional
        Group of each image, such as the part that it shows: groups are not divided. None if each
        image is its own.
    roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
        Region of interest: True where a pixel is inspected; a single mask holds for all images.
        Defects are painted within it, other pixels do not count in the scores, and the winner is
        trained and calibrated with it: pass it to `predict` too. None inspects all pixels.
    folder : path or None, default=None
        Folder for the results of each candidate, created if it does not exist. An interrupted
        tuning continues if it is called again with the same images and options; `budget_minutes`
        may change, and includes the time spent before. One call at a time can use the folder. It is
        kept at the end. None writes nothing.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the choice of images, the defects, and candidates without one. The same integer
        gives the same selection set for the same `budget_minutes`; the number of training
        patches, and so the choice, also depends on the speed of the machine.
    progress : callable or None, default=None
        Called with a :class:`TuningStep` when a step begins, such as ``print``.

    Returns
    -------
    TuningResult
        The winner, the ranking, and everything that was tried.

    Raises
    ------
    TypeError
        If an argument is of another type, such as a candidate that is not a segmenter.
    ValueError
        If an image, mask or parameter is not as described, no candidate could be trained, or
        `folder` belongs to a tuning of other images or options.
    OSError
        If a file cannot be read or written, or another call uses `folder`.
    KeyboardInterrupt
        If it was interrupted. With `folder`, it can go on.

    Warns
    -----
    BudgetWarning
        If the budget was too small for any network, or was exceeded by more than a fifth: the
        first candidate without a network and the last training are not left out.
    SelectionWarning
        If another candidate would be chosen without one of the families.

    See Also
    --------
    make_selection_set : Paints the defects, for searches of your own.
    sk_ssimae.plotting.SelectionDisplay : Draws the ranking.

    References
    ----------
    See :doc:`/choosing` for its limits.

    Examples
    --------
    >>> from sk_ssimae import PatchDictionarySegmenter
    >>> from sk_ssimae.datasets import make_woven_fabric
    >>> from sk_ssimae.model_selection import Candidate, tune
    >>> good = make_woven_fabric(4, shape=(64, 64), random_state=0)
    >>> result = tune(
    ...     good,
    ...     candidates=[
    ...         Candidate("filters", PatchDictionarySegmenter(), {"smoothing": [1, 4]}),
    ...         Candidate("grey values", PatchDictionarySegmenter(contrast_sigma=0)),
    ...     ],
    ...     families=["scar"],
    ...     random_state=0,
    ... )
    >>> result.report.scores.shape, len(result.trials)
    ((2, 1), 3)
    >>> result.segmenter.predict(good).shape
    (4, 64, 64)
    """
    # This module imports scikit-learn, which the rest of this subpackage does without.
    from sk_ssimae.datasets._defects import check_families

    _check_budget(budget_minutes)
    if progress is not None and not callable(progress):
        raise TypeError(f"progress must be callable or None, got {progress!r} instead.")
    if not isinstance(ensembles, bool | np.bool_):
        raise TypeError(f"ensembles must be True or False, got {ensembles!r} instead.")
    if not isinstance(folder, str | os.PathLike | None):
        raise TypeError(f"folder must be a path or None, got {folder!r} instead.")
    names = list(dict.fromkeys(check_families(families)))
    chosen = default_candidates(X) if candidates is None else candidates
    checked = with_params(check_candidates(chosen), params)
    conversion = Conversion(
        alpha_channel=common_parameter(checked, "alpha_channel"),
        max_pixels=common_parameter(checked, "max_image_pixels"),
    )
    seed = int(make_rng(random_state).integers(2**31))
    clock = Clock(60.0 * budget_minutes)
    images, shapes = open_images(X, conversion, roi)
    group_of = np.arange(len(shapes)) if groups is None else number_groups(groups, len(shapes))
    plan: dict[str, Any] = {"seed": seed, "n_pixels": n_scored_pixels(budget_minutes)}
    steps = [_SELECTION_SET, *(c.name for c in checked), *([ENSEMBLES] if ensembles else []), STEP]
    with contextlib.ExitStack() as stack:
        store = None
        if folder is not None:
            stack.enter_context(lock_folder(Path(folder), "folder"))
            store = TuningFolder(Path(folder))
            options = {
                "families": names,
                "ensembles": bool(ensembles),
                "groups": None if groups is None else group_of.tolist(),
                "roi": checksum_roi(images),
                "random_state": int(random_state) if isinstance(random_state, Integral) else None,
                "version": sk_ssimae.__version__,
                "candidates": [c.name for c in checked],
                **{f"candidate {c.name}": _describe(c) for c in checked},
            }
            plan = store.open_plan(checksum_images(images), options, plan)
            clock = Clock(clock.budget, spent=clock.elapsed + plan.get("spent", 0.0))
            stack.callback(lambda: store.update_plan(spent=clock.elapsed))
        report = Reporter(progress, clock, steps)
        report(_SELECTION_SET, "painting defects")
        rng = np.random.default_rng(plan["seed"])
        division = divide(
            images, group_of, plan["n_pixels"], 1 + len(names), _least_side_of(checked), rng
        )
        if "severities" not in plan:
            plan["severities"] = find_severities(division, names, conversion, plan["seed"])
            if store is not None:
                store.update_plan(severities=plan["severities"])
        bench = Bench(*paint(division, plan["severities"], rng))
        outcomes = Search(checked, bench, division, clock, report, store, plan["seed"]).run()
        if ensembles and any(outcome.scored for outcome in outcomes):
            report(ENSEMBLES, "scoring")
            outcomes += try_ensembles(checked, outcomes, bench)
        ranking, best = rank_outcomes(outcomes, names)
        winner = make_winner(
            best,
            {c.name: c for c in checked},
            {outcome.name: outcome.best_setting for outcome in outcomes},
            plan["seed"],
            None if store is None else store.checkpoints,
        )
        segmenter = train_winner(
            X,
            winner,
            best,
            roi=roi,
            shapes=shapes,
            division=division,
            clock=clock,
            report=report,
            folder=store,
            plan=plan,
        )
    warn_of_budget(clock, budget_minutes, checked, outcomes)
    return TuningResult(
        segmenter, ranking, list_trials(outcomes), dict(plan["severities"]), clock.elapsed
    )


def _least_side_of(candidates: Sequence[Candidate]) -> Callable[[Shape], int]:
    """Return the function from the shape of an image to the least side of a part of it."""

    def least_side(shape: Shape) -> int:
        sides = [1]
        for _, segmenter, _ in candidates:
            patch_size = segmenter._smallest_side()
            scaled = scale_size(segmenter.image_size, shape, shape) or shape
            sides += [
                min(n, -(-patch_size * n // working))
                for n, working in zip(shape, scaled, strict=True)
            ]
        return max(sides)

    return least_side


def _describe(candidate: Candidate) -> dict[str, Any]:
    grid = {name: repr(list(values)) for name, values in candidate.grid.items()}
    return {"segmenter": describe_segmenter(candidate.segmenter), "grid": grid}


def _check_budget(budget_minutes: Any) -> None:
    is_number = isinstance(budget_minutes, Real) and not isinstance(budget_minutes, bool)
    if not (is_number and 0 < budget_minutes < np.inf):
        raise ValueError(
            f"budget_minutes must be a finite number above 0, got {budget_minutes!r} instead."
        )
