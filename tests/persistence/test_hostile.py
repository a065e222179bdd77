"""Hostile values everywhere in a document: the file loads, or a short error is raised."""

import copy
import itertools
import json
import math
import re
import time

import numpy as np
import pytest
from hostile import HUGE, VALUES, exchanged, paths

from sk_ssimae import SSIMAutoencoderSegmenter, VariationalAutoencoderSegmenter
from sk_ssimae.persistence import _checks, _container, load, save

LONGEST_MESSAGE = 1000
N_SHARES = 29  # Of all pairs of a path and a value; without `-m slow` one is tried.
LITERALS = {
    "NaN": "NaN is no number of JSON",
    "-Infinity": "-Infinity is no number of JSON",
    "1e999": "must have numbers of at most 1.79769e",
    "9" * 5000: "its document is not JSON",
    "[" * 100_000 + "]" * 100_000: "its document is not JSON|have at most 20 levels",
    '{"a": 1, "a": 2}': "'a' occurs twice in one object",
    "x": "its document is not JSON",
}


@pytest.fixture(scope="module")
def documents(trained, tmp_path_factory):
    """Return document and tensors of two families by class, as of a file."""
    path = tmp_path_factory.mktemp("hostile") / "a"
    found = {}
    for cls in (SSIMAutoencoderSegmenter, VariationalAutoencoderSegmenter):
        save(trained[cls], path)
        with path.open("rb") as file:
            found[cls] = _container.read_header(file).document, _container.read_tensors(file)
    return found


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file that `save` refuses, with the right checksum."""
    path = tmp_path / "forged"

    def write(document, tensors, literal=None):
        dump = json.dumps

        def dump_literal(value, **_):
            return dump(value).replace('"literal"', literal or "")

        with monkeypatch.context() as patch:
            patch.setattr(_container, "_parse_document", lambda text: None)
            patch.setattr(_container.json, "dumps", dump_literal)
            path.write_bytes(_container.pack(document, tensors))
        return path

    return write


def outcome(path):
    """Return the error of loading a file, or None if a segmenter is loaded that can be used."""
    try:
        segmenter = load(path, device="cpu")
    except ValueError as error:
        text = str(error)
        assert text.startswith(f"{str(path)!r} cannot be loaded: ")
        assert len(text) < LONGEST_MESSAGE
        cause = error.__cause__
        assert cause is None or len(str(cause)) < LONGEST_MESSAGE
        return text
    segmenter.check_parameters()
    assert len(repr(segmenter)) < 10_000
    if isinstance(segmenter.threshold, float):
        assert math.isfinite(segmenter.threshold_)
    return None


SHARES = [0, *(pytest.param(share, marks=pytest.mark.slow) for share in range(1, N_SHARES))]


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("cls", [SSIMAutoencoderSegmenter, VariationalAutoencoderSegmenter])
def test_every_value_of_a_document_exchanged(documents, write, cls, share):
    document, tensors = documents[cls]
    pairs = list(itertools.product(paths(document), VALUES))
    for path, name in pairs[share::N_SHARES]:
        outcome(write(exchanged(document, path, VALUES[name]), tensors))


def test_posteriors_that_no_fit_keeps(documents, write):
    document, tensors = documents[VariationalAutoencoderSegmenter]
    name = "posteriors.log_variance"
    for value in (-20.5, 10.5):
        found = outcome(write(document, tensors | {name: np.full_like(tensors[name], value)}))
        assert "its log-variances of posteriors must be from -20 to 10" in found
    for count in (0, 100_001):
        found = outcome(write(document | {"n_posteriors": count}, tensors))
        assert "its n_posteriors must be an integer in" in found
    found = outcome(write(document | {"n_posteriors": 99_999}, tensors))
    assert "its document describes posteriors." in found


def test_a_megabyte_of_text(documents, write):
    document, tensors = documents[SSIMAutoencoderSegmenter]
    for path in [("class",), ("parameters", "lr"), ("history", 0, "epoch"), ("more",)]:
        for value in ("x" * 2**20, {"y" * 2**20: 1}):
            found = outcome(write(exchanged(document, path, value), tensors))
            assert "its document must have texts of at most 4096 characters" in found


def test_values_that_must_be_refused(documents, write):
    document, tensors = documents[SSIMAutoencoderSegmenter]
    expected = {
        ("parameters", "threshold"): {
            "huge": "its document must have numbers of at most 1.79769e",
            "long text": "its document must have texts of at most 4096 characters, got 'xxx",
            "nested": "its document must have at most 20 levels",
            "long key": "its document must have texts of at most 4096 characters, got 'yyy",
        },
        ("versions",): {
            "list": r"its versions must be an object of texts, got \[1\]",
            "dict": "its versions must be an object of texts, got {'x': 1}",
        },
        ("not_stored",): {
            "null": r"its not_stored must be a list of names among \['callbacks', .* got None",
            "list": r"its not_stored must be a list of names among \['callbacks', .* got \[1\]",
        },
        ("history", 0, "epoch"): {
            "missing": "its history must have the number of an epoch and no batches in each row",
            "true": "its history must have the number of an epoch",
        },
        ("calibration", "n_held_out"): {"true": "its n_held_out must be an integer in"},
        ("calibration", "parameters", "dict", "stride"): {
            "0": "The 'stride' parameter of calibration",
            "missing": "its calibration must have stride",
        },
        ("parameters", "image_size"): {"long tuple": "it holds a value that this version does"},
        ("parameters", "random_state"): {"no device": "Expected one of cpu, .*|Invalid device"},
    }
    for path, messages in expected.items():
        for name, message in messages.items():
            found = outcome(write(exchanged(document, path, VALUES[name]), tensors))
            assert re.search(f"cannot be loaded: ({message})", found), (path, name, found)


@pytest.mark.parametrize("literal", LITERALS, ids=lambda text: text[:20])
@pytest.mark.parametrize("path", [("parameters", "threshold"), ("versions", "numpy"), ("more",)])
def test_literals_that_are_not_read(documents, write, path, literal):
    document, tensors = documents[SSIMAutoencoderSegmenter]
    path = write(exchanged(document, path, "literal"), tensors, literal)
    assert re.search(LITERALS[literal], outcome(path))


@pytest.mark.parametrize("row", ["{}", "0", '{"epoch":1}', '""', "[[]]"])
def test_millions_of_epochs(documents, write, row):
    document, tensors = documents[SSIMAutoencoderSegmenter]
    n_rows = (_container._LARGEST_HEADER - 20_000) // (len(row) + 2 * row.count('"') + 1)
    literal = f"[{','.join([row] * min(n_rows, 5_000_000))}]"
    path = write(document | {"history": "literal"}, tensors, literal)
    start = time.perf_counter()
    assert re.search("must have at most 1000000 values, got about", outcome(path))
    assert time.perf_counter() - start < 5


def test_a_million_different_keys_take_no_longer(documents, write, monkeypatch):
    monkeypatch.setattr(_checks, "_MOST_VALUES", 10**7)
    document, tensors = documents[SSIMAutoencoderSegmenter]
    names = {f"k{n}": 0 for n in range(200_000)}
    start = time.perf_counter()
    assert "must not have k0, k1" in outcome(write(document | names, tensors))
    literal = f'{json.dumps(names)[:-1]}, "k199999": 0}}'
    assert "'k199999' occurs twice" in outcome(write(document | {"x": "literal"}, tensors, literal))
    assert time.perf_counter() - start < 5


HEADERS = {
    "long name": ({"n" * 2**20: {}}, "its header must have texts of at most 4096 characters"),
    "long type": ({"a": {"dtype": "F" * 2**20}}, "its header must have texts of at most 4096"),
    "huge shape": ({"a": {"shape": [HUGE]}}, "its header must have numbers of at most"),
    "huge end": (
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 10**300]}},
        r"it should have 10+\d* bytes and has \d+: it was truncated",
    ),
    "long shape": (
        {"a": {"dtype": "F32", "shape": [1] * 10**5, "data_offsets": [0, 4]}},
        "its document describes no a, but it contains a of F32 .*|checksum",
    ),
    "unknown entry": ({"a": [0] * 10**5}, "it declares 'a' in a way that safetensors does not"),
}


@pytest.mark.parametrize(("declared", "message"), HEADERS.values(), ids=HEADERS)
def test_headers(documents, tmp_path, declared, message):
    document = json.dumps({"sha256": "0" * 64, **documents[SSIMAutoencoderSegmenter][0]})
    raw = json.dumps({"__metadata__": {"sk_ssimae": document}, **declared}).encode()
    path = tmp_path / "forged"
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(4))
    assert re.search(message, outcome(path))


def test_a_header_as_long_as_allowed_is_read_in_bounded_time(tmp_path):
    text = json.dumps({"__metadata__": {"sk_ssimae": "x" * (_container._LARGEST_HEADER - 100)}})
    (tmp_path / "a").write_bytes(len(text).to_bytes(8, "little") + text.encode())
    assert "its document is not JSON" in outcome(tmp_path / "a")
    text = " " * (_container._LARGEST_HEADER + 1)
    (tmp_path / "a").write_bytes(len(text).to_bytes(8, "little") + text.encode())
    assert "it is not a file of sk_ssimae.persistence.save" in outcome(tmp_path / "a")


NUMBERS = ("threshold", "lr", "n_patches", "opening_diameter", "cutout", "alpha", "image_size")


@pytest.mark.parametrize("value", [True, 1, 1.0, 2.0, 0, -1, None, "1", "auto"])
def test_numbers_of_another_type_are_those_that_the_estimator_takes(documents, write, value):
    document, tensors = documents[SSIMAutoencoderSegmenter]
    segmenter = load(write(document, tensors))
    for name in NUMBERS:
        try:
            copy.copy(segmenter).set_params(**{name: value}).check_parameters()
            expected = None
        except ValueError as error:
            expected = str(error)
        found = outcome(write(exchanged(document, ("parameters", name), value), tensors))
        assert (found is None) == (expected is None), (name, found, expected)


def test_texts_that_cannot_be_read_back_are_not_written(ssim, tmp_path):
    for name, value in {"n_patches": HUGE, "random_state": -HUGE}.items():
        with pytest.raises((TypeError, ValueError), match=f"{name}"):
            save(copy.deepcopy(ssim).set_params(**{name: value}), tmp_path / "a")
    ssim.history_[-1]["note"] = "x" * 5000
    ssim.history_[-1]["many"] = tuple(range(2000))
    save(ssim, tmp_path / "a")
    assert not {"note", "many"} & load(tmp_path / "a").history_[-1].keys()
