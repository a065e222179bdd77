from itertools import islice

import numpy as np
import pytest
from scipy import ndimage
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import nn

from sk_ssimae import (
    L2AutoencoderSegmenter,
    SSIMAutoencoderSegmenter,
    VariationalAutoencoderSegmenter,
)
from sk_ssimae._pixels import as_unit_float
from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.estimators import BaseAutoencoderSegmenter, Segmentation

# The Gaussian is cut off at a weight of 2e-4, which is visible.
FAR = {"smoothing": 1.12, "opening_diameter": 5, "stride": 11}
PLAIN = {"smoothing": 0, "opening_diameter": 0, "stride": 11}


@pytest.fixture(scope="module")
def image():
    """Return an image with sides that are no multiples of a stride or block."""
    image = make_woven_fabric(1, shape=(41, 55), thread_spacing=6, random_state=1)[0]
    image[20:30, 30:34] = 0.9
    image.flags.writeable = False
    return image


@pytest.fixture(scope="module")
def fitted(tiny, good):
    """Fit each class once, with a number as threshold, which is never stale."""
    cache = {}

    def fit(cls, **params):
        if cls not in cache:
            cache[cls] = cls(**tiny).fit(good)
        changes = {"smoothing": "auto", "opening_diameter": 4, "threshold": 0.5, **tiny, **params}
        defaults = {name: value for name, value in cls().get_params().items() if name not in tiny}
        return cache[cls].set_params(**(defaults | changes))

    return fit


class Given(Segmentation):
    """Segmentation whose residual is the image."""

    n_channels_ = 1
    smoothing = 0
    threshold_ = extent_threshold_ = 0.0

    def __init__(self, *, opening_diameter, min_region_area, radius):
        self.opening_diameter, self.min_region_area = opening_diameter, min_region_area
        self.radius = radius

    @property
    def ends_at_half_peak(self):
        return self.radius > 0

    def _smoothing_sigma(self, image_shape):
        return self.radius

    def residual_radius(self):
        return 0

    def compute_residual(self, image):
        return as_unit_float(image)[..., 0]


def put_together(segmenter, image, block_size, roi=None):
    """Write all blocks, each pixel once."""
    shape = image.shape[:2]
    residual_map, mask = np.full(shape, np.nan, np.float32), np.zeros(shape, bool)
    scores = []
    for block in segmenter.segment_blocks(image, block_size=block_size, roi=roi):
        place = block.rows, block.columns
        assert np.isnan(residual_map[place]).all()
        assert block.residual_map.dtype == np.float32
        residual_map[place], mask[place] = block.residual_map, block.mask
        scores.append(block.score)
    return residual_map, mask, max(scores)


def check_equals_whole(segmenter, image, block_size, roi=None):
    masks = None if roi is None else [roi]
    opened = np.sort(segmenter.decision_function([image], roi=masks)[0], axis=None)
    # In the widest gap between large values, so that rounding changes no pixel.
    largest = opened[-500:]
    gap = np.argmax(np.diff(largest))
    segmenter.set_params(threshold=float(largest[gap : gap + 2].mean()))
    residual_map, mask, score = put_together(segmenter, image, block_size, roi)
    (expected,) = segmenter.decision_function([image], roi=masks)
    np.testing.assert_allclose(residual_map, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(mask, segmenter.predict([image], roi=masks)[0])
    assert score == pytest.approx(segmenter.score_images([image], roi=masks)[0], rel=1e-5)


@pytest.mark.parametrize("block_size", [15, 24, 1000])
@pytest.mark.parametrize("params", [PLAIN, FAR], ids=["plain", "far"])
def test_blocks_together_are_the_whole(segmenter_class, fitted, image, params, block_size):
    check_equals_whole(fitted(segmenter_class, **params), image, block_size)


@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (SSIMAutoencoderSegmenter, {}),
        (SSIMAutoencoderSegmenter, {"smoothing": 60}),  # Its radius exceeds the image.
        (SSIMAutoencoderSegmenter, {**PLAIN, "residual_params": {"window_size": 15}}),
        (SSIMAutoencoderSegmenter, {**FAR, "residual_params": {"window": "gaussian", "gamma": 2}}),
        (SSIMAutoencoderSegmenter, {**FAR, "absolute_weight": 3}),
        (SSIMAutoencoderSegmenter, {**FAR, "test_time_augmentation": "dihedral"}),
        (SSIMAutoencoderSegmenter, {**FAR, "inference_batch_size": 3}),
        *(
            (VariationalAutoencoderSegmenter, {**FAR, "residual": residual})
            for residual in ("reconstruction_error", "kl", "euclidean", "bhattacharyya")
        ),
        (
            VariationalAutoencoderSegmenter,
            {**PLAIN, "test_time_augmentation": "dihedral", "n_samples": 1},
        ),
    ],
)
def test_whatever_is_set(fitted, image, cls, params):
    check_equals_whole(fitted(cls, **params), image, 29)


