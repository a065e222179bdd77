"""Pixel values that become 0 and 1, and warnings of images that do not suit them."""

import warnings

import numpy as np
import pytest

from sk_ssimae import L2AutoencoderSegmenter, SSIMAutoencoderSegmenter
from sk_ssimae._images import Images
from sk_ssimae._intensity import IntensityRange, scale
from sk_ssimae._pixels import Conversion
from sk_ssimae._reading._stored import store
from sk_ssimae._sliced import SlicedImage
from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.exceptions import IntensityRangeWarning, SmallImageWarning
from sk_ssimae.persistence import OnnxSegmenter, export_onnx, load, save

GOOD = make_woven_fabric(4, shape=(48, 64), random_state=0)
TINY = {"patch_size": 16, "stride": 16, "n_patches": 64, "max_epochs": 1, "random_state": 0}


def as_camera(images, low, high, dtype=np.uint16):
    return np.rint(low + images * (high - low)).astype(dtype)


def find(*images):
    return IntensityRange.find([store(image[..., np.newaxis]) for image in images])


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (0, 1023, np.uint16),
        (0, 4095, np.uint16),
        (0, 16383, np.uint16),
        (30_000, 32_000, np.uint16),
        (-1000, 3000, np.int16),
        (-20.5, 1e6, np.float64),
        (100, 130, np.uint8),
        (0, 255, np.int64),
    ],
)
def test_found_range_covers_the_images(low, high, dtype):
    images = as_camera(GOOD, low, high, dtype)
    found = find(*images)
    assert images.min() <= found.low < found.high <= images.max()
    scaled = scale(store(images[0]), found, "X[0]")
    assert scaled.dtype == np.float32
    assert np.mean((scaled >= 0) & (scaled <= 1)) > 0.995
    np.testing.assert_allclose(
        scaled.astype(float),
        np.clip((images[0].astype(float) - found.low) / (found.high - found.low), -1, 2),
        atol=1e-6,
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.bool_])
def test_usual_types_are_taken_as_they_are(dtype):
    factor = 255 if dtype == np.uint8 else 1
    images = (np.round(GOOD) if dtype == np.bool_ else GOOD * factor).astype(dtype)
    assert find(*images) is None


def test_no_range_is_found_in_constant_images_or_between_types():
    assert find(np.full((8, 8), 900, np.uint16)) is None
    assert find(as_camera(GOOD[0], 0, 1023), as_camera(GOOD[1], 0, 255, np.uint8)) is None


def test_stuck_pixels_do_not_count():
    images = as_camera(GOOD, 0, 1023)
    found = find(*images)
    images[0, 3, 4], images[1, 5, 6] = 65535, 0
    with_stuck = find(*images)
    assert abs(with_stuck.high - found.high) < 0.02 * found.high
    assert abs(with_stuck.low - found.low) < 0.02 * found.high


def test_pixels_beyond_the_range_are_kept_up_to_its_length():
    image = np.array([[0, 50, 100, 150, 200, 350]], dtype=np.uint16)
    scaled = scale(store(image), IntensityRange(100, 200), "X[0]")
    np.testing.assert_array_equal(scaled, [[-1, -0.5, 0, 0.5, 1, 2]])


@pytest.mark.parametrize("low", [0, 100])
def test_units_do_not_matter(low):
    """Images of a camera give the same maps whatever its gain and offset."""
    cells = as_camera(GOOD, 0, 1000)
    maps = [
        SSIMAutoencoderSegmenter(**TINY).fit(images).decision_function(images)
        for images in (cells, low + 4 * cells, (low + 4 * cells).astype(np.int32))
    ]
    for others in maps[1:]:
        np.testing.assert_allclose(others, maps[0], atol=1e-5)


def test_given_range_and_range_of_the_type():
    images = as_camera(GOOD, 0, 4095)
    given = L2AutoencoderSegmenter(**TINY, intensity_range=(0, 4095)).fit(images)
    by_type = L2AutoencoderSegmenter(**TINY).fit((images / 4095).astype(np.float32))
    assert given.intensity_range_ == (0, 4095)
    assert by_type.intensity_range_ is None
    np.testing.assert_allclose(
        given.decision_function(images), by_type.decision_function(images / 4095), atol=1e-5
    )


@pytest.mark.parametrize("wrong", [(1, 1), (2, 1), (0, np.nan), (0, np.inf), (0,), "uint8", [0, 1]])
def test_wrong_ranges(wrong):
    with pytest.raises(ValueError, match=r"intensity_range.* must be"):
        L2AutoencoderSegmenter(**TINY, intensity_range=wrong).fit(GOOD)


def test_range_that_training_images_hardly_use():
    images = as_camera(GOOD, 0, 1023)
    message = r"use \d\.\d% of the intensity range: their values are \d+ to \d+.* almost one grey"
    for intensity_range in ("dtype", (0, 60_000)):
        with pytest.warns(IntensityRangeWarning, match=message):
            L2AutoencoderSegmenter(**TINY, intensity_range=intensity_range).fit(images)


