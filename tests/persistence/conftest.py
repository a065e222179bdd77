import copy

import onnx
import pytest

from sk_ssimae import (
    AdversarialAutoencoderSegmenter,
    FeatureMatchingAutoencoderSegmenter,
    GenerativeAdversarialSegmenter,
    L1AutoencoderSegmenter,
    L2AutoencoderSegmenter,
    MultiScaleSSIMAutoencoderSegmenter,
    SSIMAutoencoderSegmenter,
    VariationalAutoencoderSegmenter,
)
from sk_ssimae.persistence import OnnxSegmenter, export_onnx, save
from sk_ssimae.persistence._container import pack, read_header, read_tensors
from sk_ssimae.persistence._onnx import _file


@pytest.fixture(scope="session")
def trained(tiny, good):
    """Train one segmenter of each family."""
    named = {"feature_extractor": "efficientnet-lite0"}
    segmenters = [
        SSIMAutoencoderSegmenter(
            **tiny,
            window_size=7,
            window="gaussian",
            gamma=2,
            residual_params={"c2": 3e-3},
            absolute_weight=0.5,
        ),
        MultiScaleSSIMAutoencoderSegmenter(**tiny, window_size=5, window="gaussian"),
        L2AutoencoderSegmenter(**tiny, normalization=None),
        L1AutoencoderSegmenter(**tiny),
        VariationalAutoencoderSegmenter(**tiny, n_samples=2, n_posteriors=20),
        FeatureMatchingAutoencoderSegmenter(**tiny, **named),
        AdversarialAutoencoderSegmenter(**tiny),
        GenerativeAdversarialSegmenter(**tiny),
    ]
    return {type(segmenter): segmenter.fit(good) for segmenter in segmenters}


@pytest.fixture
def ssim(trained):
    """Return a fitted SSIM segmenter that a test may change."""
    return copy.deepcopy(trained[SSIMAutoencoderSegmenter])


@pytest.fixture
def segmenter(trained, segmenter_class):
    """Return a fitted segmenter of each family that a test may change."""
    return copy.deepcopy(trained[type(segmenter_class())])


@pytest.fixture(scope="session")
def content(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("persistence") / "a"
    save(trained[SSIMAutoencoderSegmenter], path)
    return path.read_bytes()


@pytest.fixture
def saved(content, tmp_path):
    """Write a file of `ssim`."""
    path = tmp_path / "saved.safetensors"
    path.write_bytes(content)
    return path


@pytest.fixture(scope="session")
def images(defective):
    """Return an image of a few patches, with defects."""
    return defective[0][:1, 8:32, 8:40]


@pytest.fixture
def forge():
    """Change the content of a file and correct its checksum."""

    def forge(path, change):
        with path.open("rb") as file:
            document = read_header(file).document
            tensors = read_tensors(file)
        change(document, tensors)
        path.write_bytes(pack(document, tensors))

    return forge


@pytest.fixture(scope="session")
def exports(trained, tmp_path_factory):
    """Return the content of the ONNX files of two families by class."""
    path = tmp_path_factory.mktemp("onnx") / "a.onnx"
    found = {}
    for cls in (SSIMAutoencoderSegmenter, VariationalAutoencoderSegmenter):
        export_onnx(trained[cls], path)
        found[cls] = path.read_bytes()
    return found


@pytest.fixture(params=[SSIMAutoencoderSegmenter, VariationalAutoencoderSegmenter])
def export(exports, request):
    return exports[request.param]


@pytest.fixture
def change_export():
    """Return an export with another model and document, and the right checksum."""

    def change_export(content, change=lambda model: None, **of_document):
        model, document = onnx.load_from_string(content), _file.read_document(content)
        del model.metadata_props[:]
        change(model)
        return _file.pack(model.SerializeToString(), document | of_document)

    return change_export


@pytest.fixture
def refusal(tmp_path):
    """Load an export: return the error, which names the file and is short, or None."""
    path = tmp_path / "a.onnx"

    def refusal(content):
        path.write_bytes(content)
        try:
            OnnxSegmenter(path, n_threads=1)
        except ValueError as error:
            text, cause = str(error), error.__cause__
            assert text.startswith(f"{str(path)!r} cannot be loaded: ")
            assert len(text) < 1000
            assert cause is None or len(str(cause)) < 1000
            return text
        return None

    return refusal
