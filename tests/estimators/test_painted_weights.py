"""Weights of an ensemble by the painted defects that each segmenter finds."""

import copy

import numpy as np
import pytest
from scipy import ndimage
from sklearn.exceptions import NotFittedError

from sk_ssimae import EnsembleSegmenter
from sk_ssimae._inference._region import Region
from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.estimators import BaseSegmenter, _ensemble
from sk_ssimae.estimators._painted_weights import paint
from sk_ssimae.model_selection._selection_set import DEFAULT_FAMILIES


class Edges(BaseSegmenter):
    """Segment by the strength of edges."""

    def fit_regions(self, regions, rng):
        self.shapes_ = [region.shape for region in regions]

    def update_regions(self, regions, rng):
        self.shapes_ += [region.shape for region in regions]

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


def interrupt(*_):
    raise KeyboardInterrupt


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
    with pytest.raises(NotFittedError, match="call calibrate with good images, or fit again"):
        ensemble.decision_function(good)
    edges, blind = ensemble.calibrate(good).weights_
    assert blind < edges == 1
    assert ensemble.calibrate(good[:, :40]).weights_ == [edges, blind]
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


def test_types_of_images_may_differ(good):
    grey = (255 * good / good.max()).astype(np.uint8)
    mixed = [image if index % 2 else image / np.float32(255) for index, image in enumerate(grey)]
    expected, painted = (
        list(paint([Region.of_image(image[..., None], None) for image in images], 1))
        for images in (grey, mixed)
    )
    for one, other in zip(painted, expected, strict=True):
        unit = one.region.pixels / (255 if one.region.pixels.dtype == np.uint8 else 1)
        close = np.abs(unit - other.region.pixels / 255) < 0.02
        assert close.mean() > 0.99  # Rounding may move the edge of a defect.
        assert close[one.mask & other.mask].mean() > 0.9


def test_residuals_that_depend_on_the_whole_image(ensemble, good):
    class Pooled(Edges):
        def residual_radius(self):
            raise ValueError("cannot compute an image block by block")

    ensemble.set_params(edges=Pooled())
    assert ensemble.fit(good).weights_[0] == 1


def test_weights_of_an_earlier_fit_are_forgotten(ensemble, good, monkeypatch):
    ensemble.fit(good)
    monkeypatch.setattr(_ensemble, "find_weights", interrupt)
    with pytest.raises(KeyboardInterrupt):
        ensemble.fit(good[::-1])
    assert not ensemble.is_settled()


def test_calibrate_prepares_segmenters_before_it_weighs_them(ensemble, good):
    class Loading(Edges):
        def check_ready(self):
            super().check_ready()
            self.is_loaded = True

        def compute_residual(self, image):
            assert self.is_loaded
            return super().compute_residual(image)

    ensemble.set_params(segmenters=[("edges", Loading()), ("blind", Blind())], weights=None)
    ensemble.fit(good).set_params(weights="auto")
    ensemble.segmenters_[0].is_loaded = False  # As after it was opened from a file.
    assert ensemble.calibrate(good).weights_[0] == 1


def test_strongly_shrunk_images_are_painted_in_windows(good):
    image = np.kron(good[0], np.ones((16, 16), np.float32))[..., None]
    region = Region(image, (64, 72), (1024, 1152))
    assert {one.region.shape for one in paint([region], 1)} == {(1024, 1024)}
    region = region._replace(working_shape=(256, 288))
    assert {one.region.working_shape for one in paint([region], 1)} == {(64, 64)}
    assert {one.region.working_shape for one in paint([region], 100)} == {(100, 100)}


def test_residuals_that_depend_on_the_place_get_whole_images(ensemble):
    class Template(BaseSegmenter):
        def fit_regions(self, regions, rng):
            self.mean_ = np.mean(regions, axis=0)

        def compute_residual(self, image):
            return np.abs(image - self.mean_).mean(axis=2)

    good = make_woven_fabric(24, shape=(270, 280), random_state=0)
    ensemble.set_params(segmenters=[("template", Template()), ("blind", Blind())])
    assert ensemble.fit(good).weights_[0] > 0


def test_an_interrupt_while_weights_are_sought_keeps_segmenters(ensemble, good, monkeypatch):
    again = copy.deepcopy(ensemble).fit(good)
    before = copy.deepcopy(again)
    with monkeypatch.context() as patched:
        patched.setattr(_ensemble, "find_weights", interrupt)
        with pytest.raises(KeyboardInterrupt):
            ensemble.fit(good)
        # A continued fit leaves the segmenter as it was.
        with pytest.raises(KeyboardInterrupt):
            again.partial_fit(good[::-1])
    assert again.weights_ == before.weights_
    assert again.threshold_ == before.threshold_
    np.testing.assert_array_equal(again.predict(good), before.predict(good))
    with pytest.raises(NotFittedError, match="call calibrate"):
        ensemble.predict(good)
    assert ensemble.calibrate(good).weights_[0] == 1
    assert ensemble.predict(good).shape == good.shape


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
        # 128 pixels when they are processed, twice as many in the image.
        painted = list(paint([region, region], 100))
        assert {one.family for one in painted} == set(DEFAULT_FAMILIES)
        assert len(painted) == 56
        for one in painted:
            assert one.region.pixels.shape == (256, 256, 3)
            assert one.region.pixels.dtype == dtype
            assert one.region.working_shape == (128, 128)
            assert one.region.image_shape == (600, 1400)
            row, column = one.region.corner[0] - 5, one.region.corner[1] - 7
            box = slice(row, row + 256), slice(column, column + 256)
            original = image[box] if dtype == np.uint8 else np.minimum(image[box], 1)
            changed = (one.region.pixels != original).any(axis=2)
            np.testing.assert_array_equal(changed, one.mask)
            if area is not None:
                np.testing.assert_array_equal(one.region.inside, inside[box])
                assert not (one.mask & ~one.region.inside).any()
    np.testing.assert_array_equal(image, kept)
