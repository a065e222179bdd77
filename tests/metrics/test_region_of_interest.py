import numpy as np
import pytest

from sk_ssimae import metrics

RNG = np.random.default_rng(0)
MASKS = RNG.random((3, 20, 24)) < 0.1
MAPS = RNG.random((3, 20, 24))
ROI = np.zeros((20, 24), dtype=bool)
ROI[4:15, 6:20] = True

SCORES = {
    "roc": metrics.pixel_roc_auc_score,
    "partial": lambda *a, **k: metrics.pixel_roc_auc_score(*a, max_fpr=0.2, **k),
    "curve": metrics.pixel_roc_curve,
    "ap": metrics.pixel_average_precision_score,
    "f1": metrics.pixel_f1_max_score,
    "pro": metrics.pro_auc_score,
    "pro curve": metrics.per_region_overlap_curve,
    "quantiles": lambda *a, **k: metrics.region_overlap_quantiles(*a, fpr=[0.1, 0.5], **k),
    "image": lambda y, maps, **k: metrics.image_roc_auc_score(
        np.array([*y, np.zeros_like(y[0])]), [*maps, maps[0] / 2], **k
    ),
}


@pytest.mark.parametrize("name", SCORES)
def test_a_rectangle_gives_the_scores_of_cropped_images(name):
    score = SCORES[name]
    expected = score(MASKS[:, 4:15, 6:20], MAPS[:, 4:15, 6:20])
    many = np.stack([ROI] * (4 if name == "image" else 3))
    for roi in (ROI, many):
        for one, other in zip(
            np.atleast_1d(*[score(MASKS, MAPS, roi=roi)])
            if np.isscalar(expected)
            else score(MASKS, MAPS, roi=roi),
            np.atleast_1d(expected) if np.isscalar(expected) else expected,
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)


def test_a_region_is_cut_at_the_edge():
    """A defect that leaves the region of interest counts by its pixels inside alone."""
    mask = np.array([[1, 1, 1, 0, 0]], dtype=bool)
    residual_map = np.array([[0.0, 0.9, 0.8, 0.1, 0.2]])
    roi = np.array([[0, 1, 1, 1, 1]])
    assert metrics.pro_auc_score([mask], [residual_map]) < 1
    assert metrics.pro_auc_score([mask], [residual_map], roi=roi) == 1


def test_images_whose_defects_lie_outside_are_good():
    y = [np.array([[1, 0, 0]]), np.array([[0, 1, 0]])]
    maps = [np.array([[0.9, 0.1, 0.1]]), np.array([[0.1, 0.5, 0.1]])]
    assert metrics.image_roc_auc_score(y, maps, roi=np.array([[0, 1, 1]])) == 1
    assert metrics.image_roc_auc_score([0, 1], [0.2, 0.3], roi=np.array([[0, 1, 1]])) == 1


def test_wrong_regions_are_refused():
    with pytest.raises(ValueError, match=r"roi\[1\] must have the height and width of image 1"):
        metrics.pixel_roc_auc_score(MASKS, MAPS, roi=[ROI, ROI[1:], ROI])
    with pytest.raises(ValueError, match="got 2 masks for 3 images"):
        metrics.pro_auc_score(MASKS, MAPS, roi=[ROI, ROI])


def test_scorers_pass_it_on():
    class Estimator:
        def decision_function(self, X, *, roi=None):
            return X if roi is None else np.where(roi, X, 0)

    for scorer, score in (
        (metrics.pixel_roc_auc_scorer, metrics.pixel_roc_auc_score),
        (metrics.pro_auc_scorer, metrics.pro_auc_score),
        (metrics.pixel_average_precision_scorer, metrics.pixel_average_precision_score),
    ):
        assert scorer(Estimator(), MAPS, MASKS, roi=ROI) == score(MASKS, MAPS, roi=ROI)
        assert scorer(Estimator(), MAPS, MASKS) == score(MASKS, MAPS)
