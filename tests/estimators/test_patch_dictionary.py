import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage
from sklearn.neighbors import NearestNeighbors

from sk_ssimae import PatchDictionarySegmenter
from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.estimators import _dictionary
from sk_ssimae.estimators._filter_bank import FilterBank

GOOD = make_woven_fabric(4, shape=(96, 96), random_state=0)


def bank(images=GOOD[..., np.newaxis], **params):
    usual = {"size": 5, "n_filters": 6, "scales": (1, 2), "stride": 4}
    return FilterBank.learn(images, **(usual | params), rng=np.random.default_rng(0))


def test_responses_equal_those_of_scipy():
    """The features are averages over cells of rectified correlations with the filters."""
    image = GOOD[0]
    found = bank(scales=(1,), n_filters=3)
    features = found.compute(image[..., np.newaxis])
    for index in range(3):
        kernel = found.filters[0][:, index].reshape(5, 5).astype(float)
        responses = ndimage.correlate(image.astype(float), kernel, mode="reflect")
        for sign, part in ((1, index), (-1, 3 + index)):
            cells = np.maximum(sign * responses, 0).reshape(24, 4, 24, 4).mean(axis=(1, 3))
            np.testing.assert_allclose(features[..., part], cells, atol=1e-4)


def test_filters_are_uncorrelated():
    filters = bank(scales=(1,), n_filters=8).filters[0]
    products = filters.T @ filters
    np.testing.assert_allclose(products - np.diag(np.diag(products)), 0, atol=1e-3)


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
    assert segmenter.dictionary_.shape == (300, 48)
    assert segmenter.score(test.images, test.masks) > 0.75


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
