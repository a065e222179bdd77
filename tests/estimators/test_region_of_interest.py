"""Pixels outside the region of interest take no part in anything."""

import functools

import numpy as np
import pytest
import sklearn
from sklearn.model_selection import GridSearchCV
from torch import nn

from sk_ssimae import (
    EnsembleSegmenter,
    FeatureDictionarySegmenter,
    L2AutoencoderSegmenter,
    PatchDictionarySegmenter,
    SparseDictionarySegmenter,
    SSIMAutoencoderSegmenter,
)
from sk_ssimae._inference._decision import open_map, smooth
from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.estimators import BaseSegmenter
from sk_ssimae.estimators._sampler import PatchSampler
from sk_ssimae.metrics import SegmentationScorer
from sk_ssimae.model_selection import DefectFreeKFold

SHAPE = (64, 72)
GOOD = make_woven_fabric(4, shape=SHAPE, thread_spacing=6, random_state=0)
TEST = draw_defects(
    make_woven_fabric(3, shape=SHAPE, thread_spacing=6, random_state=1), random_state=0
)
ROWS, COLUMNS = np.indices(SHAPE)
DISC = (ROWS - 30) ** 2 + (COLUMNS - 36) ** 2 <= 27**2
TINY = {"patch_size": 16, "stride": 16, "n_patches": 16, "max_epochs": 1, "latent_dim": 8}

SMALL = {"n_atoms": 12, "n_training_patches": 60, "n_density_patches": 60}

FAMILIES = {
    "patch": functools.partial(PatchDictionarySegmenter, random_state=0),
    "features": functools.partial(
        FeatureDictionarySegmenter,
        feature_extractor=nn.AvgPool2d(4),
        layers=None,
        normalization=None,
        random_state=0,
        device="cpu",
    ),
    "sparse": functools.partial(SparseDictionarySegmenter, **SMALL, patch_size=8, random_state=0),
    "ssim": functools.partial(SSIMAutoencoderSegmenter, **TINY, random_state=0, device="cpu"),
    "ensemble": lambda **params: EnsembleSegmenter(
        [
            ("patch", PatchDictionarySegmenter()),
            ("l2", L2AutoencoderSegmenter(**TINY, device="cpu")),
        ],
        random_state=0,
        **params,
    ),
}


def scrambled(images, inside=DISC):
    """Replace the pixels outside by noise."""
    noise = np.random.default_rng(0).random(images.shape, dtype=np.float32)
    return np.where(inside, images, noise)


@pytest.mark.filterwarnings("ignore::sk_ssimae.exceptions.UnlearnedTextureWarning")
@pytest.mark.parametrize("image_size", [None, (48, 56)])
@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_depends_on_pixels_outside(family, image_size):
    make = functools.partial(FAMILIES[family], image_size=image_size)
    plain = make().fit(GOOD, roi=DISC)
    other = make().fit(scrambled(GOOD), roi=[DISC] * 4)
    assert plain.threshold_ == other.threshold_
    assert plain.extent_threshold_ == other.extent_threshold_
    maps = plain.decision_function(TEST.images, roi=DISC)
    np.testing.assert_array_equal(
        maps, other.decision_function(scrambled(TEST.images), roi=np.stack([DISC] * 3))
    )
    assert maps.shape == TEST.images.shape
    assert maps.dtype == np.float32
    assert (maps[:, ~DISC] == 0).all()
    assert (maps[:, DISC] != 0).any()
    found = list(plain.segment_images(TEST.images, roi=DISC))
    masks, scores = plain.predict(TEST.images, roi=DISC), plain.score_images(TEST.images, roi=DISC)
    for index, one in enumerate(found):
        np.testing.assert_array_equal(one.mask, masks[index])
        assert one.score == scores[index]
        assert one.mask.any() == (one.score > plain.threshold_)
    assert not masks[:, ~DISC].any()
    assert (plain.calibrated_map(TEST.images, roi=DISC)[:, ~DISC] == 0).all()
    assert plain.score(TEST.images, TEST.masks, roi=DISC) == other.score(
        scrambled(TEST.images), TEST.masks, roi=DISC
    )
    threshold = plain.calibrate(TEST.images, roi=DISC).threshold_
    assert other.calibrate(scrambled(TEST.images), roi=DISC).threshold_ == threshold


