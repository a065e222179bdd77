import ast
import re
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_ssimae import (
    GenerativeAdversarialSegmenter,
    L2AutoencoderSegmenter,
    SSIMAutoencoderSegmenter,
    paper_protocol,
)
from sk_ssimae._inference._decision import open_map, smooth
from sk_ssimae._patches import taper_weights
from sk_ssimae.losses import L1Loss, L2Loss, MultiScaleSSIMLoss, SSIMLoss
from sk_ssimae.metrics import pixel_roc_auc_score
from sk_ssimae.model_selection import DefectFreeKFold, extreme_value_threshold
from sk_ssimae.model_selection._extremes import block_maxima


@pytest.fixture(scope="module")
def fitted(tiny, good):
    """Fit each class once."""
    cache = {}

    def fit(cls):
        if cls not in cache:
            cache[cls] = cls(**tiny).fit(good)
        return clone_fitted(cache[cls])

    return fit


def clone_fitted(segmenter):
    copied = clone(segmenter)
    vars(copied).update(vars(segmenter))
    return copied


def test_array_in_array_out(segmenter_class, fitted, good):
    segmenter = fitted(segmenter_class)
    residual_maps, masks = segmenter.decision_function(good), segmenter.predict(good)
    assert residual_maps.shape == masks.shape == good.shape
    assert (residual_maps.dtype, masks.dtype) == (np.float32, np.bool_)
    assert segmenter.reconstruct(good).shape == good.shape
    np.testing.assert_array_equal(segmenter.decision_function(good[..., None]), residual_maps)
    assert segmenter.reconstruct(good[..., None]).shape == (*good.shape, 1)


def test_sequence_in_list_out(segmenter_class, fitted, good):
    segmenter = fitted(segmenter_class)
    images = [good[0], good[1][:20, :17], good[2][:16]]
    for results in (
        segmenter.decision_function(images),
        segmenter.predict(images),
        segmenter.reconstruct(images),
        list(segmenter.iter_decision_function(images)),
    ):
        assert isinstance(results, list)
        assert [result.shape for result in results] == [image.shape for image in images]
    np.testing.assert_array_equal(
        segmenter.decision_function(images)[0], segmenter.decision_function(good)[0]
    )


def test_residual_is_that_of_the_loss(all_segmenter_classes, fitted, good):
    losses = {
        "SSIMAutoencoderSegmenter": SSIMLoss(),
        "MultiScaleSSIMAutoencoderSegmenter": MultiScaleSSIMLoss(n_scales=1),
        "L2AutoencoderSegmenter": L2Loss(),
        "L1AutoencoderSegmenter": L1Loss(),
        "FeatureMatchingAutoencoderSegmenter": L2Loss(),
    }
    # The variational residual is averaged over samples: see test_variational.py.
    compared = [cls for cls in all_segmenter_classes if cls.__name__ in losses]
    assert len(compared) == len(losses)
    for cls in compared:
        segmenter = fitted(cls).set_params(smoothing=0)
        image, reconstruction = (
            torch.from_numpy(array[:1, None].copy())
            for array in (good, segmenter.reconstruct(good))
        )
        expected = losses[cls.__name__].residual_map(image, reconstruction)
        np.testing.assert_allclose(segmenter.decision_function(good)[:1], expected, atol=1e-6)


def test_training_and_residual_share_one_ssim(tiny, good):
    segmenter = SSIMAutoencoderSegmenter(
        **tiny,
        window_size=7,
        window="gaussian",
        c1=0.01,
        c2=0.03,
        alpha=0.5,
        beta=2,
        gamma=3,
        smoothing=0,
    ).fit(good)
    criterion = segmenter.net_.criterion_
    assert (criterion.window_size, criterion.window) == (7, "gaussian")
    assert (criterion.c1, criterion.c2) == (0.01, 0.03)
    assert (criterion.alpha, criterion.beta, criterion.gamma) == (0.5, 2, 3)
    image, reconstruction = (
        torch.tensor(images[:1, None], device=criterion.kernel.device)
        for images in (good, segmenter.reconstruct(good))
    )
    np.testing.assert_allclose(
        segmenter.decision_function(good)[0],
        criterion.residual_map(image, reconstruction)[0].cpu(),
        atol=1e-6,
    )


