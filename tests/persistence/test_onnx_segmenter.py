"""Exports compute the same as the original, without torch."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from skimage.io import imsave
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from torch import nn

from sk_ssimae import (
    FeatureMatchingAutoencoderSegmenter,
    L2AutoencoderSegmenter,
    MultiScaleSSIMAutoencoderSegmenter,
    SSIMAutoencoderSegmenter,
    VariationalAutoencoderSegmenter,
)
from sk_ssimae._patches import Patches, average_orientations, average_patches
from sk_ssimae.estimators import L2Residual, SSIMResidual
from sk_ssimae.exceptions import SmallImageWarning
from sk_ssimae.losses import L2Loss, SSIMLoss
from sk_ssimae.persistence import OnnxSegmenter, export_onnx

TOLERANCE = 1e-5
# Blocks of the size of a patch end where their patches end.
PLAIN = {"stride": 16, "smoothing": 0, "opening_diameter": 0, "threshold": 0.5}


def exported(segmenter, tmp_path):
    path = tmp_path / "segmenter.onnx"
    assert export_onnx(segmenter, path) is None
    return OnnxSegmenter(path, n_threads=1)


def assert_same(results, expected):
    assert type(results) is type(expected)
    for result, other in zip(results, expected, strict=True):
        assert (result.dtype, result.shape) == (other.dtype, other.shape)
        np.testing.assert_allclose(result, other, rtol=TOLERANCE, atol=TOLERANCE)


def assert_agrees(segmenter, images, tmp_path):
    """Compare all results of both; the threshold lies between residuals."""
    levels = np.unique(segmenter.set_params(threshold=0.0).decision_function(images[:1])[0])
    middle = np.diff(levels).argmax()
    segmenter.set_params(threshold=float(levels[middle : middle + 2].mean()))
    other = exported(segmenter, tmp_path)
    assert other.threshold_ == segmenter.threshold_
    assert other.n_channels_ == segmenter.n_channels_
    maps = segmenter.decision_function(images)
    assert np.ptp(maps[0]) > 100 * TOLERANCE
    assert_same(other.decision_function(images), maps)
    assert_same(list(other.iter_decision_function(images)), list(maps))
    assert_same(other.reconstruct(images), segmenter.reconstruct(images))
    scores = segmenter.score_images(images)
    assert_same(other.score_images(images)[:, np.newaxis], scores[:, np.newaxis])
    masks, expected = other.predict(images), segmenter.predict(images)
    assert type(masks) is type(expected)
    for mask, other_mask in zip(masks, expected, strict=True):
        assert mask.dtype == np.bool_
        assert (mask != other_mask).mean() < 0.01


@pytest.mark.parametrize(("params", "block_size"), [({}, 11), (PLAIN, 16)])
def test_blocks_together_are_the_whole(segmenter, good, tmp_path, params, block_size):
    other = exported(segmenter.set_params(**params), tmp_path)
    together = np.empty_like(good[0])
    for block in other.segment_blocks(good[0], block_size=block_size):
        together[block.rows, block.columns] = block.residual_map
    assert_same(together[np.newaxis], other.decision_function(good[:1]))


def test_families_agree(segmenter, images, tmp_path):
    assert_agrees(segmenter, images, tmp_path)


@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (SSIMAutoencoderSegmenter, {"residual_params": None, "stride": 5, "smoothing": 0}),
        (SSIMAutoencoderSegmenter, {"residual_params": {"gamma": 1, "window_size": 15}}),
        (SSIMAutoencoderSegmenter, {"residual_params": {"gamma": 0.5, "alpha": 2, "beta": 0.3}}),
        (SSIMAutoencoderSegmenter, {"residual_params": {"gamma": 3, "window": "uniform"}}),
        (SSIMAutoencoderSegmenter, {"absolute_weight": 3}),
        (SSIMAutoencoderSegmenter, {"test_time_augmentation": "dihedral"}),
        (SSIMAutoencoderSegmenter, {"image_size": 20, "opening_diameter": 0, "smoothing": 1.5}),
        (L2AutoencoderSegmenter, {"image_size": (36, 20), "inference_batch_size": 1}),
        (L2AutoencoderSegmenter, {"taper": 1}),
        (L2AutoencoderSegmenter, {"stride": "auto", "patch_size": 64, "smoothing": 0}),
        (VariationalAutoencoderSegmenter, {"n_samples": 3, "inference_batch_size": 5}),
        (VariationalAutoencoderSegmenter, {"test_time_augmentation": "dihedral"}),
        (MultiScaleSSIMAutoencoderSegmenter, {"smoothing": 0, "stride": 5}),
        (VariationalAutoencoderSegmenter, {"residual": "reconstruction_error", "stride": 5}),
        (VariationalAutoencoderSegmenter, {"residual": "kl", "smoothing": 0}),
        (VariationalAutoencoderSegmenter, {"residual": "kl", "test_time_augmentation": "dihedral"}),
    ],
)
def test_parameters_are_honoured(trained, good, tmp_path, cls, params):
    segmenter = copy.deepcopy(trained[cls]).set_params(**params)
    assert_agrees(segmenter, [good[0][:25, 5:33], good[1][:16, :17]], tmp_path)


@pytest.mark.parametrize("cls", [SSIMAutoencoderSegmenter, VariationalAutoencoderSegmenter])
def test_colours_bytes_and_files(tiny, tmp_path, cls):
    colour = np.random.default_rng(0).integers(0, 256, (3, 40, 32, 3), dtype=np.uint8)
    segmenter = cls(**tiny, normalization=None).fit(colour)
    assert_agrees(segmenter, colour[:2], tmp_path)
    imsave(tmp_path / "a.png", colour[0], check_contrast=False)
    assert_agrees(segmenter, [str(tmp_path / "a.png"), colour[1] / 255], tmp_path)


def test_any_number_of_patches_at_once(ssim, tmp_path):
    export_onnx(ssim, tmp_path / "a.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    for n in (1, 5):
        patches = torch.rand((n, 1, 16, 16), generator=torch.Generator().manual_seed(n))
        (found,) = session.run(None, {"patches": patches.numpy()})
        with torch.inference_mode():
            expected = ssim.net_.inference_module_(patches)
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("rule", ["half_peak", "pixel_fpr"])
def test_masks_of_both_levels_are_the_same(ssim, good, tmp_path, rule):
    ssim.set_params(extent_threshold=rule, target_fpr=0.9, extent_fpr=0.2, min_region_area=3)
    ssim.set_params(smoothing=1).calibrate(good)
    assert ssim.extent_threshold_ < ssim.threshold_
    other = exported(ssim, tmp_path)
    masks = ssim.predict(good)
    assert masks.any()
    exported_masks = other.predict(good)
    assert (exported_masks != masks).mean() < 0.002  # Maps are equal up to rounding.
    index = int(other.score_images(good).argmax())
    for block in other.segment_blocks(good[index], block_size=13):
        expected = exported_masks[index][block.rows, block.columns]
        np.testing.assert_array_equal(block.mask, expected)


def test_settings_tell_how_the_threshold_was_found(ssim, tmp_path):
    settings = exported(ssim, tmp_path).settings
    assert settings.calibration.items() < ssim.calibration_._asdict().items()
    assert settings.threshold == ssim.threshold_
    assert settings.extent_threshold == ssim.extent_threshold_
    assert settings.half_peak
    assert settings.segmenter_class == "SSIMAutoencoderSegmenter"
    assert settings.versions["torch"] == str(torch.__version__)
    shown = repr(exported(ssim.set_params(threshold=0.25), tmp_path))
    assert shown == "<OnnxSegmenter: SSIMAutoencoderSegmenter, threshold_=0.25>"
    assert exported(ssim, tmp_path).settings.calibration is None


def test_a_pickle_reads_the_file_again(ssim, good, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export_onnx(ssim, "segmenter.onnx")
    segmenter = OnnxSegmenter("segmenter.onnx", n_threads=1)
    stored = pickle.dumps(segmenter)
    monkeypatch.chdir("/")
    loaded = pickle.loads(stored)
    np.testing.assert_array_equal(loaded.decision_function(good), segmenter.decision_function(good))
    assert pickle.dumps(loaded) == stored
    (tmp_path / "segmenter.onnx").unlink()
    with pytest.raises(FileNotFoundError, match=r"segmenter\.onnx"):
        pickle.loads(stored)


def test_score(ssim, defective, tmp_path):
    # Nearly equal residuals may change their order.
    expected = pytest.approx(ssim.score(*defective), abs=1e-4)
    assert exported(ssim, tmp_path).score(*defective) == expected


WITHOUT_TORCH = """
import sys
for package in ("torch", "skorch", "sklearn", "onnx", "safetensors"):
    sys.modules[package] = None  # Importing it raises ImportError.
