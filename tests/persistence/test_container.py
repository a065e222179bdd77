"""Corrupted, foreign and hostile files: a clear error, no code, bounded memory."""

import hashlib
import json
import pickle
import re
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
import safetensors.torch
import torch

from sk_ssimae import VariationalAutoencoderSegmenter
from sk_ssimae.persistence import load, save
from sk_ssimae.persistence._container import pack, read_header

RESET_PEAK = Path("/proc/self/clear_refs")


def refused(path, message):
    """Match an error that names the file."""
    return pytest.raises(
        ValueError, match=rf"{re.escape(repr(str(path)))} cannot be loaded: {message}"
    )


def header_length(path):
    with path.open("rb") as file:
        return int.from_bytes(file.read(8), "little")


def test_any_flipped_bit_is_noticed(saved):
    rng = np.random.default_rng(0)
    start, size = 8 + header_length(saved), saved.stat().st_size
    text = rng.choice(np.arange(8, start), 150, replace=False)
    positions = [*range(8), start - 1, *text, start, *rng.integers(start, size, 20), size - 1]
    with saved.open("r+b") as file:
        for position in map(int, positions):
            file.seek(position)
            (byte,) = file.read(1)
            for content in (byte ^ (1 << int(rng.integers(8))), byte):
                file.seek(position)
                file.write(bytes([content]))
                file.flush()
                if content != byte:
                    with refused(saved, "."):
                        load(saved)
    load(saved)


def test_whole_blocks_lost(saved):
    size = saved.stat().st_size
    with saved.open("r+b") as file:
        file.seek(size // 2)
        file.write(bytes(4096))
    with refused(saved, "checksum mismatch: the file is corrupted"):
        load(saved)


@pytest.mark.parametrize("share", [0.9999, 0.5, 0.01])
def test_cut_weights(saved, share):
    size = saved.stat().st_size
    with saved.open("r+b") as file:
        file.truncate(int(share * size))
    with refused(saved, rf"it should have {size} bytes and has .*: it was truncated"):
        load(saved)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 100, 5000])
def test_cut_header(saved, size):
    with saved.open("r+b") as file:
        file.truncate(size)
    with refused(saved, "it has . bytes: it was truncated or never|it is not a file .* truncated"):
        load(saved)


def test_appended_bytes(saved):
    size = saved.stat().st_size
    with saved.open("ab") as file:
        file.write(b"0")
    with refused(saved, rf"it should have {size} bytes and has {size + 1}: .* or extended"):
        load(saved)


class Malice:
    def __reduce__(self):
        return (exec, ("raise SystemExit('the file was run')",))


@pytest.mark.parametrize("write", [pickle.dump, joblib.dump, torch.save])
def test_a_pickle_in_disguise(tmp_path, write):
    path = tmp_path / "disguise.safetensors"
    with path.open("wb") as file:
        write(Malice(), file)
    with refused(path, "it looks like a pickle. joblib.load .* only if you trust their source"):
        load(path)


def with_header(header, data=b""):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + data


FOREIGN = {
    b"GIF89a" + bytes(50): "it is not a file of sk_ssimae.persistence.save",
    b"{}" * 20: "it is not a file of",
    (2**63).to_bytes(8, "little") + bytes(50): "it is not a file of",
    with_header({}): "it is a safetensors file, but its metadata lack 'sk_ssimae'",
    with_header({"__metadata__": {"format": "pt"}}): "it is a safetensors file, but",
    with_header({"__metadata__": 3}): "its metadata are no JSON object",
    with_header([]): "its header is not a JSON object",
    with_header(b"[" * 200_000): "its header is not JSON",
    with_header(b'{"a": ' + b"9" * 5000 + b"}"): "its header is not JSON",
    with_header(b"\xff\xfe"): "its header is not text",
    with_header({"__metadata__": {"sk_ssimae": 3}}): "its document is not JSON",
    with_header({"__metadata__": {"sk_ssimae": "3"}}): "its document is not a JSON object",
    with_header({"__metadata__": {"sk_ssimae": "{}"}}): "its document must be of format",
    with_header(
        {"__metadata__": {"sk_ssimae": '{"format": "sk_ssimae", "version": 1}'}}
    ): "its document lacks a checksum",
}


@pytest.mark.parametrize("content", FOREIGN, ids=list(FOREIGN.values()))
def test_foreign_files(tmp_path, content):
    path = tmp_path / "foreign"
    path.write_bytes(content)
    with refused(path, FOREIGN[content]):
        load(path)


def test_files_of_other_programs(tmp_path):
    safetensors.torch.save_file({"weight": torch.zeros(3)}, tmp_path / "a")
    with refused(tmp_path / "a", "it is a safetensors file, but its metadata lack"):
        load(tmp_path / "a")