def test_residual_params_change_the_residual_alone(fitted, good):
    segmenter = fitted(SSIMAutoencoderSegmenter).set_params(smoothing=0)
    shown = segmenter.decision_function(good)
    changes = {"window_size": 7, "gamma": 2, "c2": 3e-3}
    rules = {"threshold": "pixel_fpr", "extent_threshold": "pixel_fpr"}
    segmenter.set_params(residual_params=changes, **rules)
    image, reconstruction = (
        torch.from_numpy(array[:, None].copy()) for array in (good, segmenter.reconstruct(good))
    )
    expected = SSIMLoss(**changes).residual_map(image, reconstruction)
    np.testing.assert_allclose(segmenter.decision_function(good), expected, atol=1e-6)
    with pytest.raises(NotFittedError, match="has not been calibrated"):
        segmenter.predict(good)
    segmenter.calibrate(good)
    assert 0 < segmenter.predict(good).mean() <= 0.01
    for nothing in ({}, None, {"window_size": 11, "c1": 1e-4}):
        segmenter.set_params(residual_params=nothing)
        np.testing.assert_array_equal(segmenter.decision_function(good), shown)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigma": 1}, r"residual_params must name .* 'window_size'\], got \['sigma'\]"),
        ({3: 1}, r"got \['3'\]"),
        ({"gamma": -1}, r"'gamma' parameter of SSIMAutoencoderSegmenter.residual_params must be"),
        ({"window_size": 8}, r"residual_params\['window_size'\] must be odd .* got 8"),
        ({"window_size": 17}, r"at most patch_size=16, got 17"),
        ([("gamma", 2)], "'residual_params' parameter of SSIMAutoencoderSegmenter must be"),
    ],
)
def test_wrong_residual_params(fitted, good, changes, message):
    segmenter = fitted(SSIMAutoencoderSegmenter).set_params(residual_params=changes)
    for method in ("fit", "decision_function", "predict", "score_images", "calibrate"):
        with pytest.raises(ValueError, match=message):
            getattr(segmenter, method)(good)
    assert "SSIMAutoencoderSegmenter" in segmenter._repr_html_()


def test_residual_params_need_a_loss_with_ssim(fitted, good):
    segmenter = fitted(L2AutoencoderSegmenter)
    derived = SSIMAutoencoderSegmenter(**segmenter.get_params(), residual_params={"gamma": 2})
    fitted_parameters = segmenter.fitted_parameters_
    vars(derived).update(net_=segmenter.net_, n_channels_=1, fitted_parameters_=fitted_parameters)
    derived.intensity_range_ = None
    with pytest.raises(ValueError, match=r"residual_params overrides .* of SSIM.* class L2Loss"):
        derived.decision_function(good)


@pytest.mark.parametrize("changes", [None, {"window_size": 7, "gamma": 2}])
def test_the_absolute_difference_is_added_to_the_residual(fitted, good, changes):
    segmenter = fitted(SSIMAutoencoderSegmenter).set_params(smoothing=0, residual_params=changes)
    dissimilarity = segmenter.decision_function(good)
    segmenter.set_params(absolute_weight=3)
    expected = dissimilarity + 3 * np.abs(good - segmenter.reconstruct(good))
    np.testing.assert_allclose(segmenter.decision_function(good), expected, rtol=0, atol=1e-6)
    assert segmenter.residual_range() == (0, 5)
    with pytest.raises(NotFittedError, match=r"not been calibrated for .*absolute_weight=3"):
        segmenter.predict(good)
    assert segmenter.calibrate(good).predict(good).shape == good.shape


def test_channels_of_the_absolute_difference_are_averaged(tiny):
    colour = np.random.default_rng(0).random((3, 32, 32, 3)).astype(np.float32)
    segmenter = SSIMAutoencoderSegmenter(**tiny, smoothing=0).fit(colour)
    dissimilarity = segmenter.decision_function(colour)
    difference = np.abs(colour - segmenter.reconstruct(colour)).mean(axis=-1)
    maps = segmenter.set_params(absolute_weight=2).decision_function(colour)
    np.testing.assert_allclose(maps, dissimilarity + 2 * difference, rtol=0, atol=1e-6)


