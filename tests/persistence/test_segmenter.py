"""Saving and loading restore a segmenter exactly, or raise an error."""

import copy
import io
import json
import pickle
from enum import IntEnum
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback
from torch import nn

import sk_ssimae.persistence
from sk_ssimae import (
    FeatureMatchingAutoencoderSegmenter,
    L2AutoencoderSegmenter,
    SSIMAutoencoderSegmenter,
    VariationalAutoencoderSegmenter,
)
from sk_ssimae.estimators import Role, all_segmenters
from sk_ssimae.exceptions import InterruptedFitWarning
from sk_ssimae.persistence import load, save
from sk_ssimae.persistence._container import read_header
from sk_ssimae.persistence._families import storable_names

STORED = [role for role in Role if role is not Role.MACHINE]


def round_trip(segmenter, tmp_path):
    path = tmp_path / "segmenter.safetensors"
    assert save(segmenter, path) is None
    return load(path)


def assert_same(loaded, segmenter, images):
    """Compare all results of two fitted segmenters exactly."""
    assert type(loaded) is type(segmenter)
    given, read = (
        {name: getattr(one, name) for name in one.parameter_names(*STORED)}
        for one in (segmenter, loaded)
    )
    assert read == given
    assert {n: type(v) for n, v in read.items()} == {n: type(v) for n, v in given.items()}
    for name in ("n_channels_", "n_defective_dropped_", "history_", "fitted_parameters_"):
        assert getattr(loaded, name) == getattr(segmenter, name)
        assert type(getattr(loaded, name)) is type(getattr(segmenter, name))
    assert getattr(loaded, "calibration_", None) == getattr(segmenter, "calibration_", None)
    assert hasattr(loaded, "tail_") == hasattr(segmenter, "tail_")
    if hasattr(segmenter, "tail_"):
        for found, expected in zip(loaded.tail_, segmenter.tail_, strict=True):
            np.testing.assert_array_equal(found, expected)
    assert loaded.net_.interrupted_ == segmenter.net_.interrupted_
    maps = segmenter.decision_function(images)
    assert len(np.unique(maps)) > 10
    np.testing.assert_array_equal(loaded.decision_function(images), maps)
    np.testing.assert_array_equal(loaded.reconstruct(images), segmenter.reconstruct(images))
    np.testing.assert_array_equal(loaded.score_images(images), segmenter.score_images(images))
    if hasattr(segmenter, "threshold_"):
        assert loaded.threshold_ == segmenter.threshold_
        np.testing.assert_array_equal(loaded.predict(images), segmenter.predict(images))
    else:
        with pytest.raises(NotFittedError, match="has not been calibrated"):
            loaded.predict(images)


def test_round_trip(segmenter, images, tmp_path):
    assert_same(round_trip(segmenter, tmp_path), segmenter, images)


def test_every_segmenter_can_be_saved():
    assert storable_names() == [*all_segmenters()]


@pytest.mark.parametrize(
    "params",
    [
        {"latent_dim": 5, "patch_size": 32, "normalization": None, "window_size": 11, "gamma": 1},
        {"threshold": 0.25, "image_size": 24, "random_state": None, "device": torch.device("cpu")},
        {"threshold": np.float32(0.1), "lr": np.float64(1e-3), "opening_diameter": np.int64(2)},
        {"target_fpr": 0.02, "image_size": (32, 40), "smoothing": 1, "n_patches": 2**70},
        {"stride": "auto", "patch_size": 64},
        {
            "threshold": "pixel_fpr",
            "min_region_area": 7,
            "verbose": False,
            "window": "uniform",
            "c1": 0.1,
        },
    ],
)
def test_round_trip_of_parameters_set_after_fit(ssim, images, tmp_path, params):
    before = ssim.get_params()
    ssim.set_params(**params)
    loaded = round_trip(ssim, tmp_path)
    assert_same(loaded, ssim, images)
    for either in (loaded, ssim):
        either.set_params(**before)
    assert loaded.threshold_ == ssim.threshold_


