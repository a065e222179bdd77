from functools import partial

import numpy as np
import pytest
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_validate,
    learning_curve,
    validation_curve,
)

from sk_ssimae import L2AutoencoderSegmenter
from sk_ssimae.metrics import SegmentationScorer, pixel_roc_auc_scorer, pro_auc_scorer
from sk_ssimae.model_selection import DefectFreeKFold


def make_labels(n_good, n_defective, seed=0):
    labels = np.repeat([0, 1], [n_good, n_defective])
    return np.random.default_rng(seed).permutation(labels)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("n_good", "n_defective", "n_splits"), [(4, 2, 2), (23, 7, 5), (5, 40, 5)])
def test_folds_are_valid(n_good, n_defective, n_splits, shuffle):
    labels = make_labels(n_good, n_defective)
    cv = DefectFreeKFold(n_splits, shuffle=shuffle, random_state=0)
    folds = list(cv.split(labels, labels))
    assert len(folds) == cv.get_n_splits() == n_splits
    np.testing.assert_array_equal(
        np.sort(np.concatenate([test for _, test in folds])), range(len(labels))
    )
    for train, test in folds:
        assert not labels[train].any()
        assert np.intersect1d(train, test).size == 0
        np.testing.assert_array_equal(
            np.sort(np.concatenate([train, test[labels[test] == 0]])), np.flatnonzero(labels == 0)
        )
        assert abs(labels[test].sum() - n_defective / n_splits) < 1
        assert abs((labels[test] == 0).sum() - n_good / n_splits) < 1


def test_masks_and_labels_split_alike():
    labels = make_labels(6, 4)
    masks = np.zeros((10, 3, 3), dtype=bool)
    masks[labels == 1, 1, 1] = True
    for a, b in zip(
        DefectFreeKFold(2).split(masks, masks),
        DefectFreeKFold(2).split(labels, labels),
        strict=True,
    ):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])


def test_shuffling_is_seeded():
    labels = make_labels(20, 10)

    def folds(**params):
        cv = DefectFreeKFold(**params)
        return [test.tolist() for _, test in cv.split(labels, labels)]

    assert folds(shuffle=True, random_state=1) == folds(shuffle=True, random_state=1)
    assert folds(shuffle=True, random_state=1) != folds(shuffle=True, random_state=2)
    assert folds(random_state=1) == folds()


@pytest.mark.parametrize("shuffle", [False, True])
def test_groups_stay_together(shuffle):
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 12, 60).astype(str)
    labels = make_labels(40, 20)
    folds = list(DefectFreeKFold(3, shuffle=shuffle, random_state=0).split(labels, labels, groups))
    tested = np.sort(np.concatenate([test for _, test in folds]))
    np.testing.assert_array_equal(tested, range(60))
    for train, test in folds:
        assert np.intersect1d(groups[train], groups[test]).size == 0
        assert not labels[train].any()
        assert labels[test].any()


def test_groups_never_leave_a_fold_without_either_kind():
    rng = np.random.default_rng(0)
    n_refused = 0
    for seed in range(300):
        labels, groups = rng.integers(0, 2, 12), rng.integers(0, 5, 12)
        cv = DefectFreeKFold(2, shuffle=True, random_state=seed)
        try:
            folds = list(cv.split(labels, labels, groups))
        except ValueError:
            n_refused += 1
            continue
        for train, test in folds:
            assert len(train) > 0
            assert labels[test].any()
            assert not labels[test].all()
    assert n_refused < 30


@pytest.fixture(params=["arrays", "lists of different sizes"])
def mixed(request, good, defective):
    """Put the good images first: the first fold of plain KFold would have no defects."""
    images, masks = defective
    X, y = np.concatenate([good, images]), np.concatenate([np.zeros_like(masks), masks])
    if request.param == "arrays":
        return X, y
    return [[item[: len(item) - index] for index, item in enumerate(items)] for items in (X, y)]


def test_cross_validate(tiny, mixed):
    scorer = SegmentationScorer(["pixel_roc_auc", "pro_auc", "image_roc_auc"])
    scores = cross_validate(
        L2AutoencoderSegmenter(**tiny), *mixed, cv=DefectFreeKFold(2), scoring=scorer
    )
    for name in scorer.scores:
        assert np.isfinite(scores[f"test_{name}"]).all()


