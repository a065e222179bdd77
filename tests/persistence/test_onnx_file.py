"""Corrupted, foreign and hostile ONNX files: a clear error, no code, no other file."""

import json
import re

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from sk_ssimae import SSIMAutoencoderSegmenter, VariationalAutoencoderSegmenter
from sk_ssimae.persistence import OnnxSegmenter, save
from sk_ssimae.persistence._onnx._file import pack, read_document
from sk_ssimae.persistence._onnx._nodes import OPERATORS
from sk_ssimae.persistence._onnx._settings import FORMAT, FORMAT_VERSION


def refused(path, message):
    """Match an error that names the file."""
    return pytest.raises(
        ValueError, match=rf"{re.escape(repr(str(path)))} cannot be loaded: {message}"
    )


@pytest.fixture
def path(exports, tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(exports[SSIMAutoencoderSegmenter])
    return path


def forge(path, change_model=lambda model: None, change_document=lambda document: None):
    """Change the content of a file and correct its checksum."""
    content = path.read_bytes()
    model, document = onnx.load_from_string(content), read_document(content)
    del model.metadata_props[:]
    change_model(model)
    change_document(document)
    path.write_bytes(pack(model.SerializeToString(), document))


def test_the_file_is_an_onnx_model_with_one_document(path):
    model = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node} <= OPERATORS.keys()
    (entry,) = model.metadata_props
    assert entry.key == FORMAT
    assert json.loads(entry.value)["patch_size"] == 16
    content = path.read_bytes()
    forge(path)
    assert path.read_bytes() == content


def test_any_flipped_bit_is_noticed(path):
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    start = content.index(FORMAT.encode())
    positions = [*range(8), *rng.integers(0, start, 20), *rng.integers(start, len(content), 60)]
    for position in map(int, positions):
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with refused(path, "."):
            OnnxSegmenter(path)


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.9, 0.9999])
def test_cut_file(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with refused(path, ".* or it was truncated"):
        OnnxSegmenter(path)


def test_appended_metadata(path):
    model = onnx.load(path)
    helper.set_model_props(model, {**{p.key: p.value for p in model.metadata_props}, "b": "c"})
    onnx.save(model, path)
    with refused(path, "checksum mismatch: .* or another program changed it"):
        OnnxSegmenter(path)


def test_foreign_files(path, ssim):
    for content in (b"GIF89a" + bytes(50), b"{}" * 20, bytes(100), b"\x08\xff\xff", b"\xff" * 99):
        path.write_bytes(content)
        with refused(path, ".*is not a file of export_onnx"):
            OnnxSegmenter(path)
    with pytest.raises(ValueError, match=r"path must not hold a null character, got 'a\\x00' "):
        OnnxSegmenter("a\0")
    save(ssim, path)
    with refused(path, "it is not a file of export_onnx"):
        OnnxSegmenter(path)
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])]
    onnx.save(helper.make_model(helper.make_graph([], "a", inputs, inputs)), path)
    with refused(path, f"its metadata lack '{FORMAT}'"):
        OnnxSegmenter(path)


def test_newer_format(path):
    forge(path, change_document=lambda document: document.update(version=FORMAT_VERSION + 1))
    with refused(path, r"it was written by a newer sk_ssimae \(format 2; .* up to 1\): upgrade"):
        OnnxSegmenter(path)


REFUSED_DOCUMENTS = [
    ({"format": "other"}, "its document must be of format 'sk_ssimae.onnx'"),
    ({"secret": 1}, "its document must not have secret"),
    ({"stride": 17}, r"its stride must be an integer in \[1, 17\), got 17"),
    ({"stride": 1.5}, "its stride must be an integer"),
    ({"n_channels": 0}, "its n_channels must be an integer"),
    ({"inference_batch_size": "1"}, "its inference_batch_size must be an integer"),
    ({"opening_diameter": -1}, "its opening_diameter must be an integer"),
    ({"threshold": "high"}, "its threshold must be a finite number"),
    ({"extent_threshold": 1e9}, "its extent_threshold must be a finite number"),
    ({"half_peak": 1}, "its half_peak must be true or false"),
    ({"min_region_area": -1}, "its min_region_area must be an integer"),
    ({"taper": -0.1}, r"its taper must be a finite number in \[0, 1\], got -0.1"),
    ({"taper": 1.5}, r"its taper must be a finite number in \[0, 1\], got 1.5"),
    ({"smoothing": -1}, "its smoothing must be a finite number in"),
    ({"test_time_augmentation": "all"}, "its test_time_augmentation must be null or 'dihedral'"),
    ({"image_size": 20}, "its image_size must be two integers or null"),
    ({"image_size": [20, 15]}, r"its image_size must be an integer in \[16"),
    ({"calibration": 3}, "its calibration must be an object or null"),
    ({"versions": None}, "its versions must be an object of texts, got None"),
    ({"residual": None}, "its residual must be of a kind among"),
    ({"residual": {"kind": ["l2"]}}, "its residual must be of a kind among"),
    ({"residual": {"kind": "likelihood", "variance": 1}}, "its residual must have n_samples, no"),
    (
        {"residual": {"kind": "divergence"}},
        "its settings describe a network from .*noise.* but its graph has other",
    ),
    ({"patch_size": 32}, "its settings describe a network from .*32"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED_DOCUMENTS)
def test_forged_documents(path, change, message):
    forge(path, change_document=lambda document: document.update(change))
    with refused(path, message):
        OnnxSegmenter(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": [0.5, 0.5]}, "its kernel must be an odd number of weights"),
        ({"kernel": [0.5, 0.5, 0.5]}, "its kernel must have the sum 1, got 1.5"),
        ({"kernel": [2, -2, 1]}, "its kernel must be a finite number of at least 0"),
        ({"c2": 0}, "its c2 must be a finite number"),
        ({"gamma": -1}, "its gamma must be a finite number in"),
        ({"alpha": True}, "its alpha must be a finite number"),
    ],
)
def test_forged_residuals(path, change, message):
    forge(path, change_document=lambda document: document["residual"].update(change))
    with refused(path, message):
        OnnxSegmenter(path)


