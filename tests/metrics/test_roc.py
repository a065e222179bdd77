import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from sk_ssimae.metrics import image_roc_auc_score, pixel_roc_auc_score, pixel_roc_curve


@pytest.mark.parametrize("max_fpr", [None, 1.0, 0.3, 0.01, 0.0004])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_area_equals_scikit_learn(kind, max_fpr, dtype, make_case):
    rng = np.random.default_rng(0)
    for _ in range(5):
        masks, scores = make_case(kind, rng)
        scores = scores.astype(dtype)
        expected = roc_auc_score(masks.ravel(), scores.ravel(), max_fpr=max_fpr)
        area = pixel_roc_auc_score(masks, scores, max_fpr=max_fpr)
        assert area == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_curve_equals_the_corners_of_scikit_learn(kind, dtype, make_case):
    masks, scores = make_case(kind, np.random.default_rng(1))
    scores = scores.astype(dtype)
    points = list(
        zip(*roc_curve(masks.ravel(), scores.ravel(), drop_intermediate=False), strict=True)
    )
    expected = [
        point
        for before, point, after in zip(points, points[1:], points[2:], strict=False)
        if not any(before[axis] == point[axis] == after[axis] for axis in (0, 1))
    ]
    expected = [points[0], *expected, points[-1]]
    curve = pixel_roc_curve(masks, scores)
    assert curve[2].dtype == dtype
    np.testing.assert_allclose(np.stack(curve, axis=1), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("tolerance", [0.3, 0.01, 1e-3])
def test_thinned_curve_respects_its_bound(kind, tolerance, make_case):
    masks, scores = make_case(kind, np.random.default_rng(2), shape=(3, 90, 90))
    fpr, tpr, thresholds = pixel_roc_curve(masks, scores, area_tolerance=tolerance)
    assert len(fpr) <= 1 / tolerance + 4
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(tpr, fpr) == pytest.approx(
        pixel_roc_auc_score(masks, scores), abs=tolerance
    )
    exact = set(zip(*pixel_roc_curve(masks, scores), strict=True))
    assert set(zip(fpr, tpr, thresholds, strict=True)) <= exact
    if kind == "plain" and tolerance == 1e-3:
        assert len(fpr) < len(exact) / 2


def test_monotone_transforms_change_nothing(make_case):
    masks, scores = make_case("plain", np.random.default_rng(1))
    fpr, tpr, _ = pixel_roc_curve(masks, scores)
    for transformed in (np.exp(scores), 3 * scores - 7, np.arctan(scores)):
        for max_fpr in (None, 0.1):
            area = pixel_roc_auc_score(masks, scores, max_fpr=max_fpr)
            assert pixel_roc_auc_score(masks, transformed, max_fpr=max_fpr) == area
        np.testing.assert_array_equal(pixel_roc_curve(masks, transformed)[:2], (fpr, tpr))


def test_lists_of_different_sizes_are_pooled(make_case):
    masks, scores = make_case("plain", np.random.default_rng(2))
    parts = [0, slice(3, 9)], [1, slice(0, 20)]
    some_masks = [masks[i][rows] for i, rows in parts]
    some_scores = [scores[i][rows] for i, rows in parts]
    expected = roc_auc_score(
        np.concatenate([m.ravel() for m in some_masks]),
        np.concatenate([s.ravel() for s in some_scores]),
    )
    assert pixel_roc_auc_score(some_masks, some_scores) == pytest.approx(expected, abs=1e-12)


def test_inputs_are_not_changed(make_case):
    masks, scores = make_case("plain", np.random.default_rng(3))
    before = scores.copy()
    pixel_roc_auc_score(masks.astype(np.uint8) * 255, scores)
    np.testing.assert_array_equal(scores, before)


def test_wrong_inputs(make_case, assert_checks_images):
    assert_checks_images(pixel_roc_auc_score)
    assert_checks_images(pixel_roc_curve)
    masks, scores = make_case("plain", np.random.default_rng(4))
    with pytest.raises(ValueError, match=r"max_fpr must lie in \(0, 1\], got 0"):
        pixel_roc_auc_score(masks, scores, max_fpr=0)
    with pytest.raises(ValueError, match=r"area_tolerance must lie in \[0, 1\), got 1"):
        pixel_roc_curve(masks, scores, area_tolerance=1)


def test_image_area_equals_scikit_learn():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, size=50)
    scores = np.round(rng.normal(size=50) + labels, 1)
    expected = pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert image_roc_auc_score(labels, scores) == expected
    # One defective pixel makes an image defective; its score is the maximum of its map.
    masks = np.zeros((50, 4, 5), dtype=bool)
    masks[labels == 1, 2, 3] = True
    maps = [np.minimum(score, rng.normal(size=(4, 5))) for score in scores]
    for residual_map, score in zip(maps, scores, strict=True):
        residual_map[0, 1] = score
    assert image_roc_auc_score(masks, maps) == expected


def test_wrong_image_inputs():
    with pytest.raises(ValueError, match="got no good image"):
        image_roc_auc_score([1, 1], [0.5, 0.2])
    with pytest.raises(ValueError, match="got no defective image"):
        image_roc_auc_score(np.zeros((2, 3, 3)), [0.5, 0.2])
    with pytest.raises(ValueError, match=r"scores\[1\] must be a finite number"):
        image_roc_auc_score([0, 1], [0.5, np.nan])
    with pytest.raises(
        ValueError, match="y and scores must have the same length, got 3 and 2 instead"
    ):
        image_roc_auc_score([0, 1, 1], [0.5, 0.2])
    with pytest.raises(ValueError, match="at least one image, got none"):
        image_roc_auc_score([], [])