@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (L2AutoencoderSegmenter, {"latent_dim": 5, "patch_size": 32, "normalization": "batch"}),
        (VariationalAutoencoderSegmenter, {"kl_weight": 3, "n_samples": 4, "residual": "kl"}),
        (VariationalAutoencoderSegmenter, {"residual": "euclidean", "n_posteriors": 7}),
        (VariationalAutoencoderSegmenter, {"residual": "bhattacharyya", "latent_dim": 3}),
        (FeatureMatchingAutoencoderSegmenter, {"feature_weight": 7, "feature_extractor": "a.pth"}),
        (FeatureMatchingAutoencoderSegmenter, {"feature_extractor": Path("../b.pth")}),
    ],
)
def test_parameters_of_a_family_set_after_fit(trained, images, tmp_path, cls, params):
    segmenter = copy.deepcopy(trained[cls]).set_params(**params)
    assert_same(round_trip(segmenter, tmp_path), segmenter, images)


def test_the_other_residual_keeps_its_own_threshold(trained, images, tmp_path):
    segmenter = copy.deepcopy(trained[VariationalAutoencoderSegmenter])
    segmenter.set_params(residual="kl").calibrate(images)
    loaded = round_trip(segmenter, tmp_path)
    assert loaded.threshold_ == segmenter.threshold_
    with pytest.raises(NotFittedError, match="has not been calibrated"):
        loaded.set_params(residual="likelihood").predict(images)


def test_round_trip_of_colour_and_of_a_number_as_threshold(tiny, tmp_path):
    colour = np.random.default_rng(0).integers(0, 256, (4, 40, 32, 3), dtype=np.uint8)
    segmenter = L2AutoencoderSegmenter(**tiny, threshold=0.5).fit(colour, [0, 0, 0, 1])
    assert (segmenter.n_channels_, segmenter.n_defective_dropped_) == (3, 1)
    assert_same(round_trip(segmenter, tmp_path), segmenter, colour[:1])


def test_files_of_one_segmenter_are_equal_whatever_it_went_through(segmenter, tmp_path):
    loaded = round_trip(segmenter, tmp_path)
    for name, one in {"b": loaded, "c": pickle.loads(pickle.dumps(loaded))}.items():
        save(one, str(tmp_path / name))
        assert (tmp_path / name).read_bytes() == (tmp_path / "segmenter.safetensors").read_bytes()


def test_a_loaded_net_is_that_of_a_pickle(ssim, tmp_path):
    loaded, unpickled = round_trip(ssim, tmp_path).net_, pickle.loads(pickle.dumps(ssim))
    for name, value in vars(unpickled.net_).items():
        if name not in {"optimizer", "lr", "max_epochs", "batch_size"} and "__" not in name:
            assert type(getattr(loaded, name)) is type(value), name
    assert loaded.module is loaded.module_
    for tensor in loaded.module_.parameters():
        assert tensor.requires_grad
        assert not tensor.is_inference()


def test_a_loaded_segmenter_can_be_cloned_and_calibrated(segmenter, images, tmp_path):
    loaded = round_trip(segmenter, tmp_path)
    np.testing.assert_array_equal(loaded.calibrated_map(images), segmenter.calibrated_map(images))
    assert loaded.calibrate(images).calibration_.held_out == "images"
    assert (loaded.calibrated_map(images) >= 0).all()
    assert loaded.threshold_ != segmenter.threshold_
    assert "threshold_ = " in loaded._repr_html_()
    assert not hasattr(clone(loaded), "net_")


def test_a_loaded_segmenter_can_be_fitted_again(ssim, images, good, tmp_path):
    loaded = round_trip(ssim, tmp_path).fit(good)
    np.testing.assert_array_equal(loaded.decision_function(images), ssim.decision_function(images))
    assert loaded.net_.optimizer_ is not None


def test_loading_in_inference_mode_leaves_a_usable_segmenter(ssim, images, tmp_path):
    with torch.inference_mode():
        loaded = round_trip(ssim, tmp_path)
    assert_same(loaded, ssim, images)


def test_random_numbers_are_untouched(trained, tmp_path):
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    round_trip(trained[VariationalAutoencoderSegmenter], tmp_path)
    assert torch.equal(torch.get_rng_state(), states[0])
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])


