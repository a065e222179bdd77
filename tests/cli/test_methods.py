"""Options of fit become parameters of each method's segmenter, or are refused with the reason."""

import pytest

from sk_ssimae import (
    FeatureDictionarySegmenter,
    PatchDictionarySegmenter,
    SSIMAutoencoderSegmenter,
    make_default_ensemble,
)
from sk_ssimae.cli._methods import make_segmenter


def test_options_reach_the_segmenter():
    settings = ["max_epochs=3", "augmentation=dihedral", "residual_params={'gamma': 1}"]
    segmenter = make_segmenter("ssim", {"image_size": (64, 32)}, [*settings, "c1=0.5"], 100)
    assert (
        segmenter.get_params()
        == SSIMAutoencoderSegmenter(
            image_size=(64, 32),
            max_epochs=3,
            augmentation="dihedral",
            residual_params={"gamma": 1},
            c1=0.5,
            n_patches=34,
        ).get_params()
    )


def test_options_reach_a_dictionary():
    options = {"image_size": 64, "random_state": 3, "device": "auto", "latent_dim": None}
    patches = make_segmenter("patch-dictionary", options, ["n_filters=4", "stride=8"], None)
    expected = PatchDictionarySegmenter(image_size=64, random_state=3, n_filters=4, stride=8)
    assert type(patches) is PatchDictionarySegmenter
    assert patches.get_params() == expected.get_params()

    features = make_segmenter(
        "feature-dictionary", {"device": "cpu"}, ["layers=('layers.block2',)", "pooling=3"], None
    )
    expected = FeatureDictionarySegmenter(device="cpu", layers=("layers.block2",), pooling=3)
    assert features.get_params() == expected.get_params()


def test_options_reach_the_ensemble_and_its_members():
    options = {
        "latent_dim": 8,
        "patch_size": 16,
        "image_size": 64,
        "threshold": "pixel_fpr",
        "device": "cpu",
        "random_state": 3,
        "checkpoint_dir": None,
    }
    settings = ["combination=max", "autoencoder__max_epochs=3", "dictionary__stride=8"]
    ensemble = make_segmenter("auto", options, [*settings, "dictionary__smoothing=2"], 100)
    expected = make_default_ensemble(
        combination="max",
        image_size=64,
        threshold="pixel_fpr",
        random_state=3,
        autoencoder__latent_dim=8,
        autoencoder__patch_size=16,
        autoencoder__device="cpu",
        autoencoder__max_epochs=3,
        autoencoder__n_patches=34,
        dictionary__stride=8,
        dictionary__smoothing=2,
    )
    assert repr(ensemble) == repr(expected)
    found, wanted = ensemble.get_params(), expected.get_params()
    for name in ("segmenters", "autoencoder", "dictionary", "coarse_dictionary"):
        del found[name], wanted[name]
    assert found == wanted


def test_a_pretrained_network_joins_the_ensemble():
    ensemble = make_segmenter("auto-pretrained", {"device": "cpu"}, ["features__padding=8"], None)
    expected = make_default_ensemble(
        pretrained=True, autoencoder__device="cpu", features__device="cpu", features__padding=8
    )
    assert repr(ensemble) == repr(expected)


def test_a_checkpoint_of_a_member_has_the_seed():
    options = {"random_state": 3, "checkpoint_dir": "c"}
    parameters = make_segmenter("auto", options, [], None).get_params()
    assert parameters["autoencoder__checkpoint_dir"] == "c"
    assert parameters["autoencoder__random_state"] == 3
    assert parameters["dictionary__random_state"] is None


@pytest.mark.parametrize("method", ["patch-dictionary", "feature-dictionary"])
@pytest.mark.parametrize(
    ("name", "value", "option", "reason"),
    [
        ("latent_dim", 8, "--latent-dim", "it has no latent vector"),
        ("patch_size", 16, "--patch-size", "it processes images as a whole"),
        ("checkpoint_dir", "c", "--checkpoint-dir", "it does not train in epochs"),
        ("initial_weights", "m", "--initial-weights", "it has no network"),
        ("n_patches", 100, "--patches", "it does not train on random patches"),
    ],
)
def test_options_of_other_methods_are_refused(method, name, value, option, reason):
    options, patches = ({}, value) if name == "n_patches" else ({name: value}, None)
    with pytest.raises(ValueError, match=f"{option}: --method {method} ") as error:
        make_segmenter(method, options, [], patches)
    networks = "adversarial, gan, l1, l2, ms-ssim, ssim"
    others = "sparse-dictionary, vae" if name == "patch_size" else "vae"
    assert str(error.value) == (
        f"{option}: --method {method} has no such option: {reason}. Leave it out, or choose a "
        f"method that has it: auto, auto-pretrained, {networks}, {others}."
    )


def test_a_device_is_refused_where_there_is_no_network():
    with pytest.raises(ValueError, match="--device: --method patch-dictionary") as error:
        make_segmenter("patch-dictionary", {"device": "cuda"}, [], None)
    assert str(error.value).endswith(
        "it computes on the CPU. Leave it out, or choose a method that has it: auto, "
        "auto-pretrained, adversarial, "
        "feature-dictionary, gan, l1, l2, ms-ssim, ssim, vae."
    )


@pytest.mark.parametrize(
    ("method", "setting", "message"),
    [
        ("auto", "segmenters=[]", "--set segmenters: use Python instead."),
        ("auto", "n_jobs=2", "--set n_jobs: use Python instead."),
        ("auto", "max_epochs=3", "no such parameter. Did you mean 'autoencoder__max_epochs'?"),
        (
            "auto",
            "stride=8",
            "Did you mean 'autoencoder__stride' or 'coarse_dictionary__stride' or "
            "'dictionary__stride'?",
        ),
        ("auto", "dictionary__strid=8", "Did you mean 'dictionary__stride'?"),
        ("auto", "dictionary__zzz=8", "there is no such parameter."),
        ("auto", "dictionary=8", "there is no such parameter."),
        ("auto", "other__stride=8", "there is no such parameter."),
        ("auto", "autoencoder__latent_dim=8", "use --latent-dim instead."),
        ("auto", "autoencoder__random_state=8", "use --seed instead."),
        ("auto", "autoencoder__callbacks=[]", "use Python instead."),
        ("auto", "dictionary__image_size=64", "use --image-size instead."),
        ("auto", "dictionary__alpha_channel=drop", "use --set alpha_channel instead."),
        ("auto", "dictionary__opening_diameter=0", "use --set opening_diameter instead."),
        ("auto", "dictionary__threshold=0.5", "use --threshold instead."),
        ("patch-dictionary", "latent_dim=8", "there is no such parameter. There are "),
        ("feature-dictionary", "device=cpu", "use --device instead."),
    ],
)
def test_settings_elsewhere_are_named(method, setting, message):
    with pytest.raises(ValueError, match=f"^--set {setting.partition('=')[0]}: ") as error:
        make_segmenter(method, {}, [setting], None)
    assert message in str(error.value)


def test_patches_and_their_number_per_epoch_exclude_each_other():
    with pytest.raises(ValueError, match="--patches and --set autoencoder__n_patches exclude"):
        make_segmenter("auto", {}, ["autoencoder__n_patches=9"], 100)


def test_unknown_methods_are_refused():
    with pytest.raises(
        ValueError, match="must be one of auto, auto-pretrained, adversarial, feature-dictionary,"
    ):
        make_segmenter("best", {}, [], None)
