"""Exports that ask for memory, time or anything that `export_onnx` never writes."""

import itertools
import json
import re
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hostile import VALUES, exchanged, paths
from onnx import helper, numpy_helper

from sk_ssimae import SSIMAutoencoderSegmenter, VariationalAutoencoderSegmenter
from sk_ssimae.persistence import OnnxSegmenter, export_onnx
from sk_ssimae.persistence._onnx import _file, _shapes
from sk_ssimae.persistence._onnx._file import pack, read_document
from sk_ssimae.persistence._onnx._settings import FORMAT

N_SHARES = 17  # Of all pairs of a path and a value; without `-m slow` one is tried.
RESET_PEAK, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


SHARES = [0, *(pytest.param(share, marks=pytest.mark.slow) for share in range(1, N_SHARES))]


@pytest.mark.parametrize("share", SHARES)
def test_every_value_of_a_document_exchanged(export, refusal, share, monkeypatch):
    monkeypatch.setattr(json, "dumps", lambda value, **_: json.JSONEncoder().encode(value))
    document = read_document(export)
    model = export[: -len(_file._metadata("0" * 64, document))]
    for path, name in list(itertools.product(paths(document), VALUES))[share::N_SHARES]:
        refusal(pack(model, exchanged(document, path, VALUES[name])))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": 10**400}, "its document must have numbers of at most 1.79769e"),
        ({"versions": [1]}, r"its versions must be an object of texts, got \[1\]"),
        ({"versions": {"a": 1}}, "its versions must be an object of texts"),
        ({"segmenter_class": "a b"}, "its segmenter_class must be the name of a class, got 'a b'"),
        ({"smoothing": 1001}, r"its smoothing must be a finite number in \[0, 1000\], got 1001"),
        ({"opening_diameter": 1001}, r"its opening_diameter must be an integer in \[0, 1001\)"),
        ({"calibration": {}}, "its calibration must have extent_threshold, good_deviation"),
        ({"patch_size": True}, "its patch_size must be an integer"),
        ({"patch_size": 16.0}, "its patch_size must be an integer"),
        ({"test_time_augmentation": "x" * 2**20}, "its document must have texts of at most 4096"),
    ],
)  # fmt: skip
def test_settings_have_the_bounds_of_the_estimator(
    exports, change_export, tmp_path, change, message
):
    path = tmp_path / "a.onnx"
    path.write_bytes(change_export(exports[SSIMAutoencoderSegmenter], **change))
    with pytest.raises(ValueError, match=message):
        OnnxSegmenter(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gamma": 101}, r"its gamma must be a finite number in \[0, 100\], got 101"),
        ({"c1": 1e-9}, r"its c1 must be a finite number in \[1e-06, 1e\+06\], got 1e-09"),
        (
            {"absolute_weight": -1},
            r"its absolute_weight must be a finite number in \[0, 1000\], got",
        ),
        ({"absolute_weight": 1001}, r"its absolute_weight must be a finite number in \[0, 1000\]"),
        ({"kernel": [1 / 17] * 17}, "its kernel must be .* at most patch_size=16"),
    ],
)
def test_residuals_have_the_bounds_of_the_estimator(
    exports, change_export, refusal, change, message
):
    content = exports[SSIMAutoencoderSegmenter]
    residual = read_document(content)["residual"] | change
    with pytest.raises(ValueError, match=message):
        _file.read_model(change_export(content, residual=residual))


def test_calibrations_have_the_values_of_calibrations(exports, change_export, refusal):
    content = exports[SSIMAutoencoderSegmenter]
    calibration = read_document(content)["calibration"]
    for change in ({"rule": []}, {"held_out": "all"}, {"target_fpr": 0}, {"n_held_out": True}):
        assert "its " in refusal(change_export(content, calibration=calibration | change))


def append(*nodes, **constants):
    """Return a change that appends nodes and constants to a graph."""

    def change(model):
        model.graph.node.extend(nodes)
        for name, array in constants.items():
            model.graph.initializer.append(numpy_helper.from_array(np.float32(array), name))

    return change


def adds(n_nodes, first, second):
    """Return nodes that add, each to the result of the one before."""
    names = [first, *(f"sum_{n}" for n in range(n_nodes))]
    return [helper.make_node("Add", [names[n], second], [names[n + 1]]) for n in range(n_nodes)]


