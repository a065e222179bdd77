"""Results of learning that are kept in a folder."""

import pickle
import threading

import joblib
import numpy as np
import pytest
import torch
from skimage.io import imsave
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

from sk_ssimae import (
    AdversarialAutoencoderSegmenter,
    EnsembleSegmenter,
    FeatureDictionarySegmenter,
    FeatureMatchingAutoencoderSegmenter,
    GenerativeAdversarialSegmenter,
    L1AutoencoderSegmenter,
    L2AutoencoderSegmenter,
    MultiScaleSSIMAutoencoderSegmenter,
    PatchDictionarySegmenter,
    SparseDictionarySegmenter,
    SSIMAutoencoderSegmenter,
    VariationalAutoencoderSegmenter,
)
from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.estimators import Role, all_segmenters
from sk_ssimae.exceptions import InterruptedFitWarning, UnlearnedTextureWarning
from sk_ssimae.metrics import pro_auc_scorer
from sk_ssimae.model_selection import DefectFreeKFold

LEARNING = [
    *("_autoencoder.BaseAutoencoderSegmenter", "_dictionary.BaseDictionarySegmenter"),
    "_sparse_dictionary.SparseDictionarySegmenter",
]
# Another value of each parameter that takes effect without training.
OTHERS = {
    "smoothing": 1.5, "stride": 4, "taper": 1, "test_time_augmentation": "dihedral",
    "residual_params": {"gamma": 2}, "absolute_weight": 3, "residual": "likelihood",
    "n_samples": 3, "search_steps": 3, "search_lr": 0.1, "combination": "max", "weights": (2, 1),
    "threshold": "pixel_fpr", "target_fpr": 0.1,
    "extent_threshold": "pixel_fpr", "extent_fpr": 0.2, "opening_diameter": 0,
    "min_region_area": 5, "soft_limits": {"patches": 1.5},
}  # fmt: skip


@pytest.fixture
def trainings(monkeypatch):
    """Count how often a segmenter learns, in this process."""
    counted = []
    for name in LEARNING:
        module, cls = name.split(".")
        target = f"sk_ssimae.estimators.{module}.{cls}.fit_regions"
        owner = getattr(__import__(f"sk_ssimae.estimators.{module}", fromlist=[cls]), cls)

        def counting(self, regions, rng, inside=None, *, fit_regions=owner.fit_regions):
            counted.append(type(self))
            fit_regions(self, regions, rng, inside)

        monkeypatch.setattr(target, counting)
    return counted


def make_segmenters(tiny):
    network = {"n_patches": 32, "max_epochs": 1}
    tiny = tiny | network
    autoencoder = L2AutoencoderSegmenter(**(tiny | {"random_state": None}))
    segmenters = [
        SSIMAutoencoderSegmenter(**tiny),
        MultiScaleSSIMAutoencoderSegmenter(**tiny),
        L2AutoencoderSegmenter(**tiny),
        L1AutoencoderSegmenter(**tiny),
        VariationalAutoencoderSegmenter(**tiny),
        FeatureMatchingAutoencoderSegmenter(feature_extractor=torch.nn.AvgPool2d(4), **tiny),
        AdversarialAutoencoderSegmenter(**tiny),
        GenerativeAdversarialSegmenter(**tiny),
        FeatureDictionarySegmenter(
            feature_extractor=torch.nn.AvgPool2d(4),
            layers=None,
            normalization=None,
            random_state=0,
        ),
        PatchDictionarySegmenter(random_state=0),
        SparseDictionarySegmenter(
            patch_size=8, n_atoms=24, n_training_patches=150, n_density_patches=150, random_state=0
        ),
        EnsembleSegmenter(
            [("network", autoencoder), ("patches", PatchDictionarySegmenter())], random_state=0
        ),
    ]
    return {type(segmenter).__name__: segmenter for segmenter in segmenters}


NAMES = [*all_segmenters()]


@pytest.fixture(params=NAMES)
def segmenter(request, tiny):
    return make_segmenters(tiny)[request.param]


def results(segmenter, images):
    """Return everything that a fit determines but its seconds."""
    found = {
        "maps": segmenter.decision_function(images),
        "calibration": (segmenter.calibration_, segmenter.tail_),
        "fitted": segmenter.fitted_parameters_,
        "posteriors": [part.tolist() for part in getattr(segmenter, "posteriors_", ())],
        "correlation": getattr(segmenter, "structure_correlation_", None),
        "history": [
            {name: value for name, value in row.items() if name != "dur"}
            for row in getattr(segmenter, "history_", [])
        ],
    }
    return pickle.dumps(found)


