import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sk_ssimae.metrics import pixel_roc_auc_score


def make_case(kind, rng):
    masks = rng.random((3, 20, 30)) < (0.001 if kind == "imbalance" else 0.2)
    masks[0, 0, 0], masks[0, 0, 1] = True, False
    scores = rng.normal(size=masks.shape) + masks
    if kind == "ties":
        scores = np.round(scores * 2)
    if kind == "constant":
        scores = np.full(masks.shape, 0.5)
    if kind == "skewed":
        scores = np.exp(10 * scores)
    return masks, scores


@pytest.mark.parametrize("max_fpr", [None, 1.0, 0.3, 0.01, 0.0004])
@pytest.mark.parametrize("kind", ["plain", "ties", "constant", "imbalance", "skewed"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_scikit_learn(kind, max_fpr, dtype):
    rng = np.random.default_rng(0)
    for _ in range(5):
        masks, scores = make_case(kind, rng)
        scores = scores.astype(dtype)
        expected = roc_auc_score(masks.ravel(), scores.ravel(), max_fpr=max_fpr)
        area = pixel_roc_auc_score(masks, scores, max_fpr=max_fpr)
        assert area == pytest.approx(expected, abs=1e-12)


def test_monotone_transforms_change_nothing():
    masks, scores = make_case("plain", np.random.default_rng(1))
    for max_fpr in (None, 0.1):
        area = pixel_roc_auc_score(masks, scores, max_fpr=max_fpr)
        for transformed in (np.exp(scores), 3 * scores - 7, np.arctan(scores)):
            assert pixel_roc_auc_score(masks, transformed, max_fpr=max_fpr) == area


def test_lists_of_different_sizes_are_pooled():
    masks, scores = make_case("plain", np.random.default_rng(2))
    parts = [0, slice(3, 9)], [1, slice(0, 20)]
    some_masks = [masks[i][rows] for i, rows in parts]
    some_scores = [scores[i][rows] for i, rows in parts]
    expected = roc_auc_score(
        np.concatenate([m.ravel() for m in some_masks]),
        np.concatenate([s.ravel() for s in some_scores]),
    )
    assert pixel_roc_auc_score(some_masks, some_scores) == pytest.approx(expected, abs=1e-12)


def test_inputs_are_not_changed():
    masks, scores = make_case("plain", np.random.default_rng(3))
    before = scores.copy()
    pixel_roc_auc_score(masks.astype(np.uint8) * 255, scores)
    np.testing.assert_array_equal(scores, before)


def test_wrong_inputs():
    masks, scores = make_case("plain", np.random.default_rng(4))
    with pytest.raises(ValueError, match="must be equally many, got 3 and 2"):
        pixel_roc_auc_score(masks, scores[:2])
    with pytest.raises(ValueError, match=r"residual_maps\[1\] must have the shape of its mask"):
        pixel_roc_auc_score(masks, [scores[0], scores[1][:5], scores[2]])
    with pytest.raises(ValueError, match=r"residual_maps\[2\] holds NaN or infinity"):
        pixel_roc_auc_score(masks, [scores[0], scores[1], np.where(masks[2], np.nan, scores[2])])
    with pytest.raises(ValueError, match=r"masks\[0\] must hold only 0 .* got the values \[1, 2\]"):
        pixel_roc_auc_score(masks + 1, scores)
    with pytest.raises(ValueError, match="got no defective one"):
        pixel_roc_auc_score(np.zeros_like(masks), scores)
    with pytest.raises(ValueError, match="got no good one"):
        pixel_roc_auc_score(np.ones_like(masks), scores)
    with pytest.raises(ValueError, match="at least one image, got none"):
        pixel_roc_auc_score([], [])
    with pytest.raises(ValueError, match=r"max_fpr must lie in \(0, 1\], got 0"):
        pixel_roc_auc_score(masks, scores, max_fpr=0)