ROW, COLUMN = np.zeros((1, 100_000)), np.zeros((100_000, 1))
ASKING_FOR_MEMORY = {
    "one product of constants": append(*adds(1, "row", "column"), row=ROW, column=COLUMN),
    "a chain": append(*adds(900, "patches", "more"), more=np.zeros((300, 1, 1))),
    "unfolded": append(
        *(
            helper.make_node(
                "ConvTranspose", ["patches", "kernel", "bias"], [f"out_{n}"],
                kernel_shape=[1000, 1000], strides=[1, 1], pads=[500] * 4,
            )
            for n in range(3)
        ),
        kernel=np.zeros((1, 3, 1000, 1000)), bias=np.zeros(3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", ASKING_FOR_MEMORY.values(), ids=ASKING_FOR_MEMORY)
def test_graphs_that_ask_for_memory(exports, change_export, refusal, change):
    found = refusal(change_export(exports[SSIMAutoencoderSegmenter], change))
    assert f"its graph must compute at most {2**31} values for a batch, got more with" in found


def test_a_batch_that_asks_for_memory(exports, change_export, refusal):
    found = refusal(change_export(exports[SSIMAutoencoderSegmenter], inference_batch_size=2**30))
    assert "got more with inference_batch_size=1073741824. If the file is your own" in found
    residual = read_document(exports[VariationalAutoencoderSegmenter])["residual"]
    residual["n_samples"] = 2**30
    found = refusal(change_export(exports[VariationalAutoencoderSegmenter], residual=residual))
    assert "its graph must compute at most" in found


def test_exports_that_could_not_be_loaded_are_not_written(ssim, tmp_path):
    ssim.set_params(inference_batch_size=2**30)
    with pytest.raises(ValueError, match="segmenter cannot be exported, because its graph must"):
        export_onnx(ssim, tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_large_networks_are_far_from_the_bound(monkeypatch, tmp_path):
    """Patches of the paper, with six samples of each: a twentieth of the bound."""
    patches = np.random.default_rng(0).random((2, 128, 128), dtype=np.float32)
    segmenter = VariationalAutoencoderSegmenter(
        patch_size=128,
        stride=128,
        n_patches=2,
        batch_size=2,
        max_epochs=1,
        random_state=0,
        threshold=1.0,
    ).fit(patches)
    monkeypatch.setattr(_shapes, "MOST_VALUES", 2**31 // 16)
    export_onnx(segmenter, tmp_path / "a.onnx")


def test_many_nodes(exports, change_export, refusal):
    nodes = [helper.make_node("Add", ["patches", "patches"], [f"x{n}"]) for n in range(100_000)]
    found = refusal(change_export(exports[SSIMAutoencoderSegmenter], append(*nodes)))
    assert re.search("its graph must have at most 1000 nodes, got 1000[0-9]{2} instead", found)


@pytest.mark.parametrize("field", [b"\x0a\x00", b"\x2a\x00", b"\x5a\x00"])
def test_memory_of_millions_of_empty_messages(exports, change_export, refusal, field):
    content = exports[SSIMAutoencoderSegmenter]
    model, document = onnx.load_from_string(content), read_document(content)
    graph = model.graph.SerializeToString() + field * 2**22
    model.ClearField("graph")
    del model.metadata_props[:]
    encoded = model.SerializeToString() + b"\x3a" + varint(len(graph)) + graph
    RESET_PEAK.write_text("5")
    before, start = peak_memory(), time.perf_counter()
    found = refusal(pack(encoded, document))
    assert "its graph must have at most 1000" in found
    assert peak_memory() - before < 30 * len(encoded) / 1024
    assert time.perf_counter() - start < 5


def peak_memory():
    """Return the peak memory of this process in KiB since the last reset."""
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def test_a_large_file_is_not_read(tmp_path):
    path = tmp_path / "a.onnx"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(
        ValueError, match=r"it must have at most 268435456 bytes, got 1099511627776"
    ):
        OnnxSegmenter(path)


def test_the_runtime_is_given_other_bytes(export, change_export, tmp_path, monkeypatch):
    """Names, the producer and everything unknown stay behind; results are the same."""
    given, session = [], onnxruntime.InferenceSession

    def listen(content, *args, **kwargs):
        given.append(content)
        return session(content, *args, **kwargs)

    def decorate(model):
        model.producer_name = "PRODUCER"
        model.graph.name = "GRAPH"
        for node in model.graph.node:
            node.name = "NODE"

    monkeypatch.setattr(onnxruntime, "InferenceSession", listen)
    for one in (export, change_export(export, decorate)):
        (tmp_path / "a.onnx").write_bytes(one)
        OnnxSegmenter(tmp_path / "a.onnx", n_threads=1)
    assert given[0] == given[1]
    assert not any(text in given[1] for text in (b"PRODUCER", b"GRAPH", b"NODE", FORMAT.encode()))
    onnx.checker.check_model(onnx.load_from_string(given[0]), full_check=True)
    expected = onnx.load_from_string(export)
    del expected.metadata_props[:]
    expected.ClearField("producer_name")
    assert onnx.load_from_string(given[0]) == expected


HIDDEN = [
    b"\xa2\x80\x80\x80\x80\x02\x04Loop",  # The key of an operator, plus 2**36.
    b"\xa2\x80\x80\x80\x10\x04Loop",  # The same, plus 2**32.
    b"\xa2\x80\x80\x80\x80\x00\x04Loop",  # The same key in six bytes.
    b"\x22\x04Loop",  # A second operator.
]


@pytest.mark.parametrize("hidden", HIDDEN)
def test_a_second_operator_in_a_node(exports, change_export, refusal, hidden):
    content = exports[SSIMAutoencoderSegmenter]
    model, document = onnx.load_from_string(content), read_document(content)
    del model.metadata_props[:]
    node = helper.make_node("Identity", ["patches"], ["x"]).SerializeToString() + hidden
    graph = model.graph.SerializeToString() + b"\x0a" + varint(len(node)) + node
    model.ClearField("graph")
    encoded = model.SerializeToString() + b"\x3a" + varint(len(graph)) + graph
    found = refusal(pack(encoded, document))
    assert "its node cannot be parsed" in found or "got 'Loop' of the domain ''" in found
