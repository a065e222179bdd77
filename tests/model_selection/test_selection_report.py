import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from sk_ssimae.exceptions import SelectionWarning
from sk_ssimae.model_selection import SelectionReport, choose_by_rank

SIZES = [{"size": size} for size in (1, 2, 3)]


def report_of(scores, candidates=SIZES, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SelectionWarning)
        return SelectionReport.from_scores(scores, candidates, **options)


def test_ranks_count_and_not_differences():
    # The third is far ahead in one family and last in the others.
    report = report_of({"a": [0.52, 0.51, 0.5], "b": [0.52, 0.51, 0.5], "c": [0.1, 0.2, 0.99]})
    np.testing.assert_array_equal(report.ranks, [[1, 1, 3], [2, 2, 2], [3, 3, 1]])
    np.testing.assert_allclose(report.mean_ranks, [5 / 3, 2, 7 / 3])
    assert report.best_index == 0
    assert report.disagreeing == ("c",)
    np.testing.assert_array_equal(report.correlations, [[1, 1, -1], [1, 1, -1], [-1, -1, 1]])
    assert report.agreement["c"] == pytest.approx(-1)


def test_mean_score_decides_between_equal_ranks():
    assert report_of({"a": [0.5, 0.6], "b": [0.9, 0.6]}, SIZES[:2]).best_index == 0
    assert report_of({"a": [0.5, 0.9], "b": [0.7, 0.6]}, SIZES[:2]).best_index == 1


def test_a_choice_that_hangs_on_a_family_is_warned_of():
    scores = {"crease": [0.1, 0.9], "blur": [0.8, 0.7], "scar": [0.3, 0.4]}
    with pytest.warns(SelectionWarning, match="choice of size=2 hangs on the family 'crease'"):
        report = SelectionReport.from_scores(scores, SIZES[:2])
    assert report.best_index == 1
    assert report.decisive == {"crease": 0}
    assert "without it, size=1 would be chosen" in str(report)


def test_no_warning_if_families_agree():
    report = SelectionReport.from_scores(
        {"a": [0.1, 0.2, 0.3], "b": [0.4, 0.5, 0.6], "c": [0.7, 0.8, 0.9]}, SIZES
    )
    assert (report.decisive, report.disagreeing) == ({}, ())
    assert set(report.agreement.values()) == {1.0}


def test_only_an_eligible_candidate_is_chosen():
    scores = {"a": [0.9, 0.8, 0.1], "b": [0.9, 0.2, 0.3], "c": [0.5, 0.3, 0.6]}
    free = report_of(scores)
    assert free.best_index == 0
    report = report_of(scores, eligible=[False, True, True])
    np.testing.assert_array_equal(report.ranks, free.ranks)
    # Their ranks add up to 8 and 6; without the last family, to 5 each, where the mean decides.
    assert report.best_index == 2
    assert report.decisive == {"c": 1}
    assert report_of(scores, eligible=np.array([False, True, False])).best_index == 1


@pytest.mark.parametrize("eligible", [[True], [False] * 3, [1, 0, 1], [[True] * 3]])
def test_wrong_eligible(eligible):
    with pytest.raises(ValueError, match="eligible must be a bool for each of the 3 candidates"):
        report_of({"a": [0.9, 0.8, 0.1]}, eligible=eligible)


def test_a_single_family_or_candidate():
    report = SelectionReport.from_scores({"a": [0.1, 0.3, 0.2]}, SIZES)
    assert (report.best_index, report.agreement, report.decisive) == (1, {}, {})
    report = SelectionReport.from_scores({"a": [0.1], "b": [0.3]}, [{}])
    assert report.best_index == 0
    assert np.isnan(report.agreement["a"])
    assert "the defaults (chosen)" in str(report)


_scores = st.integers(1, 5).flatmap(
    lambda n: st.dictionaries(
        st.sampled_from("abcdef"),
        st.lists(st.integers(0, 4).map(lambda k: k / 4), min_size=n, max_size=n),
        min_size=1,
    )
)


