import numpy as np
import pytest
from sklearn.base import clone

from sk_ssimae import EnsembleSegmenter, L2AutoencoderSegmenter, PatchDictionarySegmenter
from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.estimators._tail import TailProbability

GOOD = make_woven_fabric(6, shape=(64, 80), random_state=0)
RNG = np.random.default_rng(0)


def members():
    return [
        ("fine", PatchDictionarySegmenter(dictionary_size=200, scales=(1,))),
        ("coarse", PatchDictionarySegmenter(dictionary_size=200, scales=(4,))),
    ]


@pytest.fixture(scope="module")
def ensemble():
    return EnsembleSegmenter(members(), random_state=0).fit(GOOD)


@pytest.mark.parametrize("distribution", ["uniform", "exponential"])
def test_surprise_is_the_negative_logarithm_of_the_tail(distribution):
    values = getattr(RNG, distribution)(size=(4, 300, 400)).astype(np.float32)
    tail = TailProbability.of_maps(values)
    residuals = np.array([0.1, 0.5, 0.9, 0.98], dtype=np.float32)
    exact = -np.log(1 - residuals) if distribution == "uniform" else residuals
    np.testing.assert_allclose(tail.surprise(residuals), exact, rtol=0.03)
    if distribution == "exponential":  # Beyond everything that was seen.
        assert tail.surprise(np.float32([30]))[0] == pytest.approx(30, rel=0.1)


def test_surprise_increases():
    tail = TailProbability.of_maps([RNG.gamma(2, size=(100, 100)).astype(np.float32)])
    surprise = tail.surprise(np.linspace(0, 100, 1000, dtype=np.float32))
    assert (np.diff(surprise) >= 0).all()
    assert surprise[0] == 0


def test_surprise_of_equal_residuals():
    tail = TailProbability.of_maps([np.full((9, 9), 0.5, np.float32)])
    surprise = tail.surprise(np.array([0.4, 0.5, 0.6], dtype=np.float32))
    assert np.isfinite(surprise).all()
    assert surprise[2] > 100 > surprise[1] >= surprise[0]


def test_combined_maps(ensemble):
    maps = [
        tail.surprise(member.decision_function(list(GOOD[:1]))[0])
        for member, tail in zip(ensemble.segmenters_, ensemble.tails_, strict=True)
    ]
    found = ensemble.decision_function(list(GOOD[:1]))[0]
    np.testing.assert_allclose(found, maps[0] + maps[1], atol=1e-4)
    highest = clone(ensemble).set_params(combination="max").fit(GOOD)
    np.testing.assert_allclose(
        highest.decision_function(list(GOOD[:1]))[0], np.maximum(*maps), atol=1e-4
    )


def test_it_finds_defects(ensemble):
    test = draw_defects(make_woven_fabric(3, shape=(64, 80), random_state=1), random_state=0)
    assert ensemble.score(test.images, test.masks) > 0.7


def test_parameters_reach_members():
    ensemble = EnsembleSegmenter(members())
    assert ensemble.get_params()["fine__dictionary_size"] == 200
    ensemble.set_params(fine__dictionary_size=7, coarse=PatchDictionarySegmenter(stride=8))
    assert ensemble.segmenters[0][1].dictionary_size == 7
    assert clone(ensemble).segmenters[1][1].stride == 8
    assert "fine" not in ensemble.get_params(deep=False)


def test_members_that_are_given_are_not_changed(ensemble):
    assert not hasattr(ensemble.segmenters[0][1], "dictionary_")
    assert ensemble.segmenters[0][1].threshold == "pixel_fpr"


def test_jobs_change_nothing(ensemble):
    parallel = EnsembleSegmenter(members(), random_state=0, n_jobs=2).fit(GOOD)
    np.testing.assert_array_equal(
        parallel.decision_function(GOOD), ensemble.decision_function(GOOD)
    )


def test_an_autoencoder_and_a_dictionary(tiny):
    ensemble = EnsembleSegmenter(
        [("l2", L2AutoencoderSegmenter(**tiny)), ("dictionary", PatchDictionarySegmenter())],
        random_state=0,
    )
    camera = np.rint(1000 * GOOD).astype(np.uint16)
    maps = ensemble.fit(camera).decision_function(camera)
    assert maps.shape == camera.shape
    assert ensemble.min_image_size == 16


@pytest.mark.parametrize(
    ("segmenters", "message"),
    [
        ([], "segmenters must be a list of pairs of a name and a segmenter"),
        (
            [PatchDictionarySegmenter()],
            "segmenters must be a list of pairs of a name and a segment",
        ),
        ([("a", 3)], r"segmenters must be a list of pairs .*, got \[\('a', 3\)\] instead"),
        ([("a", PatchDictionarySegmenter())] * 2, "Names provided are not unique"),
        ([("a__b", PatchDictionarySegmenter())], "must not contain __"),
    ],
)
def test_wrong_members(segmenters, message):
    with pytest.raises(ValueError, match=message):
        EnsembleSegmenter(segmenters).fit(GOOD)
