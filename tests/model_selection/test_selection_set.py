import numpy as np
import pandas as pd
import pytest
import sklearn
from skimage.io import imsave
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV

from sk_ssimae import L2AutoencoderSegmenter, PatchDictionarySegmenter
from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.metrics import pro_auc_score
from sk_ssimae.model_selection import (
    DefectFreeKFold,
    FamilyScorer,
    choose_by_rank,
    make_selection_set,
)
from sk_ssimae.model_selection._selection_set import DEFAULT_FAMILIES

GOOD = make_woven_fabric(6, shape=(64, 72), thread_spacing=6, random_state=0)
GOOD.flags.writeable = False


class Oracle:
    """Segmenter that knows the good images: its map is the difference from the nearest."""

    def decision_function(self, X):
        return [min((np.abs(image - good) for good in GOOD), key=np.sum) for image in X]


@pytest.fixture(scope="module")
def selection():
    return make_selection_set(
        GOOD, families=["scar", "contamination"], n_per_family=4, severity=0.5, random_state=0
    )


def test_good_images_stay_and_painted_ones_are_marked(selection):
    X, y = selection
    np.testing.assert_array_equal(X[:6], GOOD)
    assert not y[:6].any()
    assert selection.families == (None,) * 6 + ("scar", "contamination") * 4
    assert X.shape == y.shape == (14, 64, 72)
    assert X.dtype == GOOD.dtype
    np.testing.assert_array_equal(selection.groups[:6], range(6))
    assert len(set(selection.groups[6:])) == 4
    for image, mask, group in zip(X[6:], y[6:], selection.groups[6:], strict=True):
        np.testing.assert_array_equal(mask, image != GOOD[group])
        assert mask.any()
    assert selection.severities == {"scar": 0.5, "contamination": 0.5}


def test_it_is_seeded(selection):
    params = {"families": ["scar", "contamination"], "n_per_family": 4, "severity": 0.5}
    np.testing.assert_array_equal(make_selection_set(GOOD, **params, random_state=0).X, selection.X)
    assert (make_selection_set(GOOD, **params, random_state=1).X != selection.X).any()


def test_folds_separate_painted_images_from_their_originals(selection):
    folds = DefectFreeKFold(2).split(*selection, selection.groups)
    for train, test in folds:
        assert not selection.y[train].any()
        assert not set(selection.groups[train]) & set(selection.groups[test])
        painted = [selection.families[index] for index in test if selection.y[index].any()]
        assert sorted(painted) == ["contamination"] * 2 + ["scar"] * 2


def test_severities_are_spread():
    good = np.tile(np.linspace(0.3, 0.7, 64), (6, 64, 1))
    X, y = selection = make_selection_set(
        good, families=["stain"], n_per_family=3, severity=0.5, random_state=0
    )
    depth = [
        np.abs(image - good[group])[mask].max()
        for image, mask, group in zip(X[6:], y[6:], selection.groups[6:], strict=True)
    ]
    amounts = [0.1 + 0.9 * severity for severity in (0.35, 0.5, 0.7)]
    np.testing.assert_allclose(np.divide(depth, depth[0]), np.divide(amounts, amounts[0]), rtol=0.1)


def test_groups_are_painted_in_turn():
    selection = make_selection_set(
        GOOD,
        families=["scar"],
        n_per_family=3,
        severity=0.5,
        groups=["a", "a", "a", "a", "b", "c"],
        random_state=0,
    )
    assert sorted(selection.groups[6:]) == [0, 1, 2]


def test_paths_of_any_size_and_type(tmp_path):
    rng = np.random.default_rng(0)
    shapes = {"grey.png": (40, 50), "wide.png": (36, 60)}
    for name, shape in shapes.items():
        imsave(tmp_path / name, rng.integers(0, 2**16, shape, np.uint16), check_contrast=False)
    paths = [tmp_path / name for name in shapes]
    X, y = make_selection_set(paths, families=["cut"], n_per_family=2, severity=1, random_state=0)
    assert X[:2] == paths
    assert sorted(image.shape for image in X[2:]) == sorted(shapes.values())
    assert {image.dtype for image in X[2:]} == {np.dtype(np.uint16)}
    assert [mask.shape for mask in y[2:]] == [image.shape for image in X[2:]]