def test_an_interrupted_fit(tiny, good, images, tmp_path):
    class Interrupt(Callback):
        def on_batch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    segmenter = SSIMAutoencoderSegmenter(**tiny, callbacks=[Interrupt()])
    with pytest.warns(InterruptedFitWarning):
        segmenter.fit(good)
    loaded = round_trip(segmenter, tmp_path)
    assert_same(loaded, segmenter.set_params(callbacks=None), images)
    assert loaded.net_.interrupted_


def test_what_only_training_uses_is_none_when_loaded(ssim, images, tmp_path):
    trained_with = {
        "callbacks": [Callback()],
        "net_params": {"optimizer": torch.optim.SGD},
        "random_state": np.random.default_rng(0),
    }
    ssim.set_params(**trained_with)
    ssim.history_.record("learner", Callback())  # Callbacks may record any object.
    loaded = round_trip(ssim, tmp_path)
    assert {name: loaded.get_params()[name] for name in trained_with} == dict.fromkeys(trained_with)
    assert "learner" not in loaded.history_[-1]
    with (tmp_path / "segmenter.safetensors").open("rb") as file:
        assert set(read_header(file).document["not_stored"]) == set(trained_with)
    np.testing.assert_array_equal(loaded.decision_function(images), ssim.decision_function(images))
    for random_state in (np.random.RandomState(0), 3, np.int64(3)):
        ssim.set_params(random_state=random_state)
        kept = None if isinstance(random_state, np.random.RandomState) else random_state
        assert round_trip(ssim, tmp_path).random_state == kept


def test_the_document_says_how_the_threshold_was_found_and_with_what(ssim, tmp_path):
    save(ssim, tmp_path / "a")
    with (tmp_path / "a").open("rb") as file:
        document = read_header(file).document
    assert (document["format"], document["version"]) == ("sk_ssimae", 1)
    assert document["class"] == "SSIMAutoencoderSegmenter"
    assert document["calibration"]["threshold"] == ssim.threshold_
    assert document["calibration"]["held_out"] == "regions"
    assert document["network"]["n_channels"] == 1
    assert {"sk_ssimae", "torch", "numpy", "python"} < document["versions"].keys()
    assert [row["epoch"] for row in document["history"]] == [1, 2]
    json.dumps(document, allow_nan=False)


def test_files_hold_weights_and_little_else(segmenter, tmp_path):
    save(segmenter, tmp_path / "a")
    weights = sum(p.nbytes for p in segmenter.net_.module_.parameters())
    assert (tmp_path / "a").stat().st_size < 1.1 * weights


def test_device_given_to_load(ssim, saved):
    ssim.set_params(device="cuda:7")  # As on a machine with GPUs.
    save(ssim, saved)
    loaded = load(saved)
    assert loaded.device == "auto"  # The device of training is not stored.
    assert {p.device.type for p in loaded.net_.module_.parameters()} == {"cpu"}
    assert load(saved, device="cpu").device == "cpu"
    with pytest.raises(TypeError, match=r"device must be a str or torch.device, got 3 instead"):
        load(saved, device=3)
    with pytest.raises(ValueError, match=r"device must be 'auto' or a device .* got 'gpu' instead"):
        load(saved, device="gpu")


class Level(IntEnum):
    LOUD = 1


class OneOfMyOwn(SSIMAutoencoderSegmenter):
    """Family that only its own code can restore."""


def test_what_cannot_be_saved(ssim, tmp_path):
    path = tmp_path / "a"
    for other in (make_pipeline(ssim), GridSearchCV(ssim, {}), nn.Identity(), None):
        message = rf"one of .*'\], got {type(other).__name__} instead.*last step of a Pipeline"
        with pytest.raises(TypeError, match=message):
            save(other, path)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        save(clone(ssim), path)
    own = OneOfMyOwn()
    own.__dict__.update(vars(ssim))
    with pytest.raises(TypeError, match=r"got OneOfMyOwn instead.*use joblib.dump"):
        save(own, path)
    with pytest.raises(ValueError, match=r"path must not hold a null character, got '\\x00'"):
        save(ssim, "\0")
    with pytest.raises(TypeError, match="path must be the path of a file, got BytesIO"):
        save(ssim, io.BytesIO())
    with pytest.raises(ValueError, match="'lr' parameter"):
        save(copy.deepcopy(ssim).set_params(lr=-1), path)
    with pytest.raises(TypeError, match=r"max_epochs must be a number, .* got <Level.LOUD: 1>"):
        save(copy.deepcopy(ssim).set_params(max_epochs=Level.LOUD), path)
    assert list(tmp_path.iterdir()) == []


