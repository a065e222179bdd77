import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_info, threadpool_limits

from sk_ssimae import PatchDictionarySegmenter
from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.estimators import _dictionary
from sk_ssimae.estimators._filter_bank import FilterBank, _normalize_contrast

GOOD = make_woven_fabric(4, shape=(96, 96), random_state=0)


def bank(images=GOOD[..., np.newaxis], **params):
    usual = {"size": 5, "n_filters": 6, "scales": (1, 2), "stride": 4, "contrast_sigma": 0}
    return FilterBank.learn(images, **(usual | params), rng=np.random.default_rng(0))


def test_responses_equal_those_of_scipy():
    """The features are roots of averages over cells of rectified correlations with the filters."""
    image = GOOD[0]
    found = bank(scales=(1,), n_filters=3)
    features = found.compute(image[..., np.newaxis])
    for index in range(3):
        kernel = found.filters[0][:, index].reshape(5, 5).astype(float)
        responses = ndimage.correlate(image.astype(float), kernel, mode="reflect")
        for sign, part in ((1, index), (-1, 3 + index)):
            cells = np.maximum(sign * responses, 0).reshape(24, 4, 24, 4).mean(axis=(1, 3))
            np.testing.assert_allclose(features[..., part] ** 2, cells, atol=1e-4)


def test_filters_are_uncorrelated():
    for filters in bank(scales=(1,), n_filters=8, contrast_sigma=4).filters:
        products = filters.T @ filters
        np.testing.assert_allclose(products - np.diag(np.diag(products)), 0, atol=1e-3)


def test_normalized_contrast_does_not_depend_on_brightness():
    found = bank(contrast_sigma=6)
    images = GOOD[0][..., np.newaxis], 0.3 + 0.5 * GOOD[0][..., np.newaxis]
    own, fainter = (found.compute(image) for image in images)
    assert own.shape[2] == 2 * 2 * 2 * 6
    changes = np.abs(own - fainter).mean(axis=(0, 1)) / (own.mean(axis=(0, 1)) + 1e-6)
    of_image, normalized = np.split(changes, 2)
    assert normalized.max() < 0.15 < 0.5 < of_image.max()  # A small offset is added to contrast.


def test_normalized_contrast_hardly_amplifies_weak_noise():
    """An offset of 0.02 is added to the deviation, so that noise of 0.001 becomes about 0.05."""
    rng = np.random.default_rng(0)
    for noise, expected in ((0.001, 0.001 / 0.021), (0.2, 0.2 / 0.22)):
        image = (0.5 + noise * rng.standard_normal((96, 96, 1))).astype(np.float32)
        assert _normalize_contrast(image, 6).std() == pytest.approx(expected, rel=0.1)


def test_projection_and_spacings_equal_those_of_scikit_learn():
    """With whitening=1 the projection is that of PCA; distances are relative to spacings."""
    segmenter = PatchDictionarySegmenter(
        n_components=8, whitening=1, dictionary_size=300, random_state=0
    ).fit(GOOD)
    features = np.concatenate(
        [segmenter.compute_features(g[..., np.newaxis]).reshape(-1, 96) for g in GOOD]
    )
    projected = (features - segmenter.feature_mean_) @ segmenter.projection_
    np.testing.assert_allclose(projected.std(axis=0), 1, atol=0.2)
    neighbors = NearestNeighbors(n_neighbors=10).fit(segmenter.dictionary_)
    means = neighbors.kneighbors()[0].mean(axis=1)
    np.testing.assert_allclose(segmenter.spacings_, means / np.median(means), rtol=1e-4)
    distances, nearest = neighbors.kneighbors(projected[: 24 * 24], n_neighbors=9)
    expected = (distances / segmenter.spacings_[nearest]).mean(axis=1).reshape(24, 24)
    residual = segmenter.compute_residual(GOOD[0][..., np.newaxis])
    np.testing.assert_allclose(residual[4:-4, 4:-4].mean(), expected[1:-1, 1:-1].mean(), rtol=5e-3)


@pytest.mark.parametrize("whitening", [0, 0.3, 1])
def test_whitening_divides_by_a_power_of_the_deviations(whitening):
    # The last hardly varies: it is amplified as if it had a thousandth of the first deviation.
    deviations = np.array([8.0, 2.0, 0.5, 1e-7])
    features = np.random.default_rng(0).normal(size=(4000, 4)) * deviations
    _, projection = _dictionary._principal_components(features, 4, whitening)
    found = np.linalg.norm(projection, axis=0)
    np.testing.assert_allclose(found, np.maximum(deviations, 8e-3) ** -whitening, rtol=0.05)


def test_repeated_features_have_a_least_spacing():
    """Half of the images is constant, as where a camera is saturated."""
    saturated = GOOD.copy()
    saturated[:, :, 48:] = 1
    segmenter = PatchDictionarySegmenter(random_state=0).fit(saturated)
    assert segmenter.spacings_.min() == np.float32(0.1)
    assert np.isfinite(segmenter.decision_function(saturated)).all()


def test_constant_images():
    segmenter = PatchDictionarySegmenter(random_state=0).fit(np.full((3, 40, 40), 0.5))
    assert (segmenter.spacings_ == 1).all()
    assert segmenter.decision_function(np.full((1, 40, 40), 0.5)).max() < 1e-6


