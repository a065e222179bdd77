import matplotlib.pyplot as plt
import numpy as np
import pytest

from sk_ssimae.model_selection import SelectionReport
from sk_ssimae.plotting import SelectionDisplay

REPORT = SelectionReport.from_scores(
    {"scar": [0.5, 0.9, 0.7], "blur": [0.3, 0.8, 0.6]},
    [{"candidate": "l2", "taper": 1}, {"candidate": "ssim"}, {"latent_dim": 50}],
)


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_rows_are_ordered_by_mean_rank_and_the_chosen_one_is_marked():
    display = SelectionDisplay.from_report(REPORT)
    labels = display.ax_.get_yticklabels()
    assert [label.get_text() for label in labels] == [
        "ssim (chosen)",
        "latent_dim=50",
        "l2: taper=1",
    ]
    assert [label.get_weight() for label in labels] == ["bold", "normal", "normal"]
    assert [line.get_label() for line in display.lines_] == ["scar", "blur"]
    np.testing.assert_array_equal(display.lines_[0].get_xdata(), [0.9, 0.7, 0.5])
    np.testing.assert_array_equal(display.lines_[1].get_xdata(), [0.8, 0.6, 0.3])
    assert display.ax_.yaxis_inverted()


def test_it_draws_on_given_axes():
    ax = plt.subplots()[1]
    assert SelectionDisplay.from_report(REPORT, ax=ax).ax_ is ax


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": [[1, 2]]}, r"scores must have shape \(n_candidates, n_families\), \(2, 1\)"),
        ({"mean_ranks": [1]}, r"mean_ranks must have shape \(n_candidates,\), \(2,\), got \(1,\)"),
        ({"best_index": 2}, "best_index must be the index of one of the 2 candidates, got 2"),
    ],
)
def test_numbers_must_agree(change, message):
    right = {
        "scores": [[0.1], [0.2]],
        "families": ["scar"],
        "candidates": ["a", "b"],
        "mean_ranks": [2, 1],
        "best_index": 1,
    }
    with pytest.raises(ValueError, match=message):
        SelectionDisplay(**right | change)


def test_other_objects_are_refused():
    with pytest.raises(TypeError, match="report must be a SelectionReport, got 3 instead"):
        SelectionDisplay.from_report(3)
    with pytest.raises(TypeError, match="ax must be matplotlib Axes, got 3 instead"):
        SelectionDisplay.from_report(REPORT, ax=3)