def test_alpha_stays_untouched(tmp_path):
    rgba = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 4), np.uint8)
    X, y = make_selection_set(rgba, families=["cut"], random_state=0)
    assert X.shape == (6, 32, 32, 4)
    assert y[3:].any(axis=(1, 2)).all()
    for image in X[3:]:
        assert any((image[..., 3] == good[..., 3]).all() for good in rgba)
    for index, image in enumerate(rgba):
        imsave(tmp_path / f"{index}.png", image, check_contrast=False)
    X, _ = make_selection_set(
        sorted(tmp_path.glob("*.png")), families=["cut"], severity=1, random_state=0
    )
    assert X[3].shape == (32, 32, 3)


def test_the_pilot_sets_severity_at_its_limit():
    class Sharp(PatchDictionarySegmenter):
        """Sees everything, as a pilot that knows the good images would."""

        def decision_function(self, X):
            return Oracle().decision_function(X)

    params = {"families": ["stain", "warp"], "n_per_family": 1, "random_state": 0}
    sharp = make_selection_set(GOOD, **params, pilot=Sharp(random_state=0)).severities
    assert max(sharp.values()) < 0.03
    blind = make_selection_set(
        GOOD, **params, pilot=PatchDictionarySegmenter(random_state=0, smoothing=1000)
    ).severities
    assert min(blind.values()) > 0.9
    default = make_selection_set(GOOD, **params).severities
    assert sharp["stain"] < default["stain"]


def test_the_pilot_is_not_changed():
    pilot = PatchDictionarySegmenter(random_state=0)
    make_selection_set(GOOD, families=["cut"], n_per_family=1, pilot=pilot, random_state=0)
    assert not hasattr(pilot, "dictionary_")


def test_default_families():
    selection = make_selection_set(GOOD, severity=1, random_state=0)
    assert tuple(selection.severities) == DEFAULT_FAMILIES
    assert len(selection.X) == 6 + 6 * 7


ROWS, COLUMNS = np.indices((64, 72))
RING = np.abs(np.hypot(ROWS - 32, COLUMNS - 36) - 24) < 6


def test_defects_lie_in_the_region_of_interest():
    params = {"families": ["scar", "warp"], "n_per_family": 2, "severity": 0.5, "random_state": 0}
    outside = np.where(RING, GOOD, np.nan)
    X, y = selection = make_selection_set(outside, **params, roi=RING)
    np.testing.assert_array_equal(selection.roi, [RING] * 10)
    assert y[6:].any(axis=(1, 2)).all()
    assert not y[:, ~RING].any()
    assert np.isnan(X[:, ~RING]).all()
    noise = np.random.default_rng(0).random(GOOD.shape, dtype=np.float32)
    other = make_selection_set(np.where(RING, GOOD, noise), **params, roi=[RING] * 6)
    np.testing.assert_array_equal(other.y, y)
    np.testing.assert_array_equal(other.X[:, RING], X[:, RING])
    np.testing.assert_array_equal(other.X[:6, ~RING], noise[:, ~RING])
    whole = make_selection_set(GOOD, **params)
    everywhere = make_selection_set(GOOD, **params, roi=np.ones_like(RING))
    np.testing.assert_array_equal(whole.X, everywhere.X)
    assert whole.roi is None


def test_the_pilot_inspects_the_region_of_interest():
    found = [
        make_selection_set(
            images, families=["blur"], n_per_family=1, roi=RING, random_state=0
        ).severities
        for images in (GOOD, np.where(RING, GOOD, 1 - GOOD))
    ]
    assert found[0] == found[1]


def test_only_the_region_of_interest_is_scored(selection):
    scorer = FamilyScorer(selection)
    maps = np.where(RING, np.random.default_rng(0).random(selection.y.shape), 9)
    used = [index for index, mask in enumerate(selection.y) if (mask & RING).any() or index < 6]
    y = selection.y[used]
    scores = scorer.score_maps(y, maps[used], roi=RING)
    assert scores == scorer.score_maps(y, np.where(RING, maps, 0)[used], roi=[RING] * len(used))
    assert scores != scorer.score_maps(y, maps[used])


