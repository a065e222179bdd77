"""Features of networks in ONNX files."""

import copy
import pickle
import sys

import numpy as np
import pytest
import torch
from torch import nn

from sk_ssimae import FeatureDictionarySegmenter, FeatureMatchingAutoencoderSegmenter
from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.model_selection._tuning._folder import describe_segmenter
from sk_ssimae.persistence import load, save

onnx = pytest.importorskip("onnx", reason="belongs to the extra onnx")
pytest.importorskip("onnxruntime", reason="belongs to the extra onnx")

GOOD = make_woven_fabric(4, shape=(48, 56), random_state=0)
FEW = {"dictionary_size": 20, "n_components": 5, "random_state": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), nn.ReLU(), nn.Conv2d(6, 5, 1)).eval()


def write(network, path, size=("h", "w")):
    """Write the network by hand: torch's exporter needs a further package."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    weights = [
        numpy_helper.from_array(tensor.detach().numpy(), name)
        for name, tensor in network.state_dict().items()
    ]
    nodes = [
        helper.make_node("Conv", ["image", "0.weight", "0.bias"], ["conv"], strides=[4, 4]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("Conv", ["relu", "2.weight", "2.bias"], ["features"]),
    ]
    of_type = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", of_type, ["n", 3, *size])],
        [helper.make_tensor_value_info("features", of_type, ["n", 5, None, None])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.fixture
def path(network, tmp_path):
    return write(network, tmp_path / "network.onnx")


def fit(path, **params):
    return FeatureDictionarySegmenter(feature_extractor=path, **(FEW | params)).fit(GOOD)


@pytest.mark.parametrize("layers", [None, ("relu", "features"), ("conv",)])
def test_features_equal_those_of_torch(network, path, layers):
    segmenter = fit(path, layers=layers, normalization=None)
    features = segmenter.compute_features(GOOD[0][..., np.newaxis])
    with torch.no_grad():
        pixels = torch.from_numpy(GOOD[:1])[:, None].expand(-1, 3, -1, -1)
        outputs = {"conv": network[:1], "relu": network[:2], "features": network}
        expected = [outputs[name](pixels)[0] for name in layers or ("features",)]
    expected = torch.cat(expected).permute(1, 2, 0)
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_pickles_and_model_files(network, path, tmp_path):
    segmenter = fit(str(path), layers=("relu",))
    maps = segmenter.decision_function(GOOD)
    save(segmenter, tmp_path / "m")
    again, loaded = pickle.loads(pickle.dumps(segmenter)), load(tmp_path / "m", device="cpu")
    np.testing.assert_array_equal(loaded.decision_function(GOOD), maps)
    other = nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), nn.ReLU(), nn.Conv2d(6, 5, 1))
    write(other, path)
    with pytest.raises(ValueError, match="must have the weights that it had in fit, but has other"):
        load(tmp_path / "m", device="cpu").predict(GOOD)
    path.unlink()
    np.testing.assert_array_equal(again.decision_function(GOOD), maps)  # It contains the network.


def test_a_network_of_one_size_takes_subregions(network, tmp_path):
    path = write(network, tmp_path / "network.onnx", size=(16, 16))
    with pytest.raises(ValueError, match=r"cannot process images \(1, 3, .*set subregions to its"):
        fit(path, layers=None)
    # With a threshold, all images are whole: none is divided into bands.
    whole = {"image_size": 16, "padding": 0, "threshold": 1.0}
    for params in ({"subregions": (8, 8, 16)}, whole):
        assert fit(path, layers=None, **params).predict(GOOD).shape == GOOD.shape


def test_blocks_are_refused(path):
    segmenter = fit(path, layers=None)
    with pytest.raises(ValueError, match=r"block by block: OnnxFeatures may depend on the whole"):
        segmenter.segment_blocks(GOOD[0])


def test_wrong_files(path, tmp_path):
    with pytest.raises(FileNotFoundError, match="must name an existing ONNX file: there is no"):
        fit(tmp_path / "no.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(ValueError, match=r"feature_extractor: .*text.onnx' is not an ONNX file"):
        fit(tmp_path / "text.onnx")
    with pytest.raises(ValueError, match=r"layers must be names .* \['no'\], .* conv, relu, fea"):
        fit(path, layers=("no",))
    model = onnx.load(path)
    model.graph.input.append(
        onnx.helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, [1])
    )
    onnx.save(model, tmp_path / "two.onnx")
    with pytest.raises(ValueError, match=r"must have one input, .* got the inputs \['image', 'mo"):
        fit(tmp_path / "two.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_names_the_extra(path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    message = rf'ONNX file needs {package}\. Run pip install "\.\[onnx\]"'
    with pytest.raises(ImportError, match=message):
        FeatureDictionarySegmenter(feature_extractor=path).fit(["no-such-file.png"])


def test_autoencoders_refuse_them(path):
    """Their loss needs gradients."""
    segmenter = FeatureMatchingAutoencoderSegmenter(
        feature_extractor=path, patch_size=16, stride=16, n_patches=16, max_epochs=1
    )
    with pytest.raises(ValueError, match="does not contain the expected weights"):
        segmenter.fit(GOOD)


def test_a_tuning_tells_networks_of_one_name_apart(network, path):
    segmenter = FeatureDictionarySegmenter(feature_extractor=path, **FEW)
    first = describe_segmenter(segmenter)
    assert describe_segmenter(segmenter) == first
    other = copy.deepcopy(network)
    with torch.no_grad():
        other[0].bias.add_(1)
    write(other, path)
    assert describe_segmenter(segmenter) != first
    path.unlink()
    with pytest.raises(FileNotFoundError):
        describe_segmenter(segmenter)