def region(shape, kind):
    """Return a mask of inspected pixels."""
    rows, columns = np.indices(shape)
    if kind == "ring":
        distance = np.hypot(rows - shape[0] / 2, columns - shape[1] / 2)
        return (distance > 9) & (distance < 19)
    if kind == "corner":
        return (rows > 19) & (columns > 29)
    # Scattered patches of pixels.
    noise = np.random.default_rng(0).random(shape)
    return ndimage.gaussian_filter(noise, 1.5) > np.quantile(noise, 0.52)


@pytest.mark.parametrize("kind", ["ring", "corner", "scattered"])
@pytest.mark.parametrize("block_size", [9, 24])
def test_a_region_of_interest(segmenter_class, fitted, image, kind, block_size):
    mask = region(image.shape, kind)
    check_equals_whole(fitted(segmenter_class, **FAR), image, block_size, mask)
    # Pixels outside have no influence.
    other = np.where(mask, image, np.float32(0.3))
    segmenter = fitted(segmenter_class, **PLAIN)
    for one, two in zip(
        segmenter.segment_blocks(image, block_size=block_size, roi=mask),
        segmenter.segment_blocks(other, block_size=block_size, roi=mask),
        strict=True,
    ):
        np.testing.assert_array_equal(one.residual_map, two.residual_map)


@pytest.mark.parametrize("kind", ["ring", "scattered"])
@pytest.mark.parametrize("area", [0, 6])
@pytest.mark.parametrize("block_size", [5, 16])
def test_regions_within_a_region_of_interest(kind, area, block_size):
    rng = np.random.default_rng(1)
    image = ndimage.gaussian_filter(rng.random((40, 51)), 1).astype(np.float32)
    mask = region(image.shape, kind)
    assert kind == "ring" or min(np.bincount(ndimage.label(mask)[0].ravel())) < 6
    segmenter = Given(opening_diameter=3, min_region_area=area, radius=2)
    opened = segmenter._open(image, mask)
    segmenter.extent_threshold_ = float(np.quantile(opened[mask], 0.4))
    segmenter.threshold_ = float(np.quantile(opened[mask], 0.9))
    (expected,) = segmenter.predict([image], roi=mask)
    assert 0 < expected.sum() < mask.sum()
    _, marked, score = put_together(segmenter, image, block_size, mask)
    np.testing.assert_array_equal(marked, expected)
    assert score == segmenter.score_images([image], roi=mask)[0]