@pytest.mark.filterwarnings("ignore::sk_ssimae.exceptions.SelectionWarning")
def test_searches_in_a_region_of_interest():
    params = {"families": ["scar", "warp"], "n_per_family": 2, "severity": 0.5, "random_state": 0}
    segmenter = PatchDictionarySegmenter(random_state=0, dictionary_size=50, n_components=8)
    noise = np.random.default_rng(0).random(GOOD.shape)
    tables = []
    with sklearn.config_context(enable_metadata_routing=True):
        segmenter.set_fit_request(roi=True)
        for images in (GOOD, np.where(RING, GOOD, noise)):
            selection = make_selection_set(images, **params, roi=RING)
            scorer = FamilyScorer(selection).set_score_request(roi=True)
            given = {"groups": selection.groups, "roi": selection.roi}
            search = GridSearchCV(
                segmenter,
                {"smoothing": [0, 2]},
                cv=DefectFreeKFold(2),
                scoring=scorer,
                refit=choose_by_rank,
            ).fit(*selection, **given)
            tables.append([search.cv_results_[f"mean_test_{name}"] for name in ("scar", "warp")])
            halving = HalvingGridSearchCV(
                segmenter,
                {"smoothing": [0, 2]},
                cv=DefectFreeKFold(2),
                scoring=scorer.mean,
                resource="dictionary_size",
                min_resources=50,
                max_resources=50,
                return_train_score=False,
            ).fit(*selection, **given)
            np.testing.assert_allclose(
                halving.cv_results_["mean_test_score"], np.mean(tables[-1], axis=0)
            )
    np.testing.assert_array_equal(*tables)
    assert np.isfinite(tables).all()


def test_scores_by_family(selection):
    scorer = FamilyScorer(selection, max_fpr=0.1)
    X, y = selection
    maps = np.random.default_rng(0).random(y.shape)

    class Maps:
        def decision_function(self, X):
            return maps

    scores = scorer(Maps(), X, y)
    assert list(scores) == ["scar", "contamination"]
    for family, score in scores.items():
        used = [own in (None, family) for own in selection.families]
        assert score == pro_auc_score(y[used], maps[used], max_fpr=0.1)
    assert scorer(Oracle(), X, y) == pytest.approx({"scar": 1, "contamination": 1})
    some = [0, 1, 6]  # Good images and a scar.
    score = scorer(Oracle(), X[some], y[some])
    assert score["scar"] == pytest.approx(1)
    assert np.isnan(score["contamination"])
    assert repr(scorer) == "FamilyScorer(families=('scar', 'contamination'), max_fpr=0.1)"


def test_wrong_scores(selection):
    scorer = FamilyScorer(selection)
    X, y = selection
    with pytest.raises(ValueError, match="y must mark a defect in at least one image"):
        scorer(Oracle(), X[:3], y[:3])
    with pytest.raises(ValueError, match=r"y\[1\] is not a mask of the selection set"):
        scorer(Oracle(), X[:2], np.stack([y[0], ~y[0]]))
    with pytest.raises(TypeError, match=r"selection must be a SelectionSet.*, got ndarray"):
        FamilyScorer(X)
    with pytest.raises(ValueError, match=r"max_fpr must lie in \(0, 1\], got 0"):
        FamilyScorer(selection, max_fpr=0)


@pytest.mark.filterwarnings("ignore::sk_ssimae.exceptions.SelectionWarning")
def test_search(selection):
    search = GridSearchCV(
        PatchDictionarySegmenter(random_state=0),
        {"smoothing": [0, 20]},
        cv=DefectFreeKFold(2),
        scoring=FamilyScorer(selection),
        refit=choose_by_rank,
    ).fit(*selection, groups=selection.groups)
    assert search.best_params_ == {"smoothing": 0}
    assert search.best_estimator_.n_defective_dropped_ == 8
    scores = [search.cv_results_[f"mean_test_{family}"] for family in ("scar", "contamination")]
    assert np.isfinite(scores).all()


