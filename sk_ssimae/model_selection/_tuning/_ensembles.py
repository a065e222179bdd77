"""Sums of the maps of candidates of several kinds, which cost no training."""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any

from sk_ssimae.model_selection._selection_report import rank_scores
from sk_ssimae.model_selection._tuning._candidates import PLUS, Candidate
from sk_ssimae.model_selection._tuning._search import OF_IMAGES, Outcome
from sk_ssimae.model_selection._tuning._trials import Bench, Scored

#: Name of the step.
ENSEMBLES = "ensembles"
# Kinds of segmenters that are combined: those with the best candidates.
_MOST_KINDS = 4


def try_ensembles(
    candidates: Sequence[Candidate], outcomes: Sequence[Outcome], bench: Bench
) -> list[Outcome]:
    """Score the best candidates of several kinds together, from their maps.

    Kinds are autoencoders, patch dictionaries, those with coarse filters alone, feature
    dictionaries and so on. Of the four kinds with the best candidates, all combinations are scored,
    each of its best members that read images in the same way.
    """
    scored = [index for index, outcome in enumerate(outcomes) if outcome.scored]
    ranks = rank_scores([outcomes[index].best_scores for index in scored]).mean(axis=1)
    by_kind: dict[str, list[int]] = {}
    rank: dict[int, float] = {}
    for position in ranks.argsort(kind="stable"):
        index = scored[position]
        rank[index] = float(ranks[position])
        by_kind.setdefault(kind_of(candidates[index].segmenter), []).append(index)
    kinds = list(by_kind.values())[:_MOST_KINDS]
    found = [
        min(
            (group for group in product(*chosen) if _read_alike(candidates, group)),
            key=lambda group: sum(rank[index] for index in group),
            default=None,
        )
        for chosen in _subsets(kinds)
    ]
    return [_score([outcomes[index] for index in group], bench) for group in found if group]


def kind_of(segmenter: Any) -> str:
    """Return the kind of a segmenter, a name for members of ensembles."""
    from sk_ssimae.estimators import BaseAutoencoderSegmenter, PatchDictionarySegmenter

    if isinstance(segmenter, BaseAutoencoderSegmenter):
        return "autoencoder"
    name = (segmenter.method_name or type(segmenter).__name__).replace("-", "_")
    is_coarse = isinstance(segmenter, PatchDictionarySegmenter) and min(segmenter.scales) > 1
    return f"coarse_{name}" if is_coarse else name


def make_ensemble(members: Mapping[str, Any], seed: int) -> Any:
    """Return an unfitted ensemble of segmenters that read images in the same way.

    It decides by the rules that they have in common, such as a `target_fpr`; else by its own.
    """
    from sk_ssimae.estimators import EnsembleSegmenter, Role

    first, *others = members.values()
    names = [*OF_IMAGES, "validation_fraction", "memory", *first.parameter_names(Role.DECISION)]
    common = {
        name: value
        for name, value in ((name, getattr(first, name)) for name in names)
        if all(getattr(other, name) == value for other in others)
    }
    for name in ("threshold", "extent_threshold"):
        # A number is a residual of one segmenter, not a sum of surprises.
        if not isinstance(common.get(name), str):
            common.pop(name, None)
    return EnsembleSegmenter(list(members.items()), random_state=seed, **common)


def _subsets(kinds: list[list[int]]) -> Iterator[tuple[list[int], ...]]:
    for size in range(2, len(kinds) + 1):
        yield from combinations(kinds, size)


def _read_alike(candidates: Sequence[Candidate], group: Sequence[int]) -> bool:
    first, *others = (candidates[index].segmenter for index in group)
    return all(
        getattr(first, name) == getattr(other, name) for other in others for name in OF_IMAGES
    )


def _score(members: Sequence[Outcome], bench: Bench) -> Outcome:
    start = time.monotonic()
    scored = [member.scored for member in members if member.scored]
    maps = bench.combine([one.maps for one in scored])
    per_map = sum(one.seconds_per_map for one in scored)
    network = next((member for member in members if member.speed), None)
    return Outcome(
        PLUS.join(member.name for member in members),
        "scored",
        [{}],
        Scored([bench.score(maps)], 0, maps, per_map),
        seconds=time.monotonic() - start,
        fit_seconds=sum(member.fit_seconds for member in members),
        n_patches=network.n_patches if network else None,
        speed=network.speed if network else None,
        members=tuple(member.name for member in members),
    )