def test_a_region_of_interest_is_read_in_parts(fitted, image):
    mask = OnDisk(region(image.shape, "corner").astype(np.uint8))
    blocks = fitted(L2AutoencoderSegmenter, **PLAIN).segment_blocks(image, block_size=10, roi=mask)
    assert sum(block.mask.size for block in blocks) == image.size
    sizes = [
        (rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in mask.parts
    ]
    assert sizes.count(image.size) == 1  # To find its bounding box, in strips of 1024 rows.


@pytest.mark.parametrize(
    ("roi", "error", "message"),
    [
        ("roi.png", TypeError, "roi must be one mask that can be sliced, .* got str instead"),
        (
            np.ones((41, 54)),
            ValueError,
            r"height and width of the image, \(41, 55\), got \(41, 54\)",
        ),
        (np.zeros((41, 55)), ValueError, "roi must mark at least one pixel"),
        (np.full((41, 55), np.nan), ValueError, r"roi\[0:41, 0:55\] must contain .* finite"),
    ],
)
def test_bad_regions_of_interest(fitted, image, roi, error, message):
    with pytest.raises(error, match=message):
        fitted(L2AutoencoderSegmenter).segment_blocks(image, roi=roi)


@pytest.mark.parametrize("block_size", [1, 7, 16, 1000])
@pytest.mark.parametrize("radius", [0, 2])
@pytest.mark.parametrize("area", [0, 6])
def test_regions_across_borders_are_those_of_the_whole(block_size, radius, area):
    # Winding regions that cross many blocks; in some only a single pixel exceeds the threshold.
    rng = np.random.default_rng(radius)
    image = ndimage.gaussian_filter(rng.random((40, 51)), 1).astype(np.float32)
    segmenter = Given(opening_diameter=0, min_region_area=area, radius=radius)
    opened = segmenter._open(image)
    segmenter.extent_threshold_ = float(np.quantile(opened, 0.55))
    segmenter.threshold_ = float(np.quantile(opened, 0.985))
    (expected,) = segmenter.predict([image])
    n_kept = ndimage.label(expected)[1]
    assert 0 < n_kept < ndimage.label(opened > segmenter.extent_threshold_)[1] or radius
    _, mask, score = put_together(segmenter, image, block_size)
    np.testing.assert_array_equal(mask, expected)
    assert score == segmenter.score_images([image])[0]
    assert (score > segmenter.threshold_) == expected.any()
    segmenter.threshold_ = score  # Nothing exceeds it.
    assert not put_together(segmenter, image, block_size)[1].any()


@pytest.mark.parametrize("block_size", [11, 24])
def test_the_default_verdict_in_blocks(segmenter_class, tiny, good, block_size):
    segmenter = segmenter_class(**tiny, smoothing=1, target_fpr=0.9, extent_fpr=0.3).fit(good)
    for rule in ("half_peak", "pixel_fpr"):
        segmenter.set_params(extent_threshold=rule).calibrate(good)
        assert segmenter.extent_threshold_ < segmenter.threshold_
        image = good[segmenter.score_images(good).argmax()]
        (expected,) = segmenter.predict([image])
        assert expected.any()
        mask = put_together(segmenter, image, block_size)[1]
        np.testing.assert_array_equal(mask, expected)


def test_blocks_of_a_pixel(fitted, image):
    check_equals_whole(fitted(L2AutoencoderSegmenter, **FAR), image[:16, -17:], 1)


def test_windows_that_the_halo_just_reaches(fitted, image):
    # The window of SSIM around pixel 11, the last of a block, ends with pixel 16, where another
    # patch begins.
    check_equals_whole(fitted(SSIMAutoencoderSegmenter, **PLAIN | {"stride": 16}), image, 12)


def test_an_automatic_stride(fitted, image):
    check_equals_whole(fitted(SSIMAutoencoderSegmenter, **PLAIN | {"stride": "auto"}), image, 12)


def test_flat_images(fitted):
    # The part of an image that a block reads must not change the rounding of SSIM.
    image = np.full((40, 64), 0.02, dtype=np.float32)
    image[:, 32:] = 0.98
    check_equals_whole(fitted(SSIMAutoencoderSegmenter, **PLAIN), image, 16)


class OnDisk:
    """Image that can only be sliced, and records the slices."""

    def __init__(self, pixels):
        self._pixels = pixels
        self.shape = pixels.shape
        self.parts = []

    def __getitem__(self, part):
        assert len(part) == 2
        assert all(type(axis.start) is type(axis.stop) is int for axis in part)
        self.parts.append(part)
        return self._pixels[part]

    def __array__(self, *args, **kwargs):
        raise AssertionError("The whole image must not be read.")


def test_little_is_read_at_a_time(fitted):
    image = OnDisk(np.random.default_rng(0).integers(0, 256, (150, 200), dtype=np.uint8))
    segmenter = fitted(L2AutoencoderSegmenter, **FAR)
    blocks = segmenter.segment_blocks(image, block_size=20)
    assert not image.parts
    for n_read in range(1, 11):
        next(blocks)
        assert len(image.parts) == n_read
    # The radii of disk and Gaussian, and patches that cover one pixel more.
    longest = 20 + 2 * (4 + 4 + 15)
    sides = [axis.stop - axis.start for part in image.parts for axis in part]
    assert max(sides) <= longest


@pytest.mark.parametrize(
    "convert",
    [
        lambda colour: (255 * colour).astype(np.uint8),
        lambda colour: (65535 * colour).astype(np.uint16),
        lambda colour: np.dstack([colour, np.ones_like(colour[..., 0])]),
        lambda colour: colour.astype(np.float64),
    ],
    ids=["uint8", "uint16", "alpha", "float64"],
)
def test_colours_and_types(tiny, convert):
    colour = np.random.default_rng(0).random((3, 40, 32, 3), dtype=np.float32)
    segmenter = L2AutoencoderSegmenter(**tiny).fit(colour)
    check_equals_whole(segmenter, convert(colour[0]), 25)


def test_memmap(fitted, image, tmp_path):
    np.save(tmp_path / "image.npy", (255 * image).astype(np.uint8))
    stored = np.load(tmp_path / "image.npy", mmap_mode="r")
    segmenter = fitted(SSIMAutoencoderSegmenter)
    maps = np.lib.format.open_memmap(
        tmp_path / "maps.npy", mode="w+", dtype=np.float32, shape=image.shape
    )
    for block in segmenter.segment_blocks(stored, block_size=30):
        maps[block.rows, block.columns] = block.residual_map
    maps.flush()
    expected = segmenter.decision_function([np.asarray(stored)])[0]
    np.testing.assert_allclose(np.load(tmp_path / "maps.npy"), expected, rtol=1e-5, atol=1e-5)


def test_zarr(fitted, image, tmp_path):
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    folder = zarr.open_group(tmp_path / "image.zarr", mode="w")
    stored = folder.create_array("image", shape=image.shape, chunks=(16, 16), dtype="uint8")
    stored[:] = (255 * image).astype(np.uint8)
    masks = folder.create_array("mask", shape=image.shape, chunks=(16, 16), dtype="bool")
    segmenter = fitted(SSIMAutoencoderSegmenter, threshold=0.7)
    for block in segmenter.segment_blocks(stored, block_size=32):
        masks[block.rows, block.columns] = block.mask
    expected = segmenter.predict([stored[:]])[0]
    assert expected.any()
    np.testing.assert_array_equal(masks[:], expected)


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "must be finite, got NaN"), (1.5, r"must have floats in \[0, 1\], got .* to 1.5")],
)
def test_bad_pixels_are_found_where_they_are(fitted, image, value, message):
    bad = image.copy()
    bad[35, 50] = value
    blocks = fitted(L2AutoencoderSegmenter, **PLAIN).segment_blocks(bad, block_size=20)
    assert len(list(islice(blocks, 2))) == 2
    with pytest.raises(ValueError, match=rf"^image\[11:41, 11:55\] {message}"):
        list(blocks)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        ("scan.tif", TypeError, "image must be one image that can be sliced, .* got str instead"),
        ([[0.5] * 40] * 40, TypeError, "image that can be sliced, .* got list instead"),
        (np.zeros(40), ValueError, r"shape \(h, w\) or \(h, w, c\), got \(40,\) instead"),
        (np.zeros((5, 40, 40)), ValueError, r"have 1 channel .* got 40 instead \(shape \(5,"),
        (np.zeros((40, 40, 3)), ValueError, r"have 1 channel .* got 3"),
        (np.zeros((40, 15)), ValueError, r"at least patch_size=16 pixels .* got shape \(40, 15\)"),
    ],
)
def test_bad_images(fitted, image, error, message):
    with pytest.raises(error, match=message):
        fitted(L2AutoencoderSegmenter).segment_blocks(image)