def test_mean_over_families(selection):
    X, y = selection.X[[0, 6, 7]], selection.y[[0, 6, 7]]
    scorer = FamilyScorer(selection)
    fitted = PatchDictionarySegmenter(random_state=0).fit(GOOD)
    areas = scorer(fitted, X, y)
    assert scorer.mean(fitted, X, y) == pytest.approx(np.mean([*areas.values()]))
    # A fold without one of the families.
    assert scorer.mean(fitted, X[:2], y[:2]) == scorer(fitted, X[:2], y[:2])["scar"]


def test_halving_over_epochs(tiny, selection):
    search = HalvingGridSearchCV(
        L2AutoencoderSegmenter(**tiny),
        {"latent_dim": [4, 8]},
        cv=DefectFreeKFold(2),
        scoring=FamilyScorer(selection).mean,
        resource="max_epochs",
        max_resources=2,
        factor=2,
        return_train_score=False,
    ).fit(*selection, groups=selection.groups)
    assert set(search.cv_results_["n_resources"]) == {1, 2}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"families": ["hole"]}, ValueError, "families must be chosen from"),
        ({"n_per_family": 0}, ValueError, "n_per_family must be an integer from 1 to 6"),
        ({"n_per_family": 7}, ValueError, "n_per_family must be .* got 7"),
        ({"severity": 0}, ValueError, r"severity must lie in \(0, 1\] or be 'pilot', got 0"),
        ({"severity": "strong"}, ValueError, "severity must .* got 'strong'"),
        ({"groups": [0] * 6}, ValueError, "X must contain at least 2 images, or groups, for seve"),
        ({"roi": [RING] * 5}, ValueError, "got 5 masks for 6 images"),
        ({"roi": ~RING & RING}, ValueError, "roi must mark at least one pixel"),
        ({"groups": [0]}, ValueError, "groups must name one group for each of the 6 images"),
        ({"pilot": 3}, TypeError, "pilot must be a segmenter with the methods fit and .* got 3"),
        ({"X": GOOD * 300}, ValueError, r"X\[\d\] must have floats in \[0, 1\]"),
        ({"X": GOOD[:, :7]}, ValueError, r"X\[\d\] must be at least 8 pixels"),
        ({"X": GOOD > 0.5}, TypeError, r"X\[\d\] must be uint8, uint16 or floats"),
        ({"X": 3}, TypeError, "X must be an array or a sequence of images"),
        ({"X": np.full((3, 20, 20), 0.5)}, ValueError, r"families='blur' changes nothing in X\[\d"),
    ],
)
def test_wrong_arguments(params, error, message):
    defaults = {"X": GOOD, "families": ["blur"], "severity": "pilot"}
    if "X" in params:
        defaults["severity"] = 0.5
    with pytest.raises(error, match=message):
        make_selection_set(**(defaults | params))


def test_masks_that_cannot_differ():
    images = np.random.default_rng(0).random((20, 8, 8))  # A doubled line has 8 places there.
    with pytest.raises(ValueError, match=r"X\[\d+\] is too small for another defect unlike the \d"):
        make_selection_set(
            images, families=["doubled_line"], n_per_family=20, severity=1, random_state=0
        )


def test_images_of_a_table_are_taken_by_position():
    expected = make_selection_set(GOOD, families=["scar"], random_state=0)
    column = pd.Series(list(GOOD), index=[3, 0, 5, 1, 4, 2])
    selection = make_selection_set(column, families=["scar"], random_state=0)
    assert selection.severities == expected.severities
    np.testing.assert_array_equal(selection.X, expected.X)


def test_types_of_images_may_differ():
    grey = (255 * GOOD / GOOD.max()).round().astype(np.uint8)
    mixed = [image if index % 2 else image / np.float32(255) for index, image in enumerate(grey)]
    options = {"families": ["scar"], "severity": 1, "n_per_family": 6, "random_state": 0}
    expected = make_selection_set(grey, **options)
    selection = make_selection_set(mixed, **options)
    for image, mask, grey_image in zip(selection.X, selection.y, expected.X, strict=True):
        unit = image / (255 if image.dtype == np.uint8 else 1)
        np.testing.assert_allclose(unit[mask], grey_image[mask] / 255, atol=0.01)