@pytest.mark.parametrize(
    "entry",
    [
        3, {}, {"dtype": "F32", "shape": [2**62], "data_offsets": [0, -1]},
        {"dtype": "F32", "shape": [1.5], "data_offsets": [0, 4]},
        {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]},
        {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]},
    ],
)  # fmt: skip
def test_tensors_declared_in_other_ways(tmp_path, entry):
    document = json.dumps({"format": "sk_ssimae", "version": 1})
    header = {"__metadata__": {"sk_ssimae": document}, "a": entry}
    (tmp_path / "a").write_bytes(with_header(header, bytes(4)))
    with refused(tmp_path / "a", "it declares 'a' in a way that safetensors does not know"):
        load(tmp_path / "a")


def test_tensors_that_overlap(saved):
    raw = saved.read_bytes()
    start = 8 + header_length(saved)
    header = json.loads(raw[8:start])
    # Two tensors of one size at one place: each declaration is valid by itself.
    header["network.encoder.6.bias"]["data_offsets"] = header["network.encoder.0.bias"][
        "data_offsets"
    ]
    text = json.loads(header["__metadata__"]["sk_ssimae"])
    forged = json.dumps(header, separators=(",", ":")).encode()
    content = with_header(forged, raw[start:])
    zeroed = content.replace(text["sha256"].encode(), b"0" * 64)
    digest = hashlib.sha256(zeroed).hexdigest().encode()
    saved.write_bytes(content.replace(text["sha256"].encode(), digest))
    with refused(saved, "its tensors do not add up"):
        load(saved)


def test_a_newer_format(saved, forge):
    forge(saved, lambda document, _: document.update(version=2, new_key=3))
    message = (
        r"it was written by a newer sk_ssimae \(format 2; this version reads up to 1\): upgrade"
    )
    with refused(saved, message):
        load(saved)


def test_history_too_long_to_be_read_back_is_not_written():
    document = {"history": [{"epoch": 1, "note": "a" * 1000}] * 17_000}
    with pytest.raises(ValueError, match=r"must be at most 16777216 bytes.*17000 epochs"):
        pack(document, {})


def change(*path, to):
    """Return a function that changes one value of a document."""

    def apply(document, tensors):
        for key in path[:-1]:
            document = document[key]
        if to is KeyError:
            del document[path[-1]]
        else:
            document[path[-1]] = to

    return apply


def tensor(name, to):
    def apply(document, tensors):
        tensors[name] = to(tensors.get(name))
        if tensors[name] is None:
            del tensors[name]

    return apply