def test_bad_parameters(fitted, image):
    segmenter = fitted(L2AutoencoderSegmenter)
    for block_size in (0, 2.5, "all"):
        with pytest.raises(
            ValueError, match=rf"block_size must be an integer .* got {block_size!r} instead"
        ):
            segmenter.segment_blocks(image, block_size=block_size)
    resizing = clone(segmenter).set_params(image_size=32).fit([image])
    with pytest.raises(ValueError, match=r"image_size=\(32, 32\) resizes images as a whole"):
        resizing.segment_blocks(image)
    segmenter.set_params(threshold="pixel_fpr")
    with pytest.raises(NotFittedError, match="has not been calibrated"):
        segmenter.segment_blocks(image)
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        L2AutoencoderSegmenter().segment_blocks(image)


class MeanError(nn.Module):
    """Loss whose residual is the mean of the image everywhere."""

    def forward(self, output, target):
        return (output - target).square().mean()

    def residual_map(self, image, reconstruction):
        error = (image - reconstruction).square().mean(dim=1)
        return error.mean(dim=(1, 2), keepdim=True).expand_as(error)


class MeanSegmenter(BaseAutoencoderSegmenter):
    """Segment by the mean error.

    Parameters
    ----------
    {parameters}
    """

    def make_loss(self):
        return MeanError()


def test_a_loss_must_say_how_far_it_sees(tiny, good):
    segmenter = MeanSegmenter(**tiny).fit(good)
    assert segmenter.predict(good).shape == good.shape
    with pytest.raises(
        TypeError, match=r"MeanSegmenter must say .* attribute residual_radius of its loss"
    ):
        segmenter.segment_blocks(good[0])