@pytest.fixture(scope="module")
def camera():
    return L2AutoencoderSegmenter(**TINY).fit(as_camera(GOOD, 0, 4095))


def test_images_in_other_units(camera):
    with pytest.warns(IntensityRangeWarning, match=r"X\[0\] has 100% of its pixels beyond the"):
        camera.decision_function(as_camera(GOOD, 0, 65535))
    with pytest.raises(ValueError, match=r"X\[0\] must have intensities in the model's .* at most"):
        camera.decision_function(as_camera(GOOD, 0, 255, np.uint8))
    by_type = L2AutoencoderSegmenter(**TINY).fit(as_camera(GOOD, 0, 255, np.uint8))
    with pytest.warns(IntensityRangeWarning, match=r"X\[0\] uses \d\.\d% of the intensity range"):
        by_type.decision_function(as_camera(GOOD, 0, 4095))


def test_a_bright_defect_is_no_reason_to_warn(camera):
    images = as_camera(GOOD, 0, 4095)
    images[0, 10:14, 10:14] = 60_000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        maps = camera.decision_function(images)
    assert maps[0, 10:14, 10:14].min() > 2 * np.median(maps[0])


def test_files_and_exports_keep_the_range(camera, tmp_path):
    images = as_camera(GOOD, 0, 4095)
    expected = camera.decision_function(images)
    save(camera, tmp_path / "model.safetensors")
    loaded = load(tmp_path / "model.safetensors")
    assert loaded.intensity_range_ == camera.intensity_range_
    np.testing.assert_array_equal(loaded.decision_function(images), expected)
    pytest.importorskip("onnxruntime")
    export_onnx(camera, tmp_path / "model.onnx")
    exported = OnnxSegmenter(tmp_path / "model.onnx")
    np.testing.assert_allclose(exported.decision_function(images), expected, atol=1e-4)


def test_blocks_are_scaled_as_whole_images(camera):
    image = as_camera(GOOD[0], 0, 4095)
    segmenter = L2AutoencoderSegmenter(**TINY, smoothing=0).fit(as_camera(GOOD, 0, 4095))
    blocks = segmenter.segment_blocks(image, block_size=32)
    expected = segmenter.decision_function([image])[0]
    for block in blocks:
        np.testing.assert_allclose(
            block.residual_map, expected[block.rows, block.columns], atol=1e-5
        )
    sliced = SlicedImage(image, min_size=16, n_channels=1, conversion=camera.conversion)
    np.testing.assert_array_equal(
        sliced.read(slice(0, 8), slice(0, 8)),
        Images([image], conversion=camera.conversion)[0][:8, :8],
    )


def test_four_lights_are_kept_on_request():
    lights = np.stack([GOOD, GOOD[::-1], 1 - GOOD, GOOD**2], axis=-1)
    with pytest.raises(ValueError, match="4 channels, and the last may be alpha or not"):
        L2AutoencoderSegmenter(**TINY).fit(lights)
    kept = L2AutoencoderSegmenter(**TINY, alpha_channel="keep").fit(lights)
    assert kept.n_channels_ == 4
    changed = lights.copy()
    changed[..., 3] = 1 - changed[..., 3]
    assert (kept.decision_function(changed) != kept.decision_function(lights)).any()
    dropped = L2AutoencoderSegmenter(**TINY, alpha_channel="drop").fit(lights)
    np.testing.assert_array_equal(
        dropped.decision_function(changed), dropped.decision_function(lights)
    )


def test_images_smaller_than_a_patch(camera):
    image = as_camera(GOOD[0], 0, 4095)
    with pytest.warns(SmallImageWarning, match=r"X\[0\] has 9 × 40 pixels, fewer than patch_size"):
        small = camera.decision_function([image[:9, :40]])[0]
    assert small.shape == (9, 40)
    assert np.isfinite(small).all()
    with pytest.warns(SmallImageWarning):
        assert camera.reconstruct([image[:9, :40]])[0].shape == (9, 40)
    with pytest.warns(SmallImageWarning):
        assert camera.predict([image[:1, :1]])[0].shape == (1, 1)
    with pytest.raises(ValueError, match="must be at least patch_size=16 pixels high and wide"):
        L2AutoencoderSegmenter(**TINY).fit([image[:9]])


def test_constant_images_between_others():
    images = as_camera(GOOD, 0, 255, np.uint8)
    images[2] = 0
    with pytest.warns(UserWarning, match=r"X\[2\] have one value everywhere, as empty masks"):
        L2AutoencoderSegmenter(**TINY).fit(images)


def test_conversion_without_a_range_is_by_type():
    assert Images([np.full((4, 4), 255, np.uint8)], conversion=Conversion())[0].dtype == np.uint8