@pytest.mark.parametrize("weight", [-0.5, 1001, np.nan, "3"])
def test_wrong_absolute_weight(fitted, good, weight):
    segmenter = fitted(SSIMAutoencoderSegmenter).set_params(absolute_weight=weight)
    for method in ("fit", "decision_function"):
        with pytest.raises(ValueError, match=r"'absolute_weight' .* range \[0.0?, 1000"):
            getattr(segmenter, method)(good)


@pytest.mark.parametrize("taper", [0, 0.25, 0.5, 1])
def test_edges_of_windows_weigh_less(fitted, good, taper):
    segmenter = fitted(L2AutoencoderSegmenter).set_params(taper=taper)
    image = good[0, :16, :24]
    left, right = segmenter.reconstruct([image[:, :16], image[:, 8:]])
    weights = taper_weights(16, taper)
    overlap = weights[8:] * left[:, 8:] + weights[:8] * right[:, :8]
    expected = np.hstack([left[:, :8], overlap / (weights[8:] + weights[:8]), right[:, 8:]])
    np.testing.assert_allclose(segmenter.reconstruct([image])[0], expected, atol=1e-6)


def test_augmented_maps_turn_with_the_image(fitted, good, all_segmenter_classes):
    square = good[:1, :40, :40]
    turned = np.rot90(square, axes=(1, 2))
    for cls in all_segmenter_classes:
        segmenter = fitted(cls)
        if cls.__name__ == "VariationalAutoencoderSegmenter":
            # The noise of the other residual depends on the place and does not turn.
            segmenter.set_params(residual="kl")
        plain = segmenter.decision_function(square)
        segmenter.set_params(test_time_augmentation="dihedral")
        augmented = segmenter.decision_function(square)
        assert np.abs(augmented - plain).max() > 1e-3
        for flipped in (lambda x: x, lambda x: x[:, ::-1]):
            np.testing.assert_allclose(
                segmenter.decision_function(flipped(turned)),
                flipped(np.rot90(augmented, axes=(1, 2))),
                atol=1e-5,
            )


def test_automatic_smoothing_is_a_hundredth_of_the_shorter_side(fitted, tiny, good):
    segmenter = fitted(L2AutoencoderSegmenter)
    raw = segmenter.set_params(smoothing=0).decision_function(good)
    automatic = segmenter.set_params(smoothing="auto").decision_function(good)
    np.testing.assert_allclose(automatic, [smooth(map_, 0.4) for map_ in raw], atol=1e-6)
    # The held-out band is smoothed with the width for the whole image.
    few = [
        clone(segmenter).set_params(smoothing=width, **tiny).fit(good).threshold_
        for width in ("auto", 0.4, 0)
    ]
    assert few[0] == few[1] != few[2]


def test_smoothing_opening_threshold(segmenter_class, fitted, defective):
    images, _ = defective
    segmenter = fitted(segmenter_class)
    plain = segmenter.set_params(smoothing=0).decision_function(images)
    segmenter.set_params(smoothing=1.5)
    smoothed = segmenter.decision_function(images)
    for raw, map_ in zip(plain, smoothed, strict=True):
        np.testing.assert_allclose(map_, smooth(raw, 1.5))
    for diameter in (0, 3, 4):
        segmenter.set_params(opening_diameter=diameter)
        opened = np.stack([open_map(map_, diameter) for map_ in smoothed])
        segmenter.set_params(threshold=float(np.quantile(opened, 0.9)))
        np.testing.assert_array_equal(segmenter.predict(images), opened > segmenter.threshold_)
        np.testing.assert_array_equal(segmenter.score_images(images), opened.max(axis=(1, 2)))


