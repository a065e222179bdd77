"""Weights of an ensemble by the painted defects that each segmenter finds."""

import copy

import numpy as np
import pytest
from scipy import ndimage
from sklearn.exceptions import NotFittedError

from sk_ssimae import EnsembleSegmenter
from sk_ssimae._inference._region import Region
from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.estimators import BaseSegmenter
from sk_ssimae.estimators._painted_weights import paint
from sk_ssimae.model_selection._selection_set import DEFAULT_FAMILIES


class Edges(BaseSegmenter):
    """Segment by the strength of edges."""

    def fit_regions(self, regions, rng):
        self.shapes_ = [region.shape for region in regions]

    def compute_residual(self, image):
        grey = image.mean(axis=2, dtype=np.float32)
        return ndimage.gaussian_gradient_magnitude(grey, 2)


class Blind(Edges):
    """Segment by the place of a pixel."""

    def compute_residual(self, image):
        return np.add.outer(*map(np.arange, image.shape[:2])).astype(np.float32)


@pytest.fixture
def good():
    # Smooth, so that painted defects stand out by their edges.
    return ndimage.gaussian_filter(make_woven_fabric(12, shape=(64, 72), random_state=0), (0, 4, 4))


@pytest.fixture
def ensemble():
    members = [("edges", Edges()), ("blind", Blind())]
    return EnsembleSegmenter(members, weights="auto", random_state=0)


def test_who_sees_no_defects_hardly_counts(ensemble, good):
    edges, blind = ensemble.fit(good).weights_
    assert edges == 1
    assert 0 <= blind < 0.3
    expected = [
        sum(w * m for w, m in zip(ensemble.weights_, maps, strict=True))
        for maps in zip(*(s.calibrated_map(good) for s in ensemble.segmenters_), strict=True)
    ]
    np.testing.assert_allclose(ensemble.decision_function(good), expected, rtol=1e-6)
    # The threshold belongs to the weighted maps.
    again = copy.deepcopy(ensemble).set_params(weights=[edges, blind], random_state=0).fit(good)
    assert again.threshold_ == ensemble.threshold_


def test_weights_do_not_depend_on_chance(ensemble, good):
    expected = ensemble.fit(good).weights_
    np.random.seed(3)
    assert copy.deepcopy(ensemble).fit(good).weights_ == expected


def test_weights_are_found_in_fit(ensemble, good):
    ensemble.set_params(weights=None).fit(good)
    assert ensemble.weights_ == [1, 1]
    ensemble.set_params(weights="auto")
    with pytest.raises(NotFittedError, match="takes effect in fit, which finds them: fit again"):
        ensemble.decision_function(good)
    # Without a rule for the threshold no images are held out: those of training are painted.
    edges, blind = ensemble.set_params(threshold=1.0).fit(good).weights_
    assert blind < edges == 1


def test_nobody_sees_a_defect(ensemble, good):
    class Nothing(Blind):
        def compute_residual(self, image):
            return np.zeros(image.shape[:2], dtype=np.float32)

    ensemble.set_params(segmenters=[("a", Nothing()), ("b", Nothing())])
    assert ensemble.fit(good).weights_ == [1, 1]


@pytest.mark.parametrize("side", [1, 2, 8])
def test_small_regions_of_interest(ensemble, good, side):
    roi = np.zeros(good.shape[1:], dtype=bool)
    roi[20 : 20 + side, 30 : 30 + side] = True
    weights = ensemble.fit(good, roi=roi).weights_
    assert max(weights) == 1
    assert side == 8 or weights == [1, 1]  # Nothing can be painted.


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_windows_of_large_images_are_painted(dtype):
    grey = make_woven_fabric(1, shape=(300, 700), random_state=0)[0]
    image = 255 * np.stack([grey, grey**2, 1 - grey], axis=-1)
    image = image.astype(dtype) if dtype == np.uint8 else image.astype(dtype) / 200
    inside = np.zeros(image.shape[:2], dtype=bool)
    inside[40:90, 100:400] = True
    kept = image.copy()
    for area in (None, inside):
        region = Region(image, (150, 350), (600, 1400), area, corner=(5, 7))
        painted = list(paint([region, region], 80))
        assert {one.family for one in painted} == set(DEFAULT_FAMILIES)
        assert len(painted) == 56
        for one in painted:
            assert one.region.pixels.shape == (160, 160, 3)
            assert one.region.pixels.dtype == dtype
            assert one.region.working_shape == (80, 80)
            assert one.region.image_shape == (600, 1400)
            row, column = one.region.corner[0] - 5, one.region.corner[1] - 7
            box = slice(row, row + 160), slice(column, column + 160)
            original = image[box] if dtype == np.uint8 else np.minimum(image[box], 1)
            changed = (one.region.pixels != original).any(axis=2)
            np.testing.assert_array_equal(changed, one.mask)
            if area is not None:
                np.testing.assert_array_equal(one.region.inside, inside[box])
                assert not (one.mask & ~one.region.inside).any()
    np.testing.assert_array_equal(image, kept)