@settings(deadline=None)
@given(scores=_scores)
def test_increasing_transforms_change_no_rank(scores):
    candidates = [{"n": n} for n in range(len(next(iter(scores.values()))))]
    report = report_of(scores, candidates)
    squared = report_of({name: np.square(own) for name, own in scores.items()}, candidates)
    np.testing.assert_array_equal(squared.ranks, report.ranks)
    assert report.mean_ranks[report.best_index] == report.mean_ranks.min()
    np.testing.assert_allclose(report.ranks.sum(axis=0), sum(range(1, len(candidates) + 1)))
    np.testing.assert_allclose(report.correlations, report.correlations.T, atol=1e-12)
    if len(candidates) == 1:
        return
    first, last = report.scores[:, 0], report.scores[:, -1]
    np.testing.assert_allclose(
        report.correlations[0, -1], kendalltau(first, last).statistic, atol=1e-12
    )


def test_table():
    table = report_of({"a": [0.1, 0.3, 0.2]}).table()
    assert table == {
        "candidate": SIZES,
        "a": [0.1, 0.3, 0.2],
        "mean_rank": [3.0, 1.0, 2.0],
        "chosen": [False, True, False],
    }


def results(**columns):
    return {"params": SIZES[:2], **{name: np.array(own) for name, own in columns.items()}}


def test_results_of_a_search():
    nan = float("nan")
    found = results(
        mean_test_a=[nan, nan],
        split0_test_a=[0.2, 0.1],
        split1_test_a=[nan, nan],  # A fold without this family.
        mean_test_b=[0.5, 0.4],
        split0_test_b=[0.6, 0.4],
        split1_test_b=[0.4, 0.4],
    )
    report = SelectionReport.from_cv_results(found)
    assert report.families == ("a", "b")
    np.testing.assert_allclose(report.scores, [[0.2, 0.5], [0.1, 0.4]])
    assert choose_by_rank(found) == report.best_index == 0


def test_wrong_results():
    nan = float("nan")
    with pytest.raises(
        ValueError, match=r"scores by family, got none\. Run the search with scoring"
    ):
        SelectionReport.from_cv_results(results(mean_test_score=[0.1, 0.2]))
    with pytest.raises(ValueError, match="family 'a', got NaN in all folds"):
        choose_by_rank(results(mean_test_a=[nan, nan], split0_test_a=[nan, nan]))
    with pytest.raises(ValueError, match=r"scores\['a'\] must be finite, .* candidate 1: its fit"):
        choose_by_rank(results(mean_test_a=[0.1, nan], split0_test_a=[0.1, nan]))
    with pytest.raises(ValueError, match="at least one family and one candidate, got 0 and 3"):
        SelectionReport.from_scores({}, SIZES)
    with pytest.raises(ValueError, match=r"scores\['a'\] must have one score for each of the 3"):
        SelectionReport.from_scores({"a": [0.1]}, SIZES)
    with pytest.raises(ValueError, match=r"scores\['a'\] must contain real numbers, got <U1"):
        SelectionReport.from_scores({"a": ["x"]}, SIZES[:1])


def test_arguments_of_other_types():
    with pytest.raises(TypeError, match=r"cv_results must be the cv_results_ of a .* got list"):
        choose_by_rank([0.1, 0.2])
    with pytest.raises(ValueError, match=r"cv_results must contain \['split0_test_a'\], got only"):
        choose_by_rank(results(mean_test_a=[0.1, 0.2]))
    with pytest.raises(ValueError, match=r"\['params', 'split0_test_a'\], got only \['mean_test_a"):
        choose_by_rank({"mean_test_a": [0.1, 0.2]})
    with pytest.raises(
        TypeError, match=r"scores must be a dict from the names of families .* list"
    ):
        SelectionReport.from_scores([0.1, 0.2, 0.3], SIZES)
    for candidates in (3, ["x"], {"size": 3}):
        with pytest.raises(TypeError, match="candidates must be a list with a dict of parameters"):
            SelectionReport.from_scores({"a": [0.1]}, candidates)