def test_pixel_rule_bounds_the_share_of_held_out_pixels(segmenter_class, tiny, good):
    # Whole images are held out, so that calibrating on the same ones gives the same threshold.
    many = np.concatenate([good, good[:, ::-1], good[:, :, ::-1]])
    segmenter = segmenter_class(**tiny, threshold="pixel_fpr", target_fpr=0.05).fit(many)
    assert segmenter.calibration_.held_out == "images"
    assert segmenter.calibration_.n_held_out == 3
    again = clone_fitted(segmenter).set_params(extent_threshold=1e9).calibrate(good)
    assert again.extent_threshold_ == again.threshold_
    assert 0.047 < again.predict(good).mean() <= 0.05  # Opened maps have plateaus of equal values.
    again.set_params(extent_threshold="pixel_fpr", extent_fpr=0.2).calibrate(good)
    assert again.extent_threshold_ < again.threshold_
    above = np.stack([again._open(map_) for map_ in again.decision_function(good)])
    assert 0.19 < (above > again.extent_threshold_).mean() <= 0.2
    marked = again.predict(good)
    assert (above[marked] > again.extent_threshold_).all()
    assert marked[above > again.threshold_].all()


def test_few_images_give_bands(segmenter_class, tiny, good):
    few = segmenter_class(**tiny).fit(good)
    assert few.calibration_[2:6] == ("image_fpr", 0.01, "regions", 4)
    assert not few.calibration_.is_guarantee
    assert few.extent_threshold_ <= few.threshold_


def test_image_rule(segmenter_class, tiny, good):
    segmenter = segmenter_class(**tiny, threshold="image_fpr", target_fpr=0.25)
    segmenter.fit(good).calibrate(good)
    assert segmenter.calibration_.is_guarantee
    assert segmenter.threshold_ == np.sort(segmenter.score_images(good))[3]
    segmenter.set_params(target_fpr=0.05).calibrate(good)
    assert not segmenter.calibration_.is_guarantee
    assert segmenter.threshold_ > segmenter.score_images(good).mean()


