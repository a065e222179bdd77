import numpy as np
import pytest

from sk_ssimae import metrics
from sk_ssimae.metrics import _pooling


@pytest.mark.parametrize(
    "score",
    [
        metrics.pixel_roc_auc_score,
        lambda masks, maps: metrics.pixel_roc_auc_score(masks, maps, max_fpr=0.1),
        metrics.pixel_average_precision_score,
        metrics.pixel_f1_max_score,
        metrics.pro_auc_score,
    ],
)
def test_results_do_not_depend_on_slice_length(score, kind, make_case, monkeypatch):
    case = make_case(kind, np.random.default_rng(0))
    whole = score(*case)
    monkeypatch.setattr(_pooling, "_SLICE_LENGTH", 7)
    assert score(*case) == pytest.approx(whole, abs=1e-12)


def test_types_may_be_mixed():
    masks = [np.array([[0, 1]]), np.array([[True, False]]), np.array([[255], [0]], dtype=np.uint8)]
    maps = [np.float32([[0.1, 0.9]]), np.float64([[0.8, 0.2]]), np.uint8([[1], [0]])]
    assert metrics.pixel_roc_auc_score(masks, maps) == 1
    assert metrics.pro_auc_score(masks, maps) == pytest.approx(1)


def test_maps_may_be_an_iterator(make_case):
    masks, maps = make_case("plain", np.random.default_rng(0))
    from_iterators = metrics.pixel_roc_auc_score(
        iter(masks), (residual_map for residual_map in maps)
    )
    assert from_iterators == metrics.pixel_roc_auc_score(masks, maps)


@pytest.mark.parametrize(
    ("maps", "error", "message"),
    [
        (None, TypeError, "residual_maps must be an array or a sequence, got None"),
        ([[["a", "b"]]], ValueError, r"residual_maps\[0\] must contain real numbers, got <U1"),
        ([[[1j, 0]]], ValueError, r"residual_maps\[0\] must contain real numbers, got complex128"),
        ([[[1, 2], [3]]], ValueError, r"residual_maps\[0\] must have shape .* unequal length"),
    ],
)
def test_wrong_maps(maps, error, message):
    with pytest.raises(error, match=message):
        metrics.pixel_roc_auc_score([[[0, 1]]], maps)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda k, s: metrics.pro_auc_score(k, s, max_fpr="0.3"), ValueError, "max_fpr .* '0.3'"),
        (
            lambda k, s: metrics.pixel_roc_curve(k, s, area_tolerance="x"),
            ValueError,
            "area_tolerance .* got 'x'",
        ),
        (lambda k, s: metrics.region_overlap_quantiles(k, s, "x"), ValueError, "fpr .* got x"),
        (lambda k, s: metrics.image_roc_auc_score([0], ["a"]), ValueError, r"scores\[0\] .* 'a'"),
        (lambda k, s: metrics.image_roc_auc_score([0], None), TypeError, "scores .* got None"),
        (
            lambda k, s: metrics.image_roc_auc_score([0, 1], [1]),
            ValueError,
            "y and scores .* 2 and 1 instead",
        ),
        (
            lambda k, s: metrics.region_overlap_quantiles(k, s, 0.1, quantiles=0.5),
            ValueError,
            "quantiles must be a sequence of numbers, got 0.5",
        ),
    ],
)
def test_wrong_numbers_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call([[[0, 1]]], [[[0.1, 0.2]]])
