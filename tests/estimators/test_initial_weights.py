"""Fits that start from the network of another fitted segmenter."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from sk_ssimae import (
    EnsembleSegmenter,
    L2AutoencoderSegmenter,
    PatchDictionarySegmenter,
    SSIMAutoencoderSegmenter,
    VariationalAutoencoderSegmenter,
)
from sk_ssimae.estimators._sampler import PatchSampler
from sk_ssimae.metrics import pixel_roc_auc_scorer
from sk_ssimae.model_selection import DefectFreeKFold
from sk_ssimae.persistence import load, save


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def tiny(tiny):
    return tiny | {"threshold": 1.0, "max_epochs": 1}


@pytest.fixture(scope="module")
def start(tiny, good):
    """Return a fitted segmenter whose network others start from."""
    return SSIMAutoencoderSegmenter(**tiny | {"random_state": 5}).fit(good)


@pytest.fixture
def start_file(start, tmp_path):
    save(start, tmp_path / "start.safetensors")
    return tmp_path / "start.safetensors"


def weights(segmenter):
    """Return everything that a network has learned, on the CPU."""
    return {
        name: value.cpu().clone() for name, value in segmenter.net_.module_.state_dict().items()
    }


def assert_equal_weights(one, other):
    torch.testing.assert_close(weights(one), weights(other), rtol=0, atol=0)


def test_training_starts_from_the_weights(segmenter_class, tiny, good):
    start = segmenter_class(**tiny | {"random_state": 5}).fit(good)
    # With hardly any rate, parameters stay those of the start.
    rates = {"lr", "critic_lr"} & {*start.get_params()}
    slow = tiny | dict.fromkeys(rates, 1e-12)
    before = weights(start)
    begun = segmenter_class(**slow, initial_weights=start).fit(0.5 * good)
    for name, parameter in begun.net_.module_.named_parameters():
        assert (parameter.detach().cpu() - before[name]).abs().max() < 1e-6
    trained = segmenter_class(**tiny, initial_weights=start).fit(0.5 * good)
    assert any((value != before[name]).any() for name, value in weights(trained).items())
    torch.testing.assert_close(weights(start), before, rtol=0, atol=0)


def test_the_loss_may_be_another(tiny, good, start):
    begun = L2AutoencoderSegmenter(**tiny, lr=1e-12, initial_weights=start).fit(good)
    drawn = L2AutoencoderSegmenter(**tiny, lr=1e-12).fit(good)
    name = next(iter(weights(start)))
    torch.testing.assert_close(weights(begun)[name], weights(start)[name], atol=1e-6, rtol=0)
    assert (weights(drawn)[name] - weights(start)[name]).abs().max() > 1e-3


def test_a_file_and_the_segmenter_lead_to_the_same_network(tiny, good, start, start_file):
    of_file = SSIMAutoencoderSegmenter(**tiny, initial_weights=start_file).fit(good)
    of_segmenter = SSIMAutoencoderSegmenter(**tiny, initial_weights=start).fit(good)
    assert_equal_weights(of_file, of_segmenter)
    assert_equal_weights(
        of_file.set_params(initial_weights=str(start_file)).fit(good), of_segmenter
    )


def test_each_fit_starts_again_and_partial_fit_continues(tiny, good, start):
    segmenter = SSIMAutoencoderSegmenter(**tiny, initial_weights=start).fit(good)
    first = weights(segmenter)
    torch.testing.assert_close(weights(segmenter.fit(good)), first, rtol=0, atol=0)
    own = copy.deepcopy(segmenter).set_params(initial_weights=None).partial_fit(good)
    assert_equal_weights(segmenter.partial_fit(good), own)
    begun = SSIMAutoencoderSegmenter(**tiny, initial_weights=start).partial_fit(good)
    torch.testing.assert_close(weights(begun), first, rtol=0, atol=0)


def test_clones_and_pickles_keep_the_start_fitted(tiny, good, start):
    segmenter = SSIMAutoencoderSegmenter(**tiny, initial_weights=start)
    cloned = clone(segmenter)
    assert cloned.initial_weights is start
    expected = segmenter.fit(good)
    for other in (cloned, pickle.loads(pickle.dumps(clone(segmenter)))):
        assert_equal_weights(other.fit(good), expected)


def test_an_ensemble_clones_its_member_with_the_start(tiny, good, start):
    member = SSIMAutoencoderSegmenter(**tiny, initial_weights=start)
    ensemble = EnsembleSegmenter([("autoencoder", member)], threshold=1.0).fit(good)
    cleared = EnsembleSegmenter(
        [("autoencoder", clone(member).set_params(initial_weights=None))], threshold=1.0
    ).fit(good)
    with pytest.raises(AssertionError):
        assert_equal_weights(ensemble.segmenters_[0], cleared.segmenters_[0])
    # Its only network can be a start too.
    of_ensemble = SSIMAutoencoderSegmenter(**tiny, initial_weights=ensemble).fit(good)
    of_member = SSIMAutoencoderSegmenter(**tiny, initial_weights=ensemble.segmenters_[0]).fit(good)
    assert_equal_weights(of_ensemble, of_member)


def test_a_search_compares_starts(tiny, good, defective, start_file):
    images, masks = np.concatenate([good, defective[0]]), np.zeros((8, *good.shape[1:]), bool)
    masks[4:] = defective[1]
    search = GridSearchCV(
        SSIMAutoencoderSegmenter(**tiny),
        {"initial_weights": [None, start_file]},  # A search clones values, so no segmenter.
        scoring=pixel_roc_auc_scorer,
        cv=DefectFreeKFold(2),
        error_score="raise",
    ).fit(images, masks)
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] != scores[1]


def test_model_files_store_a_path_and_no_segmenter(tiny, good, start, start_file, tmp_path):
    segmenter = SSIMAutoencoderSegmenter(**tiny, initial_weights=start).fit(good)
    save(segmenter, tmp_path / "a")
    loaded = load(tmp_path / "a")
    assert loaded.initial_weights is None
    assert_equal_weights(loaded, segmenter)
    save(segmenter.set_params(initial_weights=str(start_file)), tmp_path / "b")
    assert load(tmp_path / "b").initial_weights == str(start_file)
    assert (tmp_path / "b").stat().st_size < (tmp_path / "a").stat().st_size + 1000


def test_memory_tells_starts_apart(tiny, good, start, start_file, tmp_path):
    kept = tiny | {"memory": str(tmp_path / "memory")}
    drawn = SSIMAutoencoderSegmenter(**kept).fit(good)
    begun = SSIMAutoencoderSegmenter(**kept, initial_weights=start).fit(good)
    assert_equal_weights(begun, SSIMAutoencoderSegmenter(**tiny, initial_weights=start).fit(good))
    with pytest.raises(AssertionError):
        assert_equal_weights(drawn, begun)
    # The same weights by another name are found.
    n_entries = len([*(tmp_path / "memory").rglob("output.pkl")])
    assert_equal_weights(
        SSIMAutoencoderSegmenter(**kept, initial_weights=start_file).fit(good), begun
    )
    assert len([*(tmp_path / "memory").rglob("output.pkl")]) == n_entries == 2


def test_checkpoints_tell_starts_apart(tiny, good, start, start_file, tmp_path, monkeypatch):
    folder = tmp_path / "checkpoints"
    params = tiny | {"max_epochs": 2, "checkpoint_dir": folder}
    drawn = SSIMAutoencoderSegmenter(**params).fit(good)
    cut, steps = PatchSampler._cut, iter(range(5))  # An epoch has four.

    def cut_until_killed(*args):
        if next(steps, None) is None:
            raise Killed
        return cut(*args)

    with monkeypatch.context() as patch:
        patch.setattr(PatchSampler, "_cut", cut_until_killed)
        with pytest.raises(Killed):
            SSIMAutoencoderSegmenter(**params, initial_weights=start).fit(good)
    assert len([*folder.iterdir()]) == 2
    # The same weights by another name find the checkpoint.
    resumed = SSIMAutoencoderSegmenter(**params, initial_weights=start_file).fit(good)
    assert len([*folder.iterdir()]) == 2
    whole = tiny | {"max_epochs": 2, "initial_weights": start}
    assert_equal_weights(resumed, SSIMAutoencoderSegmenter(**whole).fit(good))
    with pytest.raises(AssertionError):
        assert_equal_weights(resumed, drawn)


@pytest.mark.parametrize("changed", ["latent_dim", "patch_size", "normalization", "channels"])
def test_other_sizes_are_named(tiny, good, start, changed):
    given, new = {
        "latent_dim": (8, 4),
        "patch_size": (16, 32),
        "normalization": ("'batch'", None),
        "channels": (1, 3),
    }[changed]
    images = np.repeat(good[..., None], 3, axis=-1) if changed == "channels" else good
    name = "n_channels_" if changed == "channels" else changed
    params = tiny if changed == "channels" else tiny | {changed: new}
    expected = (
        rf"^initial_weights must be those of .* with {name}={new}, got {name}={given} instead"
    )
    with pytest.raises(ValueError, match=expected):
        SSIMAutoencoderSegmenter(**params, initial_weights=start).fit(images)


def test_another_kind_of_network_is_named(tiny, good, start):
    expected = r"layers of VariationalAutoencoder .* got the layers of ConvolutionalAutoencoder"
    with pytest.raises(ValueError, match=expected):
        VariationalAutoencoderSegmenter(**tiny, initial_weights=start).fit(good)


def test_segmenters_that_cannot_be_a_start_are_refused(tiny, good, tmp_path):
    segmenter = SSIMAutoencoderSegmenter(**tiny)
    with pytest.raises(
        NotFittedError, match=r"initial_weights must be a fitted segmenter, got a SS"
    ):
        clone(segmenter).set_params(initial_weights=segmenter).fit(good)
    dictionary = PatchDictionarySegmenter(threshold=1.0).fit(good)
    with pytest.raises(
        ValueError, match="one network, got PatchDictionarySegmenter with 0 instead"
    ):
        clone(segmenter).set_params(initial_weights=dictionary).fit(good)
    with pytest.raises(ValueError, match=r"'initial_weights' parameter .* must be"):
        clone(segmenter).set_params(initial_weights=3).fit(good)
    with pytest.raises(
        FileNotFoundError, match=r"initial_weights must be an existing file, .*none\.safetensors"
    ):
        clone(segmenter).set_params(initial_weights=tmp_path / "none.safetensors").fit(good)
    # A pickle is not opened, whatever it contains.
    pickled = tmp_path / "a.pkl"
    pickled.write_bytes(pickle.dumps(dictionary))
    with pytest.raises(ValueError, match=r"a\.pkl' cannot be loaded"):
        clone(segmenter).set_params(initial_weights=pickled).fit(good)