def test_the_estimate_knows_how_many_blocks_an_image_has(segmenter_class, tiny, good):
    segmenter = segmenter_class(**tiny).fit(good).calibrate(good)
    maps = [segmenter._open(map_) for map_ in segmenter.decision_function(good)]
    height, width = good[0].shape
    side = min(height, width) // 10
    maxima = np.concatenate([block_maxima(map_, side).maxima for map_ in maps])
    per_image = len(maxima) / len(good)
    assert per_image == (height // side) * (width // side)
    assert segmenter.threshold_ == extreme_value_threshold(maxima, per_image, 0.01)


def test_small_regions_do_not_count(segmenter_class, fitted, defective):
    images, _ = defective
    segmenter = fitted(segmenter_class).set_params(opening_diameter=0, smoothing=0)
    scores = segmenter.score_images(images)
    segmenter.set_params(threshold=float(np.quantile(scores, 0.3)))
    before = segmenter.predict(images)
    segmenter.set_params(min_region_area=12)
    assert (segmenter.score_images(images) <= scores).all()
    after = segmenter.predict(images)
    for mask, smaller in zip(before, after, strict=True):
        labels, n = ndimage.label(mask)
        large = np.bincount(labels.ravel(), minlength=n + 1)[labels] >= 12
        np.testing.assert_array_equal(smaller, mask & large)
    flagged = segmenter.score_images(images) > segmenter.threshold_
    np.testing.assert_array_equal(flagged, after.any(axis=(1, 2)))


def test_html_says_what_the_threshold_promises(segmenter_class, tiny, fitted, good):
    segmenter = fitted(segmenter_class)
    assert segmenter.calibration_.promise().startswith(
        "About 1 % of good images are flagged, provided future"
    )
    html = segmenter._repr_mimebundle_()["text/html"]
    assert f"threshold_ = {segmenter.threshold_:.4g}. About 1 % of good images" in html
    assert "4 held-out regions" in html
    assert "threshold_ = " not in segmenter_class()._repr_html_()
    for params in ({"threshold": 0.5}, {"threshold": "pixel_fpr"}):
        segmenter.set_params(**params)
        assert "threshold_ = " not in segmenter._repr_html_()
    segmenter.set_params(threshold="image_fpr", target_fpr=0.25).calibrate(good)
    assert (
        "At most 25 % of good images are flagged, provided future images" in segmenter._repr_html_()
    )


def test_threshold_given_as_a_number(segmenter_class, tiny, fitted, good):
    segmenter = segmenter_class(**tiny, threshold=0.25).fit(good)
    assert segmenter.threshold_ == 0.25
    with pytest.raises(ValueError, match=r"threshold=0.25 is a fixed number"):
        segmenter.calibrate(good)
    segmenter.set_params(threshold="pixel_fpr")
    with pytest.raises(NotFittedError, match=r"has not been calibrated.* [Cc]all calibrate"):
        segmenter.predict(good)
    assert np.isfinite(segmenter.calibrate(good).threshold_)
    calibrated = fitted(segmenter_class)
    for params in ({"threshold": "pixel_fpr"}, {"target_fpr": 0.02}, {"extent_fpr": 0.02}):
        with pytest.raises(NotFittedError, match=r"has not been calibrated.* [Cc]all calibrate"):
            clone_fitted(calibrated).set_params(**params).predict(good)
    assert calibrated.set_params(threshold=-100).predict(good).all()


def test_score_is_the_pooled_area(segmenter_class, fitted, defective):
    images, masks = defective
    segmenter = fitted(segmenter_class)
    expected = pixel_roc_auc_score(masks, segmenter.decision_function(images))
    assert segmenter.score(images, masks) == expected
    assert segmenter.score(list(images), list(masks)) == expected
    with pytest.raises(ValueError, match=r"got none in 4 images: .*DefectFreeKFold"):
        segmenter.score(images, np.zeros_like(masks))
    with pytest.raises(ValueError, match=r"y\[0\] must have the height and width of X\[0\]"):
        segmenter.score(images, masks[:, :-1])
    with pytest.raises(ValueError, match="wrap it in a list"):
        segmenter.score(images[0], masks[0])
    for y in (None, 3, [], [0, 1, 1, 0]):
        with pytest.raises(ValueError, match=r"y must contain a mask \(h, w\) for each image"):
            segmenter.score(images, y)


def test_colour_images(segmenter_class, tiny):
    colour = np.random.default_rng(0).integers(0, 256, (4, 40, 32, 3), dtype=np.uint8)
    segmenter = segmenter_class(**tiny).fit(colour)
    assert segmenter.n_channels_ == 3
    assert segmenter.decision_function(colour).shape == (4, 40, 32)
    assert segmenter.reconstruct(colour).shape == colour.shape
    with pytest.raises(ValueError, match=r"X\[0\] must have 3 channels .* got 1"):
        segmenter.predict(colour[..., 0])


@pytest.mark.parametrize("image_size", [24, (32, 16)])
def test_resized_images_give_maps_of_their_own_size(segmenter_class, tiny, good, image_size):
    segmenter = segmenter_class(**tiny, image_size=image_size).fit(good)
    assert segmenter.decision_function(good).shape == good.shape
    assert segmenter.reconstruct([good[0][:10, :12]])[0].shape == (10, 12)


def test_joblib_into_another_process(fitted, all_segmenter_classes, good, tmp_path):
    segmenters = [fitted(cls) for cls in all_segmenter_classes]
    joblib.dump(segmenters, tmp_path / "segmenters.joblib")
    np.save(tmp_path / "images.npy", good)
    code = (
        "import joblib, numpy as np, torch\n"
        "torch.set_num_threads(1)\n"
        "segmenters = joblib.load('segmenters.joblib')\n"
        "images = np.load('images.npy')\n"
        "maps = [segmenter.decision_function(images) for segmenter in segmenters]\n"
        "np.savez('out.npz', maps=maps, masks=[s.predict(images) for s in segmenters])\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    with np.load(tmp_path / "out.npz") as out:
        for segmenter, maps, masks in zip(segmenters, out["maps"], out["masks"], strict=True):
            np.testing.assert_array_equal(maps, segmenter.decision_function(good))
            np.testing.assert_array_equal(masks, segmenter.predict(good))


def test_pickles_hold_weights_and_little_else(segmenter_class, fitted, good, tmp_path):
    segmenter = fitted(segmenter_class)
    joblib.dump(segmenter, tmp_path / "segmenter.joblib")
    n_bytes = 4 * sum(p.numel() for p in segmenter.net_.module_.parameters())
    assert (tmp_path / "segmenter.joblib").stat().st_size < 1.1 * n_bytes
    loaded = joblib.load(tmp_path / "segmenter.joblib")
    assert loaded.net_.optimizer_ is None
    assert loaded.net_.callbacks_ == []
    assert loaded.history_ == segmenter.history_
    assert segmenter.net_.optimizer_ is not None  # The original can still be trained.


def test_grid_search(segmenter_class, tiny, good, defective):
    images, masks = defective
    X = np.concatenate([good, images])
    y = np.concatenate([np.zeros_like(masks), masks])
    cv = DefectFreeKFold(2)
    search = GridSearchCV(segmenter_class(**tiny), {"latent_dim": [4, 8]}, cv=cv, n_jobs=2)
    search.fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.n_defective_dropped_ == 4
    assert 0 <= search.score(images, masks) <= 1


def test_grid_search_with_labels(segmenter_class, tiny, good, defective):
    X = np.concatenate([good, defective[0]])
    labels = np.repeat([0, 1], 4)

    def image_auc(fitted, X, y):
        return roc_auc_score(y, fitted.score_images(X))

    search = GridSearchCV(
        segmenter_class(**tiny), {"latent_dim": [4]}, cv=DefectFreeKFold(2), scoring=image_auc
    ).fit(X, labels)
    assert 0 <= search.best_score_ <= 1
    assert search.best_estimator_.n_defective_dropped_ == 4


def test_pipeline(segmenter_class, tiny, good, defective):
    images, masks = defective
    pipeline = make_pipeline(FunctionTransformer(np.sqrt), segmenter_class(**tiny)).fit(good)
    assert pipeline.predict(images).shape == images.shape
    assert 0 <= pipeline.score(images, masks) <= 1


def test_clone_and_repr(segmenter_class, fitted):
    segmenter = fitted(segmenter_class)
    copied = clone(segmenter)
    assert str(copied.get_params()) == str(
        segmenter.get_params()
    )  # Modules are compared by identity.
    assert not hasattr(copied, "net_")
    assert segmenter_class.__name__ in repr(segmenter)
    assert segmenter_class.__name__ in segmenter._repr_html_()


def test_not_fitted(segmenter_class, good):
    for method in ("predict", "decision_function", "score_images", "reconstruct", "calibrate"):
        with pytest.raises(NotFittedError, match="is not fitted yet"):
            getattr(segmenter_class(), method)(good)
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        segmenter_class().score(good, None)
    assert not hasattr(segmenter_class(), "threshold_")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"latent_dim": 0}, "'latent_dim' parameter"),
        ({"patch_size": 24}, "patch_size must be a multiple of 16, got 24"),
        ({"stride": 17}, "stride must be at most patch_size=16, .* got 17"),
        ({"stride": "automatic"}, "'stride' parameter"),
        ({"n_patches": 0}, "'n_patches' parameter"),
        ({"lr": 0}, "'lr' parameter"),
        ({"target_fpr": 1}, "'target_fpr' parameter"),
        ({"threshold": "best"}, "'threshold' parameter"),
        ({"normalization": "layer"}, "'normalization' parameter"),
        ({"callbacks": [3]}, "callbacks must be skorch callbacks .* got 3"),
        ({"device": "meta"}, "device must be 'auto' or a device .* got 'meta'"),
        ({"smoothing": 1e300}, "'smoothing' parameter .* Got 1e\\+300 instead"),
        ({"taper": 1.01}, r"'taper' parameter .* in the range \[0.*1.*\]. Got 1.01 instead"),
        ({"opening_diameter": 10**9}, "'opening_diameter' parameter .* Got 1000000000 instead"),
        ({"device": "gpu"}, "device must be 'auto' or a device .* got 'gpu'"),
        ({"image_size": (32,) * 3}, r"image_size must be an integer, a tuple"),
        ({"image_size": (32,)}, r"image_size must be an integer, a tuple"),
        ({"image_size": 8}, "image_size must be at least patch_size=16, got 8"),
        ({"batch_size": 1}, "n_patches=64 and batch_size=1 leave one of 1"),
    ],
)
def test_wrong_parameters(segmenter_class, tiny, good, params, message):
    with pytest.raises(ValueError, match=message):
        segmenter_class(**(tiny | params)).fit(good)