import numpy as np
from sk_ssimae.persistence import OnnxSegmenter
segmenter = OnnxSegmenter(sys.argv[1], n_threads=1)
images = np.load(sys.argv[2])
np.savez(
    sys.argv[3], segmenter.decision_function(images), segmenter.predict(images),
    segmenter.score_images(images),
)
"""


@pytest.mark.parametrize("cls", [SSIMAutoencoderSegmenter, VariationalAutoencoderSegmenter])
def test_runs_where_there_is_no_torch(trained, images, tmp_path, cls):
    export_onnx(trained[cls], tmp_path / "a.onnx")
    np.save(tmp_path / "images.npy", images)
    names = ("a.onnx", "images.npy", "results.npz")
    arguments = [sys.executable, "-c", WITHOUT_TORCH, *(str(tmp_path / name) for name in names)]
    subprocess.run(arguments, check=True)
    maps, masks, scores = np.load(tmp_path / "results.npz").values()
    assert_same(maps, trained[cls].decision_function(images))
    assert_same(scores[:, np.newaxis], trained[cls].score_images(images)[:, np.newaxis])
    assert (masks != trained[cls].predict(images)).mean() < 0.01


def test_images_are_checked(ssim, good, tmp_path):
    other = exported(ssim, tmp_path)
    with pytest.raises(ValueError, match="wrap it in a list"):
        other.predict(good[0])
    with pytest.raises(ValueError, match=r"X\[0\] must have 1 channel"):
        other.predict([np.stack([good[0]] * 3, axis=-1)])
    with pytest.warns(SmallImageWarning, match=r"X\[1\] has 15 × \d+ pixels, fewer than"):
        maps = other.decision_function([good[0], good[0][:15]])
    with pytest.warns(SmallImageWarning):
        np.testing.assert_allclose(maps[1], ssim.decision_function([good[0][:15]])[0], atol=1e-4)


def test_arguments_are_checked(ssim, tmp_path):
    path = tmp_path / "a.onnx"
    export_onnx(ssim, path)
    with pytest.raises(ValueError, match=r"providers must be among .*, got 'Abacus' instead"):
        OnnxSegmenter(path, providers=["Abacus"])
    for providers in ("CPUExecutionProvider", [], 3):
        with pytest.raises(ValueError, match="providers must be a list of names or None"):
            OnnxSegmenter(path, providers=providers)
    for n_threads in (0, True, "2", 1.0):
        with pytest.raises(ValueError, match="n_threads must be a positive integer or None"):
            OnnxSegmenter(path, n_threads=n_threads)
    for function in (OnnxSegmenter, lambda path: export_onnx(ssim, path)):
        with pytest.raises(TypeError, match="path must be the path of a file, got int instead"):
            function(3)
    with pytest.raises(FileNotFoundError):
        OnnxSegmenter(tmp_path / "none.onnx")
    with pytest.raises(ValueError, match="path must name a file"):
        OnnxSegmenter(tmp_path)
    assert OnnxSegmenter(path, providers=["CPUExecutionProvider"]).n_channels_ == 1


def test_gpus_compute_in_full_precision(ssim, tmp_path, monkeypatch):
    export_onnx(ssim, tmp_path / "a.onnx")
    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    session, asked_for = onnxruntime.InferenceSession, []

    def on_the_cpu(content, options, providers):
        asked_for.extend(providers)
        return session(content, options, providers=names[1:])

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(onnxruntime, "InferenceSession", on_the_cpu)
    OnnxSegmenter(tmp_path / "a.onnx", providers=names)
    assert asked_for == [(names[0], {"use_tf32": "0"}), (names[1], {})]


def test_missing_packages(ssim, tmp_path, monkeypatch):
    export_onnx(ssim, tmp_path / "a.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'needs onnx. Run pip install "\.\[onnx\]"'):
        export_onnx(ssim, tmp_path / "a.onnx")
    OnnxSegmenter(tmp_path / "a.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r'ONNX Runtime. Run pip install "\.\[onnx\]"'):
        OnnxSegmenter(tmp_path / "a.onnx")


class OwnFamily(L2AutoencoderSegmenter):
    """Family with its own loss, and so perhaps its own residual."""

    def make_loss(self):
        return L2Loss()


class Exportable(OwnFamily):
    """Family that names its residual in NumPy."""

    def numpy_residual(self):
        return L2Residual()


def test_a_family_that_names_its_residual_is_exported(tiny, good, images, tmp_path):
    segmenter = Exportable(**tiny).fit(good)
    assert_agrees(segmenter, images, tmp_path)


def test_a_residual_that_exports_do_not_know(tiny, good, tmp_path):
    class Unknown(OwnFamily):
        def numpy_residual(self):
            return "l2"

    with pytest.raises(TypeError, match=r"numpy_residual of Unknown must .*'L2Residual'.*'l2'"):
        export_onnx(Unknown(**tiny).fit(good), tmp_path / "a.onnx")


def test_only_segmenters_with_a_known_residual_are_exported(ssim, trained, tiny, tmp_path):
    path = tmp_path / "a.onnx"
    with pytest.raises(NotFittedError, match="not fitted yet"):
        export_onnx(L2AutoencoderSegmenter(), path)
    with pytest.raises(TypeError, match=r"segmenter must be one of .*, got Pipeline instead"):
        export_onnx(make_pipeline(ssim), path)
    own = OwnFamily(**tiny)
    own.__dict__.update(trained[L2AutoencoderSegmenter].__dict__)
    with pytest.raises(TypeError, match=r"OwnFamily must implement numpy_residual .* make_loss"):
        export_onnx(own, path)
    with pytest.raises(NotFittedError, match="has not been calibrated"):
        export_onnx(copy.deepcopy(ssim).set_params(target_fpr=0.3), path)
    with pytest.raises(ValueError, match="stride must be at most the patch_size of fit, 16"):
        export_onnx(copy.deepcopy(ssim).set_params(patch_size=32, stride=20), path)
    assert not path.exists()


@pytest.mark.parametrize("residual", ["euclidean", "bhattacharyya"])
def test_distances_to_training_patches_are_not_exported(trained, images, tmp_path, residual):
    segmenter = copy.deepcopy(trained[VariationalAutoencoderSegmenter]).set_params(
        residual=residual
    )
    with pytest.raises(TypeError, match=f"residual='{residual}' cannot be exported: .*posteriors_"):
        export_onnx(segmenter.calibrate(images), tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_module_as_feature_extractor_is_left_behind(tiny, good, images, tmp_path):
    segmenter = FeatureMatchingAutoencoderSegmenter(feature_extractor=nn.AvgPool2d(4), **tiny)
    assert_agrees(segmenter.fit(good), images, tmp_path)


def test_networks_that_cannot_be_exported_leave_the_file_as_it_was(ssim, tmp_path):
    path = tmp_path / "a.onnx"
    path.write_text("there before")
    broken = copy.deepcopy(ssim)
    with torch.no_grad():
        broken.net_.module_.encoder[0].bias[3] = torch.nan
    with pytest.raises(ValueError, match="net_ contains weights that are NaN or infinite"):
        export_onnx(broken, path)
    replaced = copy.deepcopy(ssim)
    replaced.net_.module_.decoder[-1] = nn.Identity()
    with pytest.raises(ValueError, match="net_ must be as SSIMAutoencoderSegmenter makes it"):
        export_onnx(replaced, path)
    other = copy.deepcopy(ssim)
    other.net_.module_.encoder[2] = nn.ReLU()  # It has no weights to compare.
    with pytest.raises(TypeError, match=r"layers of this package's networks .* got a ReLU"):
        export_onnx(other, path)
    assert path.read_text() == "there before"


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 40, 33)])
@pytest.mark.parametrize("taper", [0, 0.25, 1])
def test_patches_are_averaged_as_in_torch(shape, taper):
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    patches = Patches.of_image(shape[1:], patch_size=16, stride=7)
    weights = np.random.default_rng(1).random((16, 16), dtype=np.float32)

    def transform(patches, origins):
        return patches[:, :1] * weights + sum(map(sum, origins))

    def in_torch(patches, origins):
        return torch.from_numpy(np.ascontiguousarray(transform(patches.numpy(), origins)))

    for ours, theirs in (
        (transform, in_torch),
        (average_orientations(transform), average_orientations(in_torch)),
    ):
        common = {"taper": taper, "batch_size": 3}
        expected = average_patches(torch.from_numpy(image), theirs, patches, **common).numpy()
        found = average_patches(image, ours, patches, **common)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("pixels_of_strip", [1, 2**20])
@pytest.mark.parametrize("exponents", [(1, 1, 1), (2, 0.5, 3), (0, 1, 1.5)])
@pytest.mark.parametrize("weight", [0, 3])
def test_ssim_is_that_of_the_loss(monkeypatch, pixels_of_strip, exponents, weight):
    monkeypatch.setattr("sk_ssimae._formulas._ssim.PIXELS_OF_STRIP", pixels_of_strip)
    x, y = np.random.default_rng(0).random((2, 3, 70, 21), dtype=np.float32)
    y = 0.7 + 0.3 * (x + y) / 2
    named = dict(zip(("alpha", "beta", "gamma"), exponents, strict=True))
    loss = SSIMLoss(7, "gaussian", **named)
    named |= {"absolute_weight": weight}
    residual = SSIMResidual(tuple(loss.kernel.tolist()), loss.c1, loss.c2, **named)
    expected = loss.residual_map(torch.from_numpy(x)[None], torch.from_numpy(y)[None])[0]
    expected = expected.numpy() + weight * np.abs(x - y).mean(axis=0)
    np.testing.assert_allclose(residual.residual_map(x, y), expected, rtol=0, atol=TOLERANCE)
