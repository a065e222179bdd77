import pickle

import numpy as np
import pytest

from sk_ssimae import metrics
from sk_ssimae.metrics import SegmentationScorer

SINGLE = {
    "pixel_roc_auc": metrics.pixel_roc_auc_score,
    "pixel_average_precision": metrics.pixel_average_precision_score,
    "pixel_f1_max": lambda masks, maps: metrics.pixel_f1_max_score(masks, maps).f1,
    "pro_auc": metrics.pro_auc_score,
    "image_roc_auc": metrics.image_roc_auc_score,
}


class Negative:
    """Score dark pixels high, and count the calls."""

    n_passes = 0

    def decision_function(self, X):
        self.n_passes += 1
        return [1 - np.asarray(image) for image in X]


@pytest.fixture
def case(make_case):
    masks, scores = make_case("plain", np.random.default_rng(0))
    masks[2] = False
    return 1 - scores, masks, scores


@pytest.mark.parametrize("name", SINGLE)
def test_scorer_equals_the_score_of_the_residual_maps(name, case):
    X, masks, scores = case
    scorer = getattr(metrics, f"{name}_scorer")
    expected = pytest.approx(SINGLE[name](masks, scores), abs=1e-12)
    assert scorer(Negative(), X, masks) == expected
    assert pickle.loads(pickle.dumps(scorer))(Negative(), X, masks) == expected


def test_several_scores_from_one_pass(case):
    X, masks, _ = case
    estimator = Negative()
    scorer = pickle.loads(pickle.dumps(SegmentationScorer()))
    result = scorer(estimator, X, masks)
    assert estimator.n_passes == 1
    assert list(result) == list(SINGLE)
    for name, value in result.items():
        assert value == getattr(metrics, f"{name}_scorer")(estimator, X, masks)
    some = SegmentationScorer(["pro_auc", "image_roc_auc"])
    assert some(estimator, X, masks) == {name: result[name] for name in some.scores}
    assert repr(some) == "SegmentationScorer(scores=('pro_auc', 'image_roc_auc'))"


def test_image_scorer_accepts_labels(case):
    X, masks, _ = case
    labels = [1, 1, 0]
    expected = metrics.image_roc_auc_scorer(Negative(), X, masks)
    assert metrics.image_roc_auc_scorer(Negative(), X, labels) == expected


def test_wrong_inputs(case):
    X, masks, _ = case
    with pytest.raises(ValueError, match=r"must be a sequence of names .* got \['auc'\] instead"):
        SegmentationScorer(["auc"])
    with pytest.raises(ValueError, match=r"must be a sequence of names .* got 'pro_auc' instead"):
        SegmentationScorer("pro_auc")
    for scores in ([["pro_auc"]], 3, None):
        with pytest.raises(ValueError, match=r"scores must be a sequence of names .* got"):
            SegmentationScorer(scores)
    with pytest.raises(ValueError, match=r"y\[0\] must have the height and width of X\[0\]"):
        metrics.pro_auc_scorer(Negative(), X, [mask[:-1] for mask in masks])
    with pytest.raises(TypeError, match="X must be an array or a sequence of images, got None"):
        metrics.pro_auc_scorer(Negative(), None, masks)
    estimator = Negative()
    with pytest.raises(ValueError, match=r"got none in 3 images: .*DefectFreeKFold"):
        metrics.pro_auc_scorer(estimator, X, np.zeros_like(masks))
    with pytest.raises(ValueError, match=r"y must contain a mask \(h, w\) for each image"):
        metrics.pixel_roc_auc_scorer(estimator, X, [0, 0, 1])
    assert estimator.n_passes == 0