def test_stride_may_not_leave_gaps_after_fit(segmenter_class, fitted, good):
    segmenter = fitted(segmenter_class).set_params(patch_size=32, stride=20)
    with pytest.raises(ValueError, match="at most the patch_size of fit, 16, got 20"):
        segmenter.predict(good)


def test_automatic_stride(segmenter_class, fitted, good):
    assert not hasattr(segmenter_class(stride="auto"), "stride_")
    segmenter = fitted(segmenter_class).set_params(smoothing=0, stride=8)
    coarse = segmenter.decision_function(good)
    expected = segmenter.set_params(stride=4).decision_function(good)
    assert segmenter.stride_ == 4
    # A size of patches that was set after fit has no effect.
    segmenter.set_params(stride="auto", patch_size=64)
    assert segmenter.stride_ == 4
    maps = segmenter.decision_function(good)
    np.testing.assert_array_equal(maps, expected)
    assert np.abs(maps - coarse).max() > 1e-4
    with pytest.raises(NotFittedError, match="stride='auto'"):
        segmenter.set_params(threshold="pixel_fpr").predict(good)


def test_prediction_leaves_the_network_trainable(segmenter_class, tiny, good):
    segmenter = segmenter_class(**tiny).fit(good)
    segmenter.net_.module_.double()  # So that prediction has to move it, as to another device.
    segmenter.net_.module_.float()
    segmenter.predict(good)
    parameters = list(segmenter.net_.module_.parameters())
    assert not any(p.is_inference() for p in parameters)