WEIGHT = "network.decoder.0.weight"
HOSTILE = [
    (change("class", to="os.system"), r"its class must be one of .* got 'os.system'"),
    (change("class", to="BaseSegmenter"), "its class must be one of"),
    (change("class", to=["a"]), "its class must be one of"),
    (change("class", to="L2AutoencoderSegmenter"), "its parameters must not have absolute_weight"),
    (change("history", to=KeyError), "its document must have history, which is missing"),
    (change("code", to="print()"), "its document must not have code, which is unknown"),
    (change("format", to="other"), "its document must be of format 'sk_ssimae' .* got 'other'"),
    (change("version", to="1"), "its document must be of format .* and '1' instead"),
    (change("version", to=0), "its document must be of format .* and 0 instead"),
    (change("parameters", to=[]), r"its parameters must be a JSON object, got \[\]"),
    (change("parameters", "lr", to=KeyError), "its parameters must have lr"),
    (change("parameters", "cutout", to=KeyError), "its parameters must have cutout"),
    (change("parameters", "cutout", to=1.0), "The 'cutout' parameter"),
    (change("version", to=True), "its document must be of format .* and True instead"),
    (change("parameters", "__class__", to=1), "its parameters must not have __class__"),
    (change("parameters", "latent_dim", to="8"), "The 'latent_dim' parameter"),
    (change("parameters", "lr", to={"float": "nan"}), "The 'lr' parameter"),
    (change("parameters", "stride", to=17), "stride must be at most patch_size=16"),
    (change("parameters", "image_size", to={"tuple": ["a", "b"]}), "image_size must be an integer"),
    (change("parameters", "callbacks", to={"pickle": "gASV"}), "it holds a value that"),
    (change("parameters", "callbacks", to=["a"]), "it holds a value that"),
    (change("parameters", "device", to="cpu"), "its parameters must not have device"),
    (change("parameters", "random_state", to={"numpy": ["int8", 300]}), "Python integer 300"),
    (change("network", "latent_dim", to=10**9), rf"its document .* {WEIGHT} of F32 \({10**9}"),
    (change("network", "latent_dim", to=10**30), ".*"),
    (change("network", "latent_dim", to=-1), "The 'latent_dim' parameter"),
    (change("network", "patch_size", to=16 * 10**12), ".*"),
    (change("network", "patch_size", to=24), "patch_size must be a multiple of 16"),
    (change("network", "n_channels", to=3), "its document describes"),
    (change("network", "n_channels", to=10**8), "its document describes"),
    (change("network", "n_channels", to=0), r"its n_channels must be an integer in \[1"),
    (change("noise_key", to=-1), r"its noise_key must be an integer in \[0"),
    (change("network", "normalization", to=None), "its document describes no network.dec"),
    (change("network", "window", to="triangle"), "The 'window' parameter"),
    (change("network", "window_size", to=17), "window_size must be odd and at most patch_size"),
    (change("n_defective_dropped", to=True), "its n_defective_dropped must be an integer"),
    (change("precision", to="half"), "its precision must be one of"),
    (change("interrupted", to=1), "its history must be a list, and whether"),
    (change("history", to={}), "its history must be a list"),
    (change("history", to=[3]), "its history must be a JSON object"),
    (change("calibration", "rule", to="eval"), "its calibration holds values that no calibration"),
    (change("calibration", "parameters", to=KeyError), "its calibration must have parameters"),
    (change("calibration", "threshold", to=None), "its calibration holds values"),
    (change("calibration", "threshold", to={"float": "nan"}), "its calibration holds values"),
    (change("calibration", "threshold", to=True), "its calibration holds values"),
    (change("calibration", "target_fpr", to=7), "its calibration holds values"),
    (change("calibration", "n_held_out", to=-5), "its n_held_out must be an integer in"),
    (change("calibration", "rule", to="pixel_fpr"), "its calibration holds values"),
    (change("calibration", "extent_threshold", to=1e9), "its calibration holds values"),
    (change("calibration", "extent_threshold", to=None), "its calibration holds values"),
    (change("calibration", "typical_residuals", to={"tuple": []}), "its calibration holds values"),
    (change("calibration", "typical_residuals", to={"tuple": [1]}), "its calibration holds values"),
    (change("calibration", "block_spread", to=-1.0), "its calibration holds values"),
    (tensor(WEIGHT, lambda _: None), f"its document .* {WEIGHT} .* contains no {WEIGHT}"),
    (tensor("more", lambda _: np.zeros(3, np.float32)), "its document describes no more"),
    (tensor(WEIGHT, np.float64), rf"its document .* {WEIGHT} of F32 .* F64 \(8, 32, 1"),
    (tensor(WEIGHT, lambda w: w.reshape(4, 64, 1, 1)), r"its document .* F32 \(4, 64, 1, 1\)"),
    (tensor(WEIGHT, lambda w: w * np.float32(np.inf)), f"it contains values .* NaN .* in {WEIGHT}"),
]  # fmt: skip


def huge_window(document, tensors):
    document["network"]["patch_size"] = 16 * 10**9
    document["network"]["window_size"] = 10**10 + 1


@pytest.mark.parametrize(("forgery", "message"), [*HOSTILE, (huge_window, ".*")])
def test_hostile_files_with_the_right_checksum(saved, forge, forgery, message):
    forge(saved, forgery)
    RESET_PEAK.write_text("5")
    before = peak_memory()
    with refused(saved, message):
        load(saved)
    assert peak_memory() - before < 2**16  # KiB


def peak_memory():
    """Return the peak memory of this process in KiB since the last reset."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


def test_a_variance_that_is_none_is_refused(trained, forge, tmp_path):
    path = tmp_path / "a"
    save(trained[VariationalAutoencoderSegmenter], path)
    forge(path, tensor("loss.variance", lambda v: np.asarray(-v)))
    with refused(path, "its variance of a pixel must be above 0, got -0"):
        load(path)


def test_a_sparse_file_is_not_read(saved):
    with saved.open("r+b") as file:
        file.truncate(2**40)
    with refused(saved, "it should have .* bytes and has 1099511627776"):
        load(saved)


def test_loading_runs_nothing_and_opens_nothing_else(saved, forge):
    seen, listening = [], False

    def listen(event, args):
        if listening:
            seen.append((event, args))

    load(saved)  # Import now everything that is imported on first use.
    forge(saved, change("versions", "torch", to="../../etc/passwd"))
    sys.addaudithook(listen)
    listening = True
    load(saved)
    listening = False  # The hook cannot be removed.
    assert [args[0] for event, args in seen if event == "open"] == [str(saved)]
    harmless = {"open", "builtins.id", "sys._getframe", "object.__getattr__", "object.__setattr__"}
    assert {event for event, _ in seen} <= harmless


def test_the_header_alone_tells_what_is_in_a_file(saved):
    with saved.open("rb") as file:
        header = read_header(file)
        assert file.tell() == saved.stat().st_size
    assert header.tensors[WEIGHT] == ("F32", (8, 32, 1, 1))