def test_a_module_as_extractor_cannot_be_saved(trained, tmp_path):
    segmenter = copy.deepcopy(trained[FeatureMatchingAutoencoderSegmenter])
    segmenter.set_params(feature_extractor=nn.AvgPool2d(4))
    with pytest.raises(TypeError, match=r"got the module AvgPool2d instead.*use joblib.dump"):
        save(segmenter, tmp_path / "a")


def _double(segmenter):
    segmenter.net_.module_.double()


def _other_network(segmenter):
    segmenter.net_.module_ = nn.Conv2d(1, 1, 1)


def _other_loss(segmenter):
    segmenter.net_.criterion_ = nn.MSELoss()


def _other_constant(segmenter):
    segmenter.net_.criterion_.c1 = 0.5


@pytest.mark.parametrize("change", [_double, _other_network, _other_loss, _other_constant])
def test_a_changed_net_cannot_be_saved(ssim, tmp_path, change):
    change(ssim)
    with pytest.raises(ValueError, match=r"net_ must be as SSIM\w+ makes it in fit.*joblib.dump"):
        save(ssim, tmp_path / "a")


def test_weights_that_are_not_finite_cannot_be_saved(ssim, tmp_path):
    with torch.no_grad():
        ssim.net_.module_.decoder[0].weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"contains values that are NaN.*network.decoder.0.w"):
        save(ssim, tmp_path / "a")


def test_paths_that_name_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no_such"):
        load(tmp_path / "no_such")
    with pytest.raises(ValueError, match=r"path must name a file, got '.*' instead"):
        load(tmp_path)
    with pytest.raises(ValueError, match="path must name a file, got '/dev/zero' instead"):
        load("/dev/zero")
    with pytest.raises(TypeError, match="path must be the path of a file, got bytes"):
        load(b"a")


def test_public_names():
    names = sk_ssimae.persistence.__all__
    exports = ["export_onnx", "OnnxSegmenter", "parity_report", "ParityReport"]
    assert {*names} == {"save", "load", *exports}
    assert set(names) <= set(dir(sk_ssimae.persistence))
    assert all(getattr(sk_ssimae.persistence, name) is not None for name in names)
    with pytest.raises(AttributeError, match="no_such_name"):
        sk_ssimae.persistence.no_such_name  # noqa: B018


def test_a_full_disk_leaves_the_old_file(ssim, saved, disk_full):
    before = saved.read_bytes()
    with pytest.raises(OSError, match="File too large"):
        save(ssim.set_params(threshold=1.0), saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]
    assert load(saved).threshold == "image_fpr"


def test_folders(ssim, tmp_path):
    with pytest.raises(IsADirectoryError, match="path must name a file, got the folder"):
        save(ssim, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"the folder '.*no_such' does not exist"):
        save(ssim, tmp_path / "no_such" / "a")
    assert list(tmp_path.iterdir()) == []


def test_written_through_a_relative_path(ssim, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(ssim, "a")
    np.testing.assert_array_equal(
        load("a").decision_function(images), ssim.decision_function(images)
    )


def test_no_file_tells_of_the_folder_of_checkpoints(ssim, images, tmp_path):
    loaded = round_trip(ssim.set_params(checkpoint_dir=tmp_path / "of_this_machine"), tmp_path)
    assert loaded.checkpoint_dir is None
    assert b"of_this_machine" not in (tmp_path / "segmenter.safetensors").read_bytes()
    np.testing.assert_array_equal(loaded.predict(images), ssim.predict(images))