@pytest.mark.parametrize("window_size", [4, 17])
def test_wrong_window(tiny, good, window_size):
    with pytest.raises(ValueError, match=f"odd and at most patch_size=16, got {window_size}"):
        SSIMAutoencoderSegmenter(**tiny, window_size=window_size).fit(good)


def test_families_share_their_defaults_and_their_documentation(segmenter_class):
    shared = SSIMAutoencoderSegmenter().get_params()
    params = segmenter_class().get_params()
    common = params.keys() & shared.keys()
    assert common >= paper_protocol("textures").keys()
    if segmenter_class is GenerativeAdversarialSegmenter:
        common -= {"lr", "lr_schedule"}  # A generator trains at a lower, constant rate.
    assert {name: params[name] for name in common} == {name: shared[name] for name in common}
    documentation = type(segmenter_class()).__doc__
    for name, value in params.items():
        entry = re.search(rf"^(\w+, )*{name}(, \w+)* : (.*)$", documentation, re.MULTILINE)
        documented = re.search(r"default=(.*)$", entry[3])
        if name in ("c1", "c2"):
            assert documented[1] == "1e-4 and 9e-4"
        elif documented:
            assert ast.literal_eval(documented[1]) == value
        else:  # It has no default.
            assert name == "feature_extractor"


def test_the_protocol_leaves_no_default_to_chance():
    assert paper_protocol("nanotwice") == {
        "latent_dim": 500,
        "image_size": None,
        "intensity_range": "dtype",
        "patch_size": 128,
        "normalization": None,
        "n_patches": 10_000,
        "augmentation": None,
        "cutout": 0,
        "max_epochs": 200,
        "batch_size": 128,
        "lr": 2e-4,
        "lr_schedule": None,
        "weight_decay": 1e-5,
        "precision": "float32",
        "stride": 30,
        "taper": 0,
        "smoothing": 0,
        "test_time_augmentation": None,
        "opening_diameter": 4,
    }


@pytest.mark.parametrize(("dataset", "latent_dim"), [("nanotwice", 500), ("textures", 100)])
def test_paper_protocol(segmenter_class, dataset, latent_dim):
    segmenter = segmenter_class().set_params(**paper_protocol(dataset))
    assert segmenter.latent_dim == latent_dim
    assert segmenter.normalization is None
    assert segmenter.n_patches * segmenter.max_epochs == 2_000_000
    with pytest.raises(ValueError, match="must be 'nanotwice' or 'textures', got 'mvtec'"):
        paper_protocol("mvtec")
    with pytest.raises(ValueError, match=r"dataset must be .* got \['textures'\]"):
        paper_protocol(["textures"])
