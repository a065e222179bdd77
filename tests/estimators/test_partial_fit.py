import numpy as np
import pytest
import torch
from sklearn.base import clone

from sk_ssimae import (
    EnsembleSegmenter,
    GenerativeAdversarialSegmenter,
    L2AutoencoderSegmenter,
    PatchDictionarySegmenter,
    SSIMAutoencoderSegmenter,
    VariationalAutoencoderSegmenter,
    estimators,
)
from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.estimators import _training
from sk_ssimae.estimators._dictionary import _merge
from sk_ssimae.exceptions import IntensityRangeWarning, InterruptedFitWarning

OLD = make_woven_fabric(6, shape=(48, 64), random_state=0)
NEW = 0.7 * make_woven_fabric(6, shape=(48, 64), random_state=1)


def weights(segmenter):
    parameters = segmenter.net_.module_.parameters()
    return torch.cat([value.detach().double().flatten() for value in parameters])


def test_partial_fit_of_an_unfitted_segmenter_is_fit(segmenter_class, tiny, good):
    fitted = segmenter_class(**tiny).fit(good)
    begun = segmenter_class(**tiny).partial_fit(good)
    torch.testing.assert_close(weights(begun), weights(fitted), rtol=0, atol=0)
    assert begun.threshold_ == fitted.threshold_


def test_training_continues_from_the_weights(segmenter_class, tiny, good):
    fitted = segmenter_class(**tiny).fit(good)
    before = weights(fitted)
    # With hardly any rate, the weights stay those of fit.
    rates = {"lr", "critic_lr"} & {*fitted.get_params()}
    fitted.set_params(**dict.fromkeys(rates, 1e-12)).partial_fit(0.5 * good)
    assert (weights(fitted) - before).abs().max() < 1e-6
    again = segmenter_class(**tiny).fit(good).partial_fit(0.5 * good)
    assert (weights(again) - before).abs().max() > 1e-5
    assert len(again.history_) == tiny["max_epochs"]
    same = segmenter_class(**tiny).fit(good).partial_fit(0.5 * good)
    torch.testing.assert_close(weights(again), weights(same), rtol=0, atol=0)


def test_the_rate_is_lower_than_that_of_fit(tiny, good):
    segmenter = L2AutoencoderSegmenter(**tiny, lr_schedule=None, lr=0.01).fit(good)
    assert segmenter.net_.lr == 0.01
    assert segmenter.partial_fit(good).net_.lr == pytest.approx(0.01 * _training._LOWER_RATE)


# The extractor of feature matching is a module in these tests, which files do not store.
@pytest.mark.parametrize(
    "segmenter_class",
    [
        *(SSIMAutoencoderSegmenter, L2AutoencoderSegmenter, VariationalAutoencoderSegmenter),
        GenerativeAdversarialSegmenter,
    ],
)
def test_training_continues_after_loading(segmenter_class, tiny, good, tmp_path):
    from sk_ssimae.persistence import load, save

    segmenter = segmenter_class(**tiny).fit(good)
    save(segmenter, tmp_path / "m")
    loaded = load(tmp_path / "m").set_params(device=tiny["device"]).partial_fit(good[:2])
    torch.testing.assert_close(weights(loaded), weights(segmenter.partial_fit(good[:2])))


def test_network_and_range_stay_as_of_fit(tiny):
    images = (4095 * OLD).astype(np.uint16)
    segmenter = SSIMAutoencoderSegmenter(**tiny).fit(images)
    expected, found = segmenter.intensity_range_, segmenter.set_params(patch_size=32, stride=16)
    found.partial_fit((4095 * NEW).astype(np.uint16))
    assert found.intensity_range_ == expected
    assert found.fitted_parameters_["patch_size"] == found.min_image_size == 16
    with pytest.warns(IntensityRangeWarning, match="beyond the intensity range of the model"):
        found.partial_fit(np.full((2, 48, 64), 60_000, np.uint16) + images[:2])
    with pytest.raises(ValueError, match=r"X\[0\] must have 1 channel like the training"):
        found.partial_fit(np.zeros((2, 48, 64, 3)))
    with pytest.raises(ValueError, match=r"X\[0\] must be at least patch_size=16 pixels"):
        found.partial_fit(images[:, :8, :8])


def test_defective_images_take_no_part(tiny):
    spoiled = np.concatenate([NEW, np.ones((1, 48, 64))])
    labels = np.array([0] * 6 + [1])
    segmenter = SSIMAutoencoderSegmenter(**tiny).fit(OLD)
    found = segmenter.partial_fit(spoiled, labels)
    assert found.n_defective_dropped_ == 1
    expected = SSIMAutoencoderSegmenter(**tiny).fit(OLD).partial_fit(NEW)
    torch.testing.assert_close(weights(found), weights(expected), rtol=0, atol=0)
    with pytest.raises(ValueError, match="y marks all 7 images of X defective"):
        segmenter.partial_fit(spoiled, np.ones(7))


def test_a_training_that_fails_changes_nothing(tiny):
    segmenter = L2AutoencoderSegmenter(**tiny).fit(OLD)
    before, levels = weights(segmenter), segmenter.calibration_
    with pytest.raises(ValueError, match="Training diverged"):
        segmenter.set_params(lr=1e30).partial_fit(NEW)
    torch.testing.assert_close(weights(segmenter), before, rtol=0, atol=0)
    assert segmenter.calibration_ == levels