@pytest.mark.parametrize(
    "search",
    [
        partial(GridSearchCV, param_grid={"latent_dim": [4, 8]}),
        partial(RandomizedSearchCV, param_distributions={"latent_dim": range(4, 9)}, n_iter=2),
        partial(
            HalvingGridSearchCV,
            param_grid={"latent_dim": [4, 8]},
            resource="max_epochs",
            max_resources=2,
            factor=2,
            return_train_score=False,  # It is True by default, but training scores are not defined.
        ),
    ],
    ids=lambda search: search.func.__name__,
)
def test_searches(search, tiny, mixed):
    X, y = mixed
    fitted = search(
        L2AutoencoderSegmenter(**tiny), cv=DefectFreeKFold(2), scoring=pro_auc_scorer
    ).fit(X, y)
    assert np.isfinite(fitted.cv_results_["mean_test_score"]).all()
    assert fitted.best_estimator_.n_defective_dropped_ == 4
    assert len(fitted.predict(X)) == 8
    if "n_resources" in fitted.cv_results_:
        assert set(fitted.cv_results_["n_resources"]) == {1, 2}
        assert fitted.best_estimator_.max_epochs == 2


def test_curves(tiny, mixed):
    segmenter, cv = L2AutoencoderSegmenter(**tiny), DefectFreeKFold(2)
    curves = {
        learning_curve: {"train_sizes": [0.5, 1.0]},
        validation_curve: {"param_name": "latent_dim", "param_range": [4, 8]},
    }
    for curve, params in curves.items():
        # They also score the training images, which are all good: that score is not defined.
        with pytest.warns(UserWarning, match="training scores are not defined"):
            *_, train, test = curve(
                segmenter, *mixed, cv=cv, scoring=pixel_roc_auc_scorer, **params
            )
        assert np.isnan(train).all()
        assert np.isfinite(test).all()


@pytest.mark.parametrize(
    ("n_good", "n_defective", "message"),
    [
        (9, 2, "n_splits=3 needs at least 3 defective images, or groups with one, got 2"),
        (2, 9, "n_splits=3 needs at least 3 good images, or groups with one, got 2"),
    ],
)
def test_too_few_images(n_good, n_defective, message):
    labels = make_labels(n_good, n_defective)
    with pytest.raises(ValueError, match=message):
        next(DefectFreeKFold(3).split(labels, labels))


def test_wrong_arguments():
    labels = make_labels(5, 5)
    with pytest.raises(ValueError, match="n_splits must be an integer of at least 2, got 1"):
        DefectFreeKFold(1)
    for n_splits in ("3", None, 2.5, float("nan")):
        with pytest.raises(ValueError, match="n_splits must be an integer"):
            DefectFreeKFold(n_splits)
    with pytest.raises(ValueError, match="X must contain at least one image, got none"):
        next(DefectFreeKFold(2).split([], []))
    for X in (None, np.array(3)):
        with pytest.raises(TypeError, match="X must be an array or a sequence of images, got"):
            next(DefectFreeKFold(2).split(X, []))
    for random_state in ("x", -1):
        with pytest.raises(ValueError, match="random_state must be a non-negative integer"):
            next(DefectFreeKFold(2, shuffle=True, random_state=random_state).split(labels, labels))
    with pytest.raises(ValueError, match="groups must be integers or strings"):
        next(DefectFreeKFold(2).split(labels, labels, [None, "a"] * 5))
    with pytest.raises(
        ValueError, match="y must be masks or labels that mark the defective images, got"
    ):
        next(DefectFreeKFold(2).split(labels, None))
    with pytest.raises(ValueError, match=r"groups must name one group for each of the 10 images"):
        next(DefectFreeKFold(2).split(labels, labels, [1, 2]))
    with pytest.raises(ValueError, match="Here high means defective"):
        next(DefectFreeKFold(2).split(labels, 1 - 2 * labels))
    assert (
        repr(DefectFreeKFold(3)) == "DefectFreeKFold(n_splits=3, shuffle=False, random_state=None)"
    )