def test_forged_samples(path, exports):
    for change in ({"noise_key": 2**64}, {"n_samples": 0}, {"variance": 0}):
        path.write_bytes(exports[VariationalAutoencoderSegmenter])
        forge(path, change_document=lambda d, change=change: d["residual"].update(change))
        with refused(path, f"its {next(iter(change))} must be"):
            OnnxSegmenter(path)


def test_operators_that_others_bring(path):
    def rename(model):
        model.graph.node[0].domain = "com.example"

    forge(path, rename)
    with refused(
        path, "its graph must contain only operators .*, got 'Conv' of the domain 'com.ex"
    ):
        OnnxSegmenter(path)


def test_operators_that_are_never_written(path):
    def add_branches(model):
        branch = helper.make_graph([], "branch", [], [])
        model.graph.node.append(
            helper.make_node("If", ["a"], [], then_branch=branch, else_branch=branch)
        )

    forge(path, add_branches)
    with refused(path, "its graph must contain only operators that export_onnx writes, got 'If'"):
        OnnxSegmenter(path)


def test_weights_in_another_file(path, monkeypatch):
    """ONNX Runtime would read them from the working directory."""
    monkeypatch.chdir(path.parent)

    def move(model):
        weights = model.graph.initializer[0]
        (path.parent / "weights.bin").write_bytes(numpy_helper.to_array(weights).tobytes())
        weights.ClearField("raw_data")
        weights.data_location = onnx.TensorProto.EXTERNAL
        weights.external_data.add(key="location", value="weights.bin")

    forge(path, move)
    with refused(path, "its constant has fields that export_onnx never writes"):
        OnnxSegmenter(path)


def test_functions_that_stand_for_operators(path):
    def redefine(model):
        nodes = [helper.make_node("Identity", ["x"], ["y"])]
        opsets = [helper.make_opsetid("", 15)]
        model.functions.append(helper.make_function("", "Conv", ["x"], ["y"], nodes, opsets))

    forge(path, redefine)
    with refused(path, "its model has fields that export_onnx never writes"):
        OnnxSegmenter(path)


HIDDEN = {
    "six bytes": b"\xa2\x80\x80\x80\x80\x02\x04Loop",  # The key 4 << 3 | 2, plus 2**36.
    "32 bits": b"\xa2\x80\x80\x80\x10\x04Loop",  # The same, plus 2**32.
    "overlong": b"\xa2\x80\x80\x80\x80\x00\x04Loop",  # The same key in six bytes.
    "number 0": b"\x02\x04Loop",
}


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
def test_keys_that_parsers_truncate(path, hidden):
    """A node checked as Identity ran as Loop: its second operator had a key beyond 32 bits."""
    content = path.read_bytes()
    model, document = onnx.load_from_string(content), read_document(content)
    del model.metadata_props[:]
    whole = model.SerializeToString()
    path.write_bytes(pack(whole + hidden, document))
    with refused(path, "it is not a file of export_onnx, or it was truncated"):
        OnnxSegmenter(path)
    node = onnx.NodeProto(op_type="Identity").SerializeToString() + hidden
    graph = bytes([1 << 3 | 2, len(node)]) + node
    second = bytes([7 << 3 | 2, len(graph)]) + graph
    path.write_bytes(pack(whole + second, document))
    with refused(path, "it must contain one graph, got 2 instead"):
        OnnxSegmenter(path)


def test_attributes_and_nodes_that_are_never_written(path):
    def document(model):
        model.graph.node[0].doc_string = "more"

    forge(path, document)
    with refused(path, "its node has fields that export_onnx never writes"):
        OnnxSegmenter(path)


def test_texts_among_the_attributes(path):
    def text(model):
        model.graph.node[0].attribute[0].s = b"more"

    forge(path, text)
    with refused(path, "its attribute has fields that export_onnx never writes"):
        OnnxSegmenter(path)


def test_numbers_of_weights_that_are_never_written(path):
    forge(path, lambda model: model.graph.initializer[0].float_data.append(1.0))
    with refused(path, "its constant has fields that export_onnx never writes"):
        OnnxSegmenter(path)


def test_sparse_weights(path):
    forge(path, lambda model: model.graph.sparse_initializer.add())
    with refused(path, "its graph has fields that export_onnx never writes"):
        OnnxSegmenter(path)


def test_graphs_that_do_not_compute(path):
    def disconnect(model):
        model.graph.node[3].input[0] = "nowhere"

    forge(path, disconnect)
    with refused(path, "its graph takes 'nowhere' before it is computed"):
        OnnxSegmenter(path)
