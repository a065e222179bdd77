"""Metrics, thresholds and choices."""

import warnings
from typing import Any

import numpy as np
from call import Call
from hypothesis import strategies as st
from values import (
    anything,
    as_dtype,
    layouts,
    masks_and_maps,
    no_integers,
    no_numbers,
    others,
    seeded,
    seeds,
    spoiled,
)

from sk_ssimae import metrics, model_selection
from sk_ssimae.datasets._defects import FAMILIES
from sk_ssimae.exceptions import SelectionWarning

_pairs = masks_and_maps()
_wild = {"masks": anything, "residual_maps": anything}
_spoiled = {"masks": spoiled, "residual_maps": spoiled}
_rates = st.floats(1e-6, 1)
_no_rates = no_numbers | st.sampled_from((0, -1, 1.5, float("inf"), -float("inf")))


def in_unit(value: Any, _: Any = None) -> None:
    assert type(value) is float
    assert -1e-9 <= value <= 1 + 1e-9


def _is_curve(result: Any, _: Any) -> None:
    fpr, tpr, thresholds = result
    assert fpr.shape == tpr.shape == thresholds.shape
    assert fpr[0] == tpr[0] == 0
    assert fpr[-1] == tpr[-1] == 1
    assert (np.diff(fpr) >= 0).all()
    assert (np.diff(tpr) >= 0).all()
    assert thresholds[0] == np.inf
    assert np.isfinite(thresholds[1:]).all()


def _is_f1(result: Any, _: Any) -> None:
    in_unit(result.f1)
    assert result.f1 > 0
    assert np.isfinite(result.threshold)


def _are_quantiles(result: Any, arguments: Any) -> None:
    n_quantiles = np.size(arguments.get("quantiles", (0, 0, 0)))
    assert result.size == np.size(arguments["fpr"]) * n_quantiles
    assert ((result >= 0) & (result <= 1)).all()


def _is_finite(result: Any, _: Any) -> None:
    assert type(result) is float
    assert np.isfinite(result)


def _with(**more: Any) -> Any:
    return st.builds(lambda pair, **given: {**pair, **given}, _pairs, **more)


def _of_pairs(name: str, check: Any, **more: Any) -> list[Call]:
    function = getattr(metrics, name)
    good = more.pop("good", _pairs)
    wild, refused = more.pop("wild", {}), more.pop("refused", {})
    return [
        Call(f"metrics.{name}", function, good, check, _wild | wild, refused),
        Call(f"metrics.{name}", function, good, check, _spoiled, {}),
    ]


class _Maps:
    """Segmenter with known residual maps."""

    def __init__(self, maps: Any) -> None:
        self.maps = maps

    def decision_function(self, X: Any) -> Any:
        return self.maps


def _score(scorer: Any) -> Any:
    def call(y: Any, maps: Any) -> Any:
        return scorer(_Maps(maps), maps, y)

    return call


_scored = _pairs.map(
    lambda pair: {"y": list(np.asarray(pair["masks"])), "maps": pair["residual_maps"]}
)


def _are_scores(result: Any, _: Any) -> None:
    assert set(result) == {"pixel_roc_auc", "pixel_average_precision", "pixel_f1_max", "pro_auc"}
    for value in result.values():
        in_unit(value)


@st.composite
def _labelled(draw: Any) -> dict[str, Any]:
    n = draw(st.integers(2, 6))
    labels = [0, 1, *draw(st.lists(st.sampled_from((0, 1)), min_size=n - 2, max_size=n - 2))]
    scores = draw(
        st.lists(st.floats(-1e300, 1e300) | st.integers(-5, 5), min_size=n, max_size=n)
        | st.lists(
            st.sampled_from((np.zeros((2, 2)), np.ones((3, 1), "i1"))), min_size=n, max_size=n
        )
    )
    kind = draw(st.sampled_from((list, tuple, np.array)))
    return {"y": kind(labels), "scores": scores}


@st.composite
def _splittable(draw: Any) -> dict[str, Any]:
    n_splits, n_good = draw(st.integers(2, 3)), draw(st.integers(3, 8))
    labels = np.array([0] * n_good + [1] * draw(st.integers(3, 5)))
    masks = np.zeros((len(labels), 3, 4), bool)
    masks[labels == 1, 1, 2] = True
    return {
        "n_splits": n_splits,
        "shuffle": draw(st.booleans()),
        "random_state": draw(st.sampled_from((None, 0, np.int64(3)))),
        "X": draw(st.sampled_from((labels, list(labels), masks))),
        "y": draw(st.sampled_from((labels, list(labels), masks, list(masks), labels.astype(bool)))),
        "groups": draw(
            st.sampled_from((None, list(range(len(labels))), [f"{n}" for n in range(len(labels))]))
        ),
    }