@pytest.mark.filterwarnings("ignore::sk_ssimae.exceptions.UnlearnedTextureWarning")
@pytest.mark.parametrize("family", FAMILIES)
def test_drift_and_further_training_depend_on_pixels_inside(family):
    new = 0.8 * make_woven_fabric(4, shape=SHAPE, thread_spacing=6, random_state=2)
    results = []
    for images in (new, scrambled(new)):
        segmenter = FAMILIES[family]().fit(GOOD, roi=DISC)
        drift = segmenter.check_drift(images, roi=DISC)
        before = segmenter.decision_function(TEST.images, roi=DISC)
        segmenter.partial_fit(images, roi=DISC)
        after = segmenter.decision_function(TEST.images, roi=DISC)
        assert (after != before).any()
        results.append((drift, segmenter.threshold_, segmenter.calibration_, after))
    (*one, maps), (*other, other_maps) = results
    assert one == other
    assert np.isfinite(one[2].good_deviation)
    np.testing.assert_array_equal(maps, other_maps)


def test_dictionaries_count_the_cells_inside():
    segmenter = PatchDictionarySegmenter(threshold=1.0, random_state=0)
    n_whole = segmenter.fit(GOOD).n_features_seen_
    n_inside = segmenter.fit(GOOD, roi=DISC).n_features_seen_
    assert n_inside == pytest.approx(n_whole * DISC.mean(), rel=0.05)
    assert segmenter.partial_fit(GOOD[:2], roi=DISC).n_features_seen_ == n_inside * 3 // 2


def test_defects_outside_do_not_count_in_further_training():
    masks = np.zeros((4, *SHAPE), dtype=bool)
    masks[0, :3, :3] = True
    masks[1, 30:33, 30:33] = True
    segmenter = PatchDictionarySegmenter(random_state=0).fit(GOOD)
    assert segmenter.partial_fit(GOOD, masks, roi=DISC).n_defective_dropped_ == 1
    with pytest.raises(ValueError, match="y marks all 1 images"):
        segmenter.partial_fit(GOOD[1:2], masks[1:2], roi=DISC)


def test_regions_are_tabulated_inside():
    images = GOOD[:1].copy()
    images[0, :3, :3] = 1
    images[0, 24:36, 30:42] = 1
    segmenter = PatchDictionarySegmenter(random_state=0).fit(GOOD, roi=DISC)
    (table,) = segmenter.find_regions(images, roi=DISC)
    assert len(table) > 0
    assert table["area"].sum() == segmenter.predict(images, roi=DISC).sum()
    assert table["peak"].max() == segmenter.score_images(images, roi=DISC)[0]
    assert np.isfinite(table["mean_residual"]).all()


def test_a_rectangle_is_like_a_cropped_image():
    rectangle = np.zeros(SHAPE, dtype=bool)
    rectangle[8:56, 16:64] = True
    fixed = {"smoothing": 0.5, "threshold": 1.0, "random_state": 0}
    part = PatchDictionarySegmenter(**fixed).fit(GOOD[:, 8:56, 16:64])
    whole = PatchDictionarySegmenter(**fixed).fit(GOOD, roi=rectangle)
    np.testing.assert_array_equal(
        whole.decision_function(TEST.images, roi=rectangle)[:, 8:56, 16:64],
        part.decision_function(TEST.images[:, 8:56, 16:64]),
    )


@pytest.mark.parametrize("family", ["patch", "ensemble"])
def test_a_mask_that_is_true_everywhere_changes_nothing(family):
    plain, masked = FAMILIES[family]().fit(GOOD), FAMILIES[family]().fit(GOOD, roi=np.ones(SHAPE))
    assert plain.threshold_ == masked.threshold_
    np.testing.assert_array_equal(
        plain.predict(TEST.images), masked.predict(TEST.images, roi=np.ones(SHAPE))
    )


def test_defects_outside_do_not_count():
    masks = np.zeros((4, *SHAPE), dtype=bool)
    masks[0, :3, :3] = True
    masks[1, 30:33, 30:33] = True
    segmenter = PatchDictionarySegmenter(random_state=0)
    assert segmenter.fit(GOOD, masks).n_defective_dropped_ == 2
    assert segmenter.fit(GOOD, masks, roi=DISC).n_defective_dropped_ == 1
    with pytest.raises(ValueError, match="got no defective pixel"):
        segmenter.score(GOOD[:1], masks[:1], roi=DISC)


def test_the_intensity_range_is_that_of_pixels_inside():
    images = np.rint(GOOD * 4095).astype(np.uint16)
    outside = np.where(DISC, images, 65535)
    found = PatchDictionarySegmenter(random_state=0).fit(outside, roi=DISC).intensity_range_
    assert found.high <= 4095


