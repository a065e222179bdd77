import numpy as np
import pytest
import torch

from sk_ssimae import L2AutoencoderSegmenter, estimators
from sk_ssimae.testing import image_estimator_checks

SEGMENTERS = list(estimators.all_segmenters().values())
QUICK = {
    "latent_dim": 8,
    "patch_size": 16,
    "stride": 10,
    "n_patches": 64,
    "batch_size": 16,
    "max_epochs": 1,
    "random_state": 0,
}
OWN = {
    estimators.FeatureMatchingAutoencoderSegmenter: {"feature_extractor": torch.nn.AvgPool2d(4)},
    estimators.VariationalAutoencoderSegmenter: {"n_samples": 2},
    estimators.PatchDictionarySegmenter: {"dictionary_size": 50},
    estimators.SparseDictionarySegmenter: {
        "patch_size": 6,
        "stride": 4,
        "n_atoms": 12,
        "n_training_patches": 60,
        "n_density_patches": 60,
    },
    estimators.FeatureDictionarySegmenter: {
        "feature_extractor": torch.nn.AvgPool2d(4),
        "layers": None,
        "normalization": None,
        "dictionary_size": 50,
    },
}


def make(cls):
    """Return a segmenter that trains quickly."""
    if cls is estimators.EnsembleSegmenter:
        members = (estimators.SSIMAutoencoderSegmenter, L2AutoencoderSegmenter)
        named = [(member.__name__, make(member)) for member in members]
        return cls(named, random_state=0)
    shared = {name: value for name, value in QUICK.items() if name in cls._get_param_names()}
    return cls(**(shared | OWN.get(cls, {})))


CASES = [case for cls in SEGMENTERS for case in image_estimator_checks(make(cls))]


def test_all_segmenters_are_found():
    assert {cls.__name__ for cls in SEGMENTERS} >= {
        "SSIMAutoencoderSegmenter",
        "L2AutoencoderSegmenter",
        "VariationalAutoencoderSegmenter",
        "FeatureMatchingAutoencoderSegmenter",
        "EnsembleSegmenter",
    }
    assert len(CASES) == 11 * len(SEGMENTERS)


@pytest.mark.parametrize(
    ("estimator", "check"), CASES, ids=[f"{type(e).__name__}-{c.__name__}" for e, c in CASES]
)
def test_check(estimator, check, device):
    names = [name for name in estimator.get_params() if name.split("__")[-1] == "device"]
    check(estimator.set_params(**dict.fromkeys(names, device)))


class Wrong(L2AutoencoderSegmenter):
    """A segmenter that fails checks."""

    def decision_function(self, X):
        maps = super().decision_function(X)
        return maps - np.mean([np.mean(map_) for map_ in maps]) if len(maps) > 1 else maps

    def score_images(self, X):
        return super().score_images(X) + 1e-3


@pytest.mark.parametrize("name", ["check_one_image_alone", "check_scores_agree_with_masks"])
def test_failures_are_noticed(name):
    checks = {check.__name__: check for _, check in image_estimator_checks(Wrong(**QUICK))}
    with pytest.raises(AssertionError):
        checks[name](Wrong(**QUICK))