def _split(n_splits: Any, shuffle: Any, random_state: Any, X: Any, y: Any, groups: Any) -> Any:
    folds = model_selection.DefectFreeKFold(n_splits, shuffle=shuffle, random_state=random_state)
    return list(folds.split(X, y, groups))


def _are_folds(result: Any, arguments: dict[str, Any]) -> None:
    assert len(result) == arguments["n_splits"]
    tested = np.concatenate([test for _, test in result])
    assert sorted(tested) == list(range(len(arguments["X"])))
    for train, test in result:
        assert not np.intersect1d(train, test).size


def _good_scores(array: bool) -> Any:
    several = st.lists(st.floats(-1e300, 1e300), min_size=10, max_size=30)
    return several.map(np.array) if array else several


_calibrating = st.fixed_dictionaries(
    {
        "residual_maps": _pairs.map(lambda pair: pair["residual_maps"]),
        "target_fpr": st.floats(1e-300, 0.999999),
    }
)


@st.composite
def _paintable(draw: Any) -> dict[str, Any]:
    n = draw(st.integers(3, 5))
    shape = (n, draw(st.integers(16, 32)), draw(st.integers(16, 32)))
    channels = draw(st.sampled_from((None, 1, 3)))
    good = seeded(draw(seeds)).random(shape if channels is None else (*shape, channels))
    good = draw(layouts)(as_dtype(good, draw(st.sampled_from(("u1", "u2", "f4", "f8")))))
    names = st.lists(st.sampled_from(sorted(FAMILIES)), min_size=1, max_size=2, unique=True)
    inside = np.zeros(shape[1:], dtype=bool)
    inside[2:14, 3:] = True
    return {
        "X": draw(st.sampled_from((good, list(good)))),
        "families": draw(names),
        "n_per_family": draw(st.sampled_from((None, 1, n))),
        "severity": draw(st.floats(0.01, 1)),
        "groups": draw(st.sampled_from((None, list(range(n)), ["a", "b", "b", "c", "c"][:n]))),
        "roi": draw(st.sampled_from((None, inside, [inside] * n))),
        "random_state": draw(st.sampled_from((None, 0, np.int64(3)))),
    }


def _is_selection_set(result: Any, arguments: dict[str, Any]) -> None:
    X, y = result
    n_good = len(arguments["X"])
    assert len(X) == len(y) == len(result.groups) == len(result.families)
    assert [mask.any() for mask in y] == [family is not None for family in result.families]
    for mask, image in zip(y, X, strict=True):
        assert mask.shape == np.asarray(image).shape[:2]
    assert set(result.groups[n_good:]) <= set(result.groups[:n_good])
    assert all(0 < severity <= 1 for severity in result.severities.values())
    if result.roi is not None:
        assert not any((mask & ~inside).any() for mask, inside in zip(y, result.roi, strict=True))


_some_selection = model_selection.make_selection_set(
    seeded(0).random((3, 16, 16)), families=["cut", "blur"], severity=1, random_state=0
)


def _score_families(selection: Any, max_fpr: float, y: Any) -> Any:
    scorer = model_selection.FamilyScorer(selection, max_fpr=max_fpr)
    maps = [np.arange(256.0).reshape(16, 16)] * len(y)
    return scorer(_Maps(maps), maps, y)


def _are_family_scores(result: Any, _: Any) -> None:
    assert list(result) == ["cut", "blur"]
    for value in result.values():
        in_unit(value)


_ranked = st.lists(st.integers(0, 5), min_size=4, max_size=4)
_table = st.fixed_dictionaries(
    {
        "scores": st.dictionaries(st.sampled_from(sorted(FAMILIES)), _ranked, min_size=1),
        "candidates": st.just([{"n": n} for n in range(4)]),
    }
)


def _report(scores: Any, candidates: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SelectionWarning)
        return model_selection.SelectionReport.from_scores(scores, candidates)