def test_images_may_have_nan_outside():
    images = np.where(DISC, GOOD, np.nan)
    segmenter = PatchDictionarySegmenter(random_state=0).fit(images, roi=DISC)
    assert np.isfinite(segmenter.decision_function(images, roi=DISC)).all()


@pytest.mark.filterwarnings("ignore::sk_ssimae.exceptions.UnlearnedTextureWarning")
def test_regions_narrower_than_a_patch():
    strip = np.zeros(SHAPE, dtype=bool)
    strip[60:] = True
    segmenter = FAMILIES["ssim"]().fit(GOOD, roi=strip)
    maps = segmenter.decision_function(TEST.images, roi=strip)
    assert (maps[:, 60:] != 0).any()
    assert (maps[:, :60] == 0).all()


def test_training_draws_patches_inside():
    import torch

    image = np.where(DISC, 0.25, 1.0).astype(np.float32)[..., np.newaxis]
    sampler = PatchSampler(
        [image, image],
        inside=[DISC, DISC],
        patch_size=16,
        n_patches=500,
        batch_size=100,
        dihedral=True,
        cutout=0,
        generator=torch.Generator().manual_seed(0),
    )
    assert all((patches == 0.25).all() for patches, _ in sampler)


def test_smoothing_is_normalised_and_opening_ends_at_the_edge():
    rng = np.random.default_rng(0)
    residual_map = rng.random(SHAPE, dtype=np.float32)
    constant = np.where(DISC, 3, rng.random(SHAPE)).astype(np.float32)
    np.testing.assert_allclose(smooth(constant, 2.5, DISC)[DISC], 3, rtol=1e-5)
    assert (smooth(residual_map, 2.5, DISC)[~DISC] == 0).all()
    high, low = (np.where(DISC, residual_map, value).astype(np.float32) for value in (9, -9))
    for diameter, area in ((4, 0), (5, 0), (0, 12), (4, 30)):
        opened = open_map(high, diameter, area, DISC)
        np.testing.assert_array_equal(opened, open_map(low, diameter, area, DISC))
        assert np.isneginf(opened[~DISC]).all()
        everywhere = np.ones(SHAPE, dtype=bool)
        np.testing.assert_array_equal(
            open_map(residual_map, diameter, area, everywhere),
            open_map(residual_map, diameter, area),
        )


def test_wrong_masks_are_named():
    segmenter = PatchDictionarySegmenter(random_state=0)
    with pytest.raises(ValueError, match=r"roi\[2\] must have the height and width of image 2"):
        segmenter.fit(GOOD, roi=[DISC, DISC, DISC[1:], DISC])
    segmenter.fit(GOOD)
    with pytest.raises(ValueError, match="got 2 masks for 3 images"):
        segmenter.predict(TEST.images, roi=[DISC, DISC])


def test_families_that_cannot_take_it_are_refused():
    class Brightness(BaseSegmenter):
        def fit_regions(self, regions, rng):
            self.mean_ = np.mean([region.mean() for region in regions])

        def compute_residual(self, image):
            return np.abs(image[..., 0] - np.float32(self.mean_))

    with pytest.raises(TypeError, match="Brightness takes no region of interest"):
        Brightness(random_state=0).fit(GOOD, roi=DISC)


def test_a_search_passes_the_regions_on():
    X = np.concatenate([GOOD, TEST.images])
    y = np.concatenate([np.zeros((4, *SHAPE), dtype=bool), TEST.masks])
    roi = np.stack([DISC] * len(X))
    results = []
    with sklearn.config_context(enable_metadata_routing=True):
        for images in (X, scrambled(X)):
            segmenter = PatchDictionarySegmenter(random_state=0).set_fit_request(roi=True)
            search = GridSearchCV(
                segmenter,
                {"n_filters": [4, 8]},
                cv=DefectFreeKFold(2),
                scoring=SegmentationScorer(["pixel_roc_auc", "pro_auc"]).set_score_request(
                    roi=True
                ),
                refit="pro_auc",
            )
            search.fit(images, y, roi=roi)
            results.append(search.cv_results_["mean_test_pro_auc"])
            by_score = GridSearchCV(
                segmenter.set_score_request(roi=True), {"n_filters": [4]}, cv=DefectFreeKFold(2)
            ).fit(images, y, roi=roi)
            results.append(by_score.cv_results_["mean_test_score"])
    assert np.isfinite(results[0]).all()
    np.testing.assert_array_equal(results[0], results[2])
    np.testing.assert_array_equal(results[1], results[3])