def test_inference_settings_are_changed_without_learning(segmenter, good, tmp_path, trainings):
    def fit(memory, **params):
        fitted = clone(segmenter).set_params(memory=memory, **params).fit(good)
        return results(fitted, good)

    plain = fit(None)
    n_learned = len(trainings)
    assert fit(tmp_path) == plain
    assert len(trainings) == 2 * n_learned
    names = set(segmenter.parameter_names(Role.INFERENCE, Role.DECISION))
    others = {name: OTHERS[name] for name in names}
    again = fit(str(tmp_path), **others)
    assert len(trainings) == 2 * n_learned
    assert again == fit(None, **others)
    assert again != plain


def test_a_search_trains_once_for_each_training_and_fold(
    tiny, good, defective, tmp_path, trainings
):
    images = np.concatenate([good, defective[0]])
    masks = np.concatenate([np.zeros_like(defective[1]), defective[1]])
    segmenter = SSIMAutoencoderSegmenter(**(tiny | {"max_epochs": 1, "n_patches": 32}))
    grid = {"latent_dim": [4, 8], "smoothing": [0, 2, 4]}

    def search(**params):
        found = GridSearchCV(
            clone(segmenter).set_params(**params),
            grid,
            cv=DefectFreeKFold(2),
            scoring=pro_auc_scorer,
            refit=False,
        ).fit(images, masks)
        return [found.cv_results_[f"split{fold}_test_score"].tolist() for fold in (0, 1)]

    plain = search()
    assert len(trainings) == 12
    trainings.clear()
    assert search(memory=tmp_path) == plain
    assert len(trainings) == 4
    # As if the search had been interrupted.
    assert search(memory=joblib.Memory(str(tmp_path), verbose=0)) == plain
    assert len(trainings) == 4


def test_images_are_known_by_their_content(tiny, tmp_path, trainings):
    images = (make_woven_fabric(3, shape=(40, 56), random_state=0) * 255).astype(np.uint8)
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path, image in zip(paths, images, strict=True):
        imsave(path, image, check_contrast=False)
    inside = np.ones((40, 56), dtype=bool)
    segmenter = PatchDictionarySegmenter(random_state=0, memory=tmp_path / "memory")
    segmenter.fit(images)
    clone(segmenter).fit(paths)
    clone(segmenter).fit([*images, images[0]], y=[0, 0, 0, 1])
    clone(segmenter).fit(images, roi=inside)
    assert len(trainings) == 1
    imsave(paths[0], 255 - images[0], check_contrast=False)
    clone(segmenter).fit(paths)
    clone(segmenter).fit(images[::-1])
    inside[20:30, 20:30] = False
    clone(segmenter).fit(images, roi=inside)
    clone(segmenter).set_params(random_state=1).fit(images)
    clone(segmenter).set_params(scales=(1,)).fit(images)
    assert len(trainings) == 6


def test_other_threads_and_weights_learn_again(tiny, good, tmp_path, trainings, monkeypatch):
    def fit(seed):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            extractor = torch.nn.Conv2d(1, 2, 4)
        params = tiny | {"n_patches": 16, "max_epochs": 1, "memory": tmp_path}
        FeatureMatchingAutoencoderSegmenter(feature_extractor=extractor, **params).fit(good)

    for seed in (0, 0, 1):
        fit(seed)
    assert len(trainings) == 2
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    fit(0)
    assert len(trainings) == 3


@pytest.mark.parametrize("generator", [np.random.default_rng, np.random.RandomState])
def test_generators_end_as_after_learning(generator, good, tmp_path, trainings):
    ends = []
    for memory in (None, tmp_path, tmp_path):
        rng = generator(0)
        PatchDictionarySegmenter(random_state=rng, memory=memory).fit(good)
        ends.append(rng.standard_normal())
    assert len(set(ends)) == 1
    assert len(trainings) == 2


def test_warnings_and_prints_of_fit(tiny, good, tmp_path, trainings, capsys):
    segmenter = L2AutoencoderSegmenter(
        **(tiny | {"lr": 1e-9, "n_patches": 16, "max_epochs": 1}), memory=tmp_path, verbose=1
    )
    for _ in range(2):
        with pytest.warns(UnlearnedTextureWarning, match="hardly any texture") as caught:
            clone(segmenter).fit(good)
        assert caught[0].filename == __file__
    assert len(trainings) == 1
    printed = capsys.readouterr().out
    assert printed.count("epoch") == 1
    assert printed.count("L2AutoencoderSegmenter has learned from these images before") == 1


