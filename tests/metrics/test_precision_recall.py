import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve

from sk_ssimae.metrics import pixel_average_precision_score, pixel_f1_max_score


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_average_precision_equals_scikit_learn(kind, dtype, make_case):
    rng = np.random.default_rng(0)
    for _ in range(5):
        masks, scores = make_case(kind, rng)
        scores = scores.astype(dtype)
        expected = average_precision_score(masks.ravel(), scores.ravel())
        assert pixel_average_precision_score(masks, scores) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_f1_is_the_maximum_and_its_threshold_reaches_it(kind, dtype, make_case):
    rng = np.random.default_rng(1)
    for _ in range(5):
        masks, scores = make_case(kind, rng)
        scores = scores.astype(dtype)
        precision, recall, _ = precision_recall_curve(masks.ravel(), scores.ravel())
        f1, threshold = pixel_f1_max_score(masks, scores)
        possible = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
        assert f1 == pytest.approx(possible.max(), abs=1e-12)
        predicted = scores > np.float64(threshold)
        assert f1_score(masks.ravel(), predicted.ravel()) == pytest.approx(f1, abs=1e-12)


def test_monotone_transforms_change_nothing(make_case):
    masks, scores = make_case("plain", np.random.default_rng(2))
    precision, f1 = pixel_average_precision_score(masks, scores), pixel_f1_max_score(masks, scores)
    for transformed in (np.exp(scores), 3 * scores - 7):
        assert pixel_average_precision_score(masks, transformed) == precision
        assert pixel_f1_max_score(masks, transformed).f1 == f1.f1


def test_wrong_inputs(assert_checks_images):
    assert_checks_images(pixel_average_precision_score)
    assert_checks_images(pixel_f1_max_score)


def test_threshold_is_exact_in_the_precision_of_the_maps(make_case):
    masks, scores = make_case("plain", np.random.default_rng(3))
    mixed = [scores[0].astype(np.float32), scores[1], scores[2].astype(np.float16)]
    for maps in (scores.astype(np.float16), mixed):
        f1, threshold = pixel_f1_max_score(masks, maps)
        predicted = [residual_map > threshold for residual_map in maps]
        assert f1_score(masks.ravel(), np.ravel(predicted)) == pytest.approx(f1, abs=1e-12)
    everything = pixel_f1_max_score([[[1, 1, 0]]], [np.float16([[5, 5, 5]])])
    assert np.float16(5) > everything.threshold