def _is_report(result: Any, arguments: dict[str, Any]) -> None:
    assert result.ranks.shape == (len(arguments["candidates"]), len(arguments["scores"]))
    assert result.mean_ranks[result.best_index] == result.mean_ranks.min()
    assert result.best_index not in result.decisive.values()
    assert str(result)


def _choose(cv_results: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SelectionWarning)
        return model_selection.choose_by_rank(cv_results)


def _is_index(result: Any, arguments: dict[str, Any]) -> None:
    assert result in range(len(arguments["cv_results"]["params"]))


def _are_candidates(result: Any, _: Any) -> None:
    assert {type(candidate) for candidate in result} == {model_selection.Candidate}
    for candidate in result:
        candidate.segmenter.check_parameters()
        assert candidate.settings()


CALLS = [
    Call(
        "model_selection.default_candidates",
        model_selection.default_candidates,
        st.fixed_dictionaries(
            {
                "X": st.sampled_from(
                    (
                        np.zeros((2, 40, 56)),
                        np.zeros((1, 8, 9, 3), "u1"),
                        [np.zeros((600, 520), "u2"), np.zeros((500, 700), "u2")],
                    )
                ),
                "device": st.sampled_from(("auto", "cpu")),
            }
        ),
        _are_candidates,
        {},
        {"X": st.sampled_from((None, 3, "text", [], np.zeros((4, 5)), np.zeros((0, 4, 5))))},
        share=1,
    ),
    Call(
        "model_selection.make_selection_set",
        model_selection.make_selection_set,
        _paintable(),
        _is_selection_set,
        {"families": others, "n_per_family": others, "groups": anything, "random_state": others},
        {
            "X": st.sampled_from(
                (None, 3, "text", np.zeros((3, 4, 16)), np.full((3, 16, 16), 7.0))
            ),
            "severity": no_numbers | st.sampled_from((0, -1, 1.5, True)),
            "roi": st.sampled_from((3, "mask.png", np.zeros((4, 4)), [])),
            "n_per_family": st.sampled_from((0, -1, 100, 2.5)),
        },
    ),
    Call(
        "model_selection.FamilyScorer",
        _score_families,
        st.fixed_dictionaries(
            {
                "selection": st.just(_some_selection),
                "max_fpr": _rates,
                "y": st.sampled_from((_some_selection.y, list(_some_selection.y))),
            }
        ),
        _are_family_scores,
        {"max_fpr": others},
        {
            "selection": no_numbers,
            "max_fpr": _no_rates,
            "y": st.sampled_from(([0, 1], np.zeros((2, 16, 16)), np.ones((2, 16, 16)))),
        },
    ),
    Call(
        "model_selection.SelectionReport",
        _report,
        _table,
        _is_report,
        {},
        {
            "scores": st.sampled_from(({}, {"cut": [1, 2]}, {"cut": [1, 2, 3, float("nan")]})),
            "candidates": st.sampled_from(([], [{"n": 1}])),
        },
        may_name=["scores"],
    ),
    Call(
        "model_selection.choose_by_rank",
        _choose,
        _ranked.map(
            lambda scores: {
                "cv_results": {
                    "params": [{"n": n} for n in range(4)],
                    "mean_test_cut": np.array(scores),
                    "split0_test_cut": np.array(scores),
                }
            }
        ),
        _is_index,
        {},
        {"cv_results": st.sampled_from(({}, {"params": [], "mean_test_score": []}))},
    ),
    *_of_pairs(
        "pixel_roc_auc_score",
        in_unit,
        good=_with(max_fpr=st.none() | _rates),
        refused={"max_fpr": _no_rates.filter(lambda rate: rate is not None)},
        wild={"max_fpr": others},
    ),
    *_of_pairs(
        "pixel_roc_curve",
        _is_curve,
        good=_with(area_tolerance=st.sampled_from((0, 1e-3, 0.5))),
        refused={"area_tolerance": no_numbers | st.sampled_from((-1, 1, 2.0))},
        wild={"area_tolerance": others},
    ),
    *_of_pairs("pixel_average_precision_score", in_unit),
    *_of_pairs("pixel_f1_max_score", _is_f1),
    *_of_pairs(
        "pro_auc_score",
        in_unit,
        good=_with(max_fpr=_rates),
        refused={"max_fpr": _no_rates},
        wild={"max_fpr": others},
    ),
    *_of_pairs("per_region_overlap_curve", _is_curve, wild={"area_tolerance": others}),
    *_of_pairs(
        "region_overlap_quantiles",
        _are_quantiles,
        good=_with(
            fpr=_rates | st.lists(_rates, min_size=1, max_size=3),
            quantiles=st.lists(st.floats(0, 1), min_size=1, max_size=3),
        ),
        refused={
            "fpr": no_numbers.filter(
                lambda v: (
                    v
                    not in (
                        [],
                        (),
                    )
                )
            ),
            "quantiles": no_numbers.filter(
                lambda v: (
                    v
                    not in (
                        [],
                        (),
                    )
                )
            ),
        },
        wild={"fpr": anything, "quantiles": anything},
    ),
    Call(
        "metrics.image_roc_auc_score",
        metrics.image_roc_auc_score,
        _labelled(),
        in_unit,
        {"y": anything, "scores": anything},
        {
            "scores": no_numbers.filter(
                lambda scores: not isinstance(scores, tuple) or scores != (1, 2)
            )
        },
    ),
    Call(
        "metrics.image_roc_auc_score",
        metrics.image_roc_auc_score,
        _labelled(),
        in_unit,
        {"y": spoiled, "scores": spoiled},
    ),
    Call(
        "metrics.SegmentationScorer",
        lambda scores, y, maps: _score(metrics.SegmentationScorer(scores))(y, maps),
        _scored.map(
            lambda given: {
                "scores": ("pixel_roc_auc", "pixel_average_precision", "pixel_f1_max", "pro_auc"),
                **given,
            }
        ),
        lambda result, arguments: [in_unit(value) for value in result.values()],
        {"scores": others, "y": anything},
        {"scores": no_numbers},
    ),
    *(
        Call(
            f"metrics.{name}_scorer",
            _score(getattr(metrics, f"{name}_scorer")),
            _scored,
            in_unit,
            {"y": spoiled},
            may_name=["masks"],  # Errors about y as a whole.
        )
        for name in ("pixel_roc_auc", "pixel_average_precision", "pixel_f1_max", "pro_auc")
    ),
    Call(
        "metrics.image_roc_auc_scorer",
        _score(metrics.image_roc_auc_scorer),
        st.just({"y": [0, 1, 1], "maps": [np.zeros((2, 2)), np.ones((2, 2)), np.eye(3)]}),
        in_unit,
        {"y": anything},
    ),
    Call(
        "model_selection.DefectFreeKFold",
        _split,
        _splittable(),
        _are_folds,
        {
            "n_splits": others,
            "random_state": others,
            "X": others,
            "y": anything,
            "groups": anything,
        },
        {"n_splits": no_integers | st.sampled_from((0, 1, -3))},
    ),
    Call(
        "model_selection.pixel_fpr_threshold",
        model_selection.pixel_fpr_threshold,
        _calibrating,
        _is_finite,
        {"residual_maps": anything, "target_fpr": others},
        {"target_fpr": no_numbers | st.sampled_from((0, 1, -1, 1.5))},
    ),
    Call(
        "model_selection.pixel_fpr_threshold",
        model_selection.pixel_fpr_threshold,
        _calibrating,
        _is_finite,
        {"residual_maps": spoiled},
    ),
    Call(
        "model_selection.image_fpr_threshold",
        model_selection.image_fpr_threshold,
        st.fixed_dictionaries(
            {
                "image_scores": _good_scores(False) | _good_scores(True),
                "target_fpr": st.floats(0.1, 0.999999),
            }
        ),
        _is_finite,
        {"image_scores": anything, "target_fpr": others},
        {"target_fpr": no_numbers | st.sampled_from((0, 1, -1, 1.5))},
        may_name=["target_fpr"],  # It may need more scores than there are.
    ),
    Call(
        "model_selection.extreme_value_threshold",
        model_selection.extreme_value_threshold,
        st.fixed_dictionaries(
            {
                "block_maxima": st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=9),
                "n_blocks": st.floats(1, 1e9),
                "target_fpr": st.floats(1e-9, 0.999999),
            }
        ),
        _is_finite,
        {"block_maxima": anything, "n_blocks": others, "target_fpr": others},
        {
            "n_blocks": no_numbers | st.sampled_from((0, -1, 0.5)),
            "target_fpr": no_numbers | st.sampled_from((0, 1, -1, 1.5)),
        },
    ),
]