@pytest.mark.parametrize("shape", [(96, 96), (50, 61), (7, 9), (1, 3)])
def test_any_size(shape):
    segmenter = PatchDictionarySegmenter(random_state=0).fit(GOOD)
    image = np.resize(GOOD[0], shape)
    residual_map = segmenter.decision_function([image])[0]
    assert residual_map.shape == shape
    assert np.isfinite(residual_map).all()


def test_colours():
    colour = np.stack([GOOD, GOOD[::-1], 1 - GOOD], axis=-1)
    segmenter = PatchDictionarySegmenter(random_state=0).fit(colour)
    changed = colour.copy()
    changed[0, 40:60, 40:60, 2] = colour[0, 40:60, 40:60, 2].mean()
    difference = segmenter.decision_function(changed)[0] - segmenter.decision_function(colour)[0]
    assert difference[45:55, 45:55].mean() > 10 * abs(difference[:20, :20]).mean()


@pytest.mark.parametrize("dictionary", ["random", "kmeans", "coreset"])
def test_dictionaries_find_defects(dictionary):
    test = draw_defects(make_woven_fabric(3, shape=(96, 96), random_state=1), random_state=0)
    segmenter = PatchDictionarySegmenter(
        dictionary=dictionary, dictionary_size=300, random_state=0
    ).fit(GOOD)
    assert segmenter.dictionary_.shape == (300, 64)
    assert segmenter.score(test.images, test.masks) > 0.75


def test_k_means_computes_in_one_thread(monkeypatch):
    seen = []

    class Recording(_dictionary.MiniBatchKMeans):
        def fit(self, rows):
            seen.extend(pool["num_threads"] for pool in threadpool_info())
            return super().fit(rows)

    monkeypatch.setattr(_dictionary, "MiniBatchKMeans", Recording)
    with threadpool_limits(2):
        rows = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
        _dictionary._select(rows, "kmeans", 5, np.random.default_rng(0), 0)
    assert set(seen) == {1}


def test_the_coreset_covers_better_than_chance():
    rows = np.random.default_rng(0).standard_normal((2000, 5)).astype(np.float32)

    def radius(chosen):
        return NearestNeighbors(n_neighbors=1).fit(chosen).kneighbors(rows)[0].max()

    chosen = {
        rule: _dictionary._select(rows, rule, 100, np.random.default_rng(0), 0)
        for rule in ("random", "coreset")
    }
    assert radius(chosen["coreset"]) < 0.8 * radius(chosen["random"])
    assert len(np.unique(chosen["coreset"], axis=0)) == 100


def test_repetition_and_pickles():
    maps = [
        segmenter.decision_function(GOOD)
        for segmenter in (
            PatchDictionarySegmenter(random_state=0).fit(GOOD),
            PatchDictionarySegmenter(random_state=0).fit(GOOD),
            pickle.loads(pickle.dumps(PatchDictionarySegmenter(random_state=0).fit(GOOD))),
        )
    ]
    np.testing.assert_array_equal(maps[0], maps[1])
    np.testing.assert_array_equal(maps[0], maps[2])


def test_parameters_of_the_dictionary_take_effect_in_fit_alone():
    segmenter = PatchDictionarySegmenter(random_state=0).fit(GOOD)
    before = segmenter.decision_function(GOOD)
    segmenter.set_params(stride=8, filter_size=7, n_neighbors=1, scales=(1,))
    np.testing.assert_array_equal(segmenter.decision_function(GOOD), before)
    assert (segmenter.fit(GOOD).decision_function(GOOD) != before).any()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"filter_size": 4}, "filter_size must be odd, got 4 instead"),
        ({"scales": (1, 3)}, r"scales must be factors of stride=4, got \(1, 3\) instead"),
        ({"scales": ()}, r"scales must be factors of stride=4, got \(\) instead"),
        ({"scales": (1.5,)}, r"scales must be factors of stride=4, got \(1.5,\) instead"),
        ({"dictionary": "all"}, "The 'dictionary' parameter of PatchDictionarySegmenter must be"),
        ({"n_neighbors": 0}, "The 'n_neighbors' parameter of PatchDictionarySegmenter must be"),
    ],
)
def test_wrong_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        PatchDictionarySegmenter(**params).fit(GOOD)


def test_it_needs_no_torch():
    program = """
import sys
from sk_ssimae import PatchDictionarySegmenter
from sk_ssimae.datasets import make_woven_fabric
good = make_woven_fabric(4, shape=(48, 48), random_state=0)
print(PatchDictionarySegmenter(random_state=0).fit(good).predict(good).shape)
print({"torch", "skorch"} & {*sys.modules})
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["(4, 48, 48)", "set()"]


@pytest.mark.parametrize(
    ("scales", "smoothing", "radius"), [((1, 2), 0, 3), ((2, 4, 8), 0, 12), ((1, 2), 20, 20)]
)
def test_regions_end_at_half_of_peaks_as_wide_as_the_filters(scales, smoothing, radius):
    segmenter = PatchDictionarySegmenter(
        scales=scales, stride=8, smoothing=smoothing, random_state=0
    ).fit(GOOD)
    # Five pixels at the coarsest scale are a uniform window, with a deviation of 5 * 8 / √12.
    assert segmenter._with_radius(segmenter._levels(), GOOD[0].shape).radius == radius
