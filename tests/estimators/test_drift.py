import math
import re

import numpy as np
import pytest
from scipy import stats
from sklearn.exceptions import NotFittedError

from sk_ssimae import PatchDictionarySegmenter
from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.estimators import Drift
from sk_ssimae.estimators._calibration import Calibration
from sk_ssimae.estimators._drift import compare, keep_typical, typical_residual


def fabric(n, seed):
    return make_woven_fabric(n, shape=(96, 96), random_state=seed)


def calibration(typical, **changed):
    usual = Calibration(
        *(9.0, 1.0, "image_fpr", 0.01, "images", len(typical)), 0.1, tuple(typical), 2.0, {}
    )
    return usual._replace(**changed)


@pytest.fixture(scope="module")
def segmenter():
    return PatchDictionarySegmenter(random_state=0).fit(fabric(8, 0)).calibrate(fabric(6, 1))


def test_p_values_are_those_of_the_two_tests():
    then, now = [1.0, 1.2, 0.9, 1.1], [1.6, 1.4, 1.9]
    drift = compare(calibration(then), now, np.array([8.0, 9.5, 12.0]))
    assert drift.p_value == pytest.approx(stats.ttest_ind(then, now).pvalue)
    assert drift.shift == pytest.approx((np.mean(now) - np.mean(then)) / 2)
    # Two of three exceed 9: 3 · 0.01² · 0.99 + 0.01³.
    assert drift.flagged_p_value == pytest.approx(0.000298)
    assert drift[3:] == (2, 3, 4)


def test_a_single_image_of_one_set_suffices():
    assert 0 < compare(calibration([1.0, 1.2, 0.9]), [1.5], np.array([2.0])).p_value < 1
    assert 0 < compare(calibration([1.0]), [1.5, 1.4], np.array([2.0, 2.0])).p_value < 1
    with pytest.raises(ValueError, match="X must contain more than 1 good image: calibration had"):
        compare(calibration([1.0]), [1.5], np.array([2.0]))


def test_identical_images():
    same = compare(calibration([1.0, 1.0], block_spread=0.0), [1.0, 1.0], np.array([1.0, 1.0]))
    assert (same.p_value, same.shift, same.action) == (1, 0, "none")
    other = compare(calibration([1.0, 1.0], block_spread=0.0), [2.0, 2.0], np.array([1.0, 1.0]))
    assert (other.p_value, other.shift, other.action) == (0, math.inf, "train")


def test_a_threshold_for_pixels_says_nothing_of_images():
    scores = np.full(3, 10.0)
    drift = compare(calibration([1.0, 1.2, 0.9], rule="pixel_fpr"), [1.0, 1.1, 0.9], scores)
    assert (drift.n_flagged, drift.flagged_p_value, drift.action) == (3, 1, "none")


@pytest.mark.parametrize(
    ("drift", "action", "words"),
    [
        (Drift(0.5, 3.0, 0.3, 0, 5, 6), "none", "No drift found: .* Nothing to do"),
        (Drift(0.001, 0.05, 0.3, 0, 5, 6), "none", "Nothing to do"),
        (
            Drift(0.001, 0.5, 0.3, 1, 5, 6),
            "calibrate",
            r"risen by 0\.5 .* 1 of 5 .* Call calibrate",
        ),
        (Drift(0.001, -9.0, 1.0, 0, 5, 6), "calibrate", "fallen by 9 .* Call calibrate"),
        (Drift(0.5, 0.1, 0.001, 3, 5, 6), "calibrate", "3 of 5 .* then call calibrate"),
        (Drift(0.001, 9.0, 0.001, 5, 5, 6), "train", "risen by 9 .* call partial_fit"),
    ],
)
def test_advice(drift, action, words):
    assert drift.action == action
    assert re.search(words, drift.advice())


def test_typical_residuals_ignore_a_speck():
    opened = np.random.default_rng(0).random((60, 60))
    speck = opened.copy()
    speck[3:5, 3:5] = 1e6
    assert typical_residual(speck, (60, 60))[0] == pytest.approx(
        typical_residual(opened, (60, 60))[0], abs=0.01
    )


def test_as_many_images_are_kept_as_a_file_stores():
    typical, spread = keep_typical([(float(i), 4.0) for i in range(2500)])
    assert len(typical) == 834
    assert (typical[0], typical[-1], spread) == (0.0, 2499.0, 2.0)


def test_drift_is_found_and_good_images_are_not(segmenter):
    assert segmenter.check_drift(fabric(5, 2)).action == "none"
    assert segmenter.check_drift(0.6 * fabric(5, 2)).action == "train"
    assert segmenter.calibration_.typical_residuals == tuple(
        typical_residual(segmenter._open(m), (96, 96))[0]
        for m in segmenter.decision_function(fabric(6, 1))
    )


def test_defects_in_few_blocks_are_no_drift(segmenter):
    today = fabric(5, 2)
    today[0, 40:50, 40:50] = 0
    drift = segmenter.check_drift(today)
    assert drift.n_flagged >= 1
    assert drift.p_value > 0.01


def test_drift_needs_a_calibration(segmenter):
    fixed = PatchDictionarySegmenter(threshold=1.0, random_state=0).fit(fabric(2, 0))
    with pytest.raises(ValueError, match=r"threshold=1\.0 is a fixed number, found without good"):
        fixed.check_drift(fabric(5, 2))
    with pytest.raises(NotFittedError, match="has not been calibrated: call calibrate"):
        fixed.set_params(threshold="image_fpr").check_drift(fabric(5, 2))
    with pytest.raises(NotFittedError):
        PatchDictionarySegmenter().check_drift(fabric(5, 2))