def test_an_interrupt_is_reported(tiny):
    from skorch.callbacks import Callback

    class Interrupt(Callback):
        def on_batch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    segmenter = L2AutoencoderSegmenter(**tiny).fit(OLD)
    with pytest.warns(InterruptedFitWarning, match="interrupted in epoch 1 of 2") as warned:
        segmenter.set_params(callbacks=[Interrupt()]).partial_fit(NEW)
    assert warned[-1].filename == __file__


def test_checkpoints_of_other_weights_are_not_resumed(tiny, tmp_path):
    params = tiny | {"checkpoint_dir": tmp_path}
    segmenter = L2AutoencoderSegmenter(**params).fit(OLD)
    assert len(list(tmp_path.iterdir())) == 1
    once = weights(segmenter.partial_fit(OLD))
    twice = weights(segmenter.partial_fit(OLD))
    assert len(list(tmp_path.iterdir())) == 3
    assert (once - twice).abs().max() > 0
    resumed = L2AutoencoderSegmenter(**params).fit(OLD).partial_fit(OLD)
    torch.testing.assert_close(weights(resumed), once, rtol=0, atol=0)


@pytest.mark.parametrize("dictionary", ["random", "kmeans", "coreset"])
def test_dictionaries_are_extended(dictionary):
    params = {"dictionary": dictionary, "dictionary_size": 200, "random_state": 0}
    segmenter = PatchDictionarySegmenter(**params).fit(OLD)
    filters, n_seen = segmenter.filter_bank_, segmenter.n_features_seen_
    assert segmenter.check_drift(NEW).action == "train"
    # Parameters of the network that are set later have no effect.
    segmenter.set_params(dictionary_size=7, n_neighbors=1).partial_fit(NEW)
    assert segmenter.filter_bank_ is filters
    assert len(segmenter.dictionary_) == 200
    assert segmenter.neighbors_.n_neighbors == 9
    assert segmenter.n_features_seen_ == 2 * n_seen
    fresh = make_woven_fabric(5, shape=(48, 64), random_state=2)
    started = PatchDictionarySegmenter(**params).fit(OLD)
    for images in (fresh, 0.7 * fresh):
        assert np.median(segmenter.score_images(images)) < 2 * segmenter.threshold_
    scores, earlier = (one.score_images(0.7 * fresh) for one in (segmenter, started))
    assert scores.mean() < 0.9 * earlier.mean()
    again = clone(started).fit(OLD).partial_fit(NEW)
    np.testing.assert_array_equal(again.dictionary_, segmenter.dictionary_)


@pytest.mark.parametrize("rule", ["random", "kmeans"])
@pytest.mark.parametrize(
    ("n_old", "n_new", "share", "expected"),
    [(100, 400, 0.25, 25), (100, 10, 0.25, 10), (30, 400, 0.25, 70), (20, 30, 0.6, 30),
     (100, 400, 0.001, 0), (100, 400, 0.999, 100)],
)  # fmt: skip
def test_old_and_new_features_are_mixed_in_proportion(rule, n_old, n_new, share, expected):
    old, new = np.zeros((n_old, 3), np.float32), np.ones((n_new, 3), np.float32)
    rng = np.random.default_rng(0)
    old += rng.normal(scale=0.01, size=old.shape)
    new += rng.normal(scale=0.01, size=new.shape)
    merged = _merge(old, new, share, rule, 100, rng)
    assert len(merged) == min(100, n_old + n_new)
    assert (merged[:, 0] > 0.5).sum() == expected


def test_each_update_counts_all_features_seen():
    segmenter = PatchDictionarySegmenter(dictionary_size=200, random_state=0, threshold=1.0)
    segmenter.fit(OLD)
    for images, share in ((NEW[:2], 2 / 8), (NEW[2:], 4 / 12)):
        before = {tuple(row) for row in segmenter.dictionary_}
        segmenter.partial_fit(images)
        n_new = sum(tuple(row) not in before for row in segmenter.dictionary_)
        assert n_new == round(200 * share)


def test_the_segmenters_of_an_ensemble_go_on(tiny):
    ensemble = EnsembleSegmenter(
        [("l2", L2AutoencoderSegmenter(**tiny)), ("patches", PatchDictionarySegmenter())],
        random_state=0,
    ).fit(OLD)
    former = ensemble.named_segmenters_
    before = weights(former.l2)
    ensemble.partial_fit(NEW)
    assert (weights(former.l2) == before).all()
    assert (weights(ensemble.named_segmenters_.l2) - before).abs().max() > 0
    assert ensemble.segmenters_[1] is ensemble.named_segmenters_.patches
    assert ensemble.segmenters_[1].n_features_seen_ > former.patches.n_features_seen_
    assert ensemble.segmenters_[1].filter_bank_.filters[0] == pytest.approx(
        former.patches.filter_bank_.filters[0]
    )
    assert ensemble.check_drift(NEW).action == "none"


def test_families_that_cannot_go_on_say_so():
    class Constant(estimators.BaseSegmenter):
        def fit_regions(self, regions, rng):
            pass

        def compute_residual(self, image):
            return np.asarray(image[..., 0], np.float32)

    with pytest.raises(
        TypeError, match="Constant cannot continue from an earlier fit: it has no up"
    ):
        Constant(random_state=0).fit(OLD).partial_fit(NEW)