class Interrupt(Callback):
    """Press Ctrl-C in the second step."""

    def on_batch_end(self, net, **kwargs):
        if len(net.history[-1]["batches"]) == 2:
            raise KeyboardInterrupt


def test_interrupted_training_is_not_kept(tiny, good, tmp_path, trainings):
    segmenter = L2AutoencoderSegmenter(**tiny, callbacks=[Interrupt()], memory=tmp_path)
    for number in (1, 2):
        with pytest.warns(InterruptedFitWarning, match="interrupted in epoch 1 of 2"):
            fitted = clone(segmenter).fit(good)
        assert len(fitted.history_) == 1
        assert len(trainings) == number


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_damaged_entries_are_learned_again(damage, good, tmp_path, trainings):
    segmenter = PatchDictionarySegmenter(random_state=0, memory=tmp_path)
    expected = results(clone(segmenter).fit(good), good)
    (entry,) = tmp_path.glob("joblib/**/output.pkl")
    content = bytearray(entry.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    entry.write_bytes({"cut": content[:1000], "flip": content, "empty": b""}[damage])
    with pytest.warns(UserWarning, match="is corrupted .* it is learned again"):
        assert results(clone(segmenter).fit(good), good) == expected
    assert len(trainings) == 2
    assert results(clone(segmenter).fit(good), good) == expected
    assert len(trainings) == 2


def test_threads_wait_for_each_other(good, tmp_path, trainings):
    segmenter = PatchDictionarySegmenter(random_state=0, memory=tmp_path)
    threads = [
        threading.Thread(target=clone(segmenter).set_params(smoothing=sigma).fit, args=(good,))
        for sigma in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(trainings) == 1
    assert list((tmp_path / "sk_ssimae_locks").iterdir()) == []


def test_a_full_disk_loses_no_training(good, tmp_path, trainings, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(28, "No space left on device")

    expected = results(PatchDictionarySegmenter(random_state=0).fit(good), good)
    segmenter = PatchDictionarySegmenter(random_state=0, memory=tmp_path)
    monkeypatch.setattr("joblib.numpy_pickle.dump", refuse)
    with pytest.warns(Warning, match="Unable to cache to disk"):
        assert results(segmenter.fit(good), good) == expected


def test_a_refit_forgets_the_former_fit(good, tmp_path):
    segmenter = PatchDictionarySegmenter(random_state=0, memory=tmp_path)
    first = results(segmenter.fit(good), good)
    segmenter.set_params(dictionary_size=50).fit(good)
    assert len(segmenter.dictionary_) == 50
    assert results(segmenter.set_params(dictionary_size=4000).fit(good), good) == first


def test_more_training_starts_from_what_was_recalled(tiny, good, tmp_path):
    segmenter = L2AutoencoderSegmenter(**(tiny | {"n_patches": 32}))
    expected = results(clone(segmenter).fit(good).partial_fit(1 - good), good)
    for _ in range(2):
        again = clone(segmenter).set_params(memory=tmp_path).fit(good).partial_fit(1 - good)
        assert results(again, good) == expected


def test_wrong_values(good, tmp_path, tiny):
    with pytest.raises(ValueError, match="random_state must not be None with memory: each fit"):
        PatchDictionarySegmenter(memory=tmp_path).fit(good)
    with pytest.raises(ValueError, match="'memory' parameter"):
        PatchDictionarySegmenter(memory=3, random_state=0).fit(good)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OSError, match="file"):
        PatchDictionarySegmenter(memory=file, random_state=0).fit(good)
    local = L2AutoencoderSegmenter(
        **tiny, net_params={"optimizer": lambda *args, **kwargs: None}, memory=tmp_path
    )
    with pytest.raises(TypeError, match="net_params must be picklable with memory, which tells"):
        local.fit(good)

    class Opaque(PatchDictionarySegmenter):
        def fit_features(self, regions, rng, inside=None):
            super().fit_features(regions, rng, inside)
            self.opaque_ = lambda: None

    with pytest.raises(TypeError, match="memory must be None: results of Opaque cannot be pick"):
        Opaque(random_state=0, memory=tmp_path).fit(good)
