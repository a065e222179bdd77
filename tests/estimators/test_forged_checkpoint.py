"""Forged checkpoints, with the right checksum: a short error that names the file."""

import copy
import functools
import hashlib
import io
import itertools
import zipfile
from pathlib import Path

import pytest
import torch
from hostile import HUGE, NESTED, exchanged
from skorch.callbacks import Callback

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae.estimators import _checkpoint_file
from sk_ssimae.estimators._checkpoint_file import pack, read_values

WEIGHT = ("parts", "module", "decoder.0.weight")
ADAM = ("parts", "optimizer", "state", 0)
LAUGHS = functools.reduce(lambda inner, _: [inner] * 100, range(20), [])
VALUES = {
    "missing": KeyError, "null": None, "true": True, "-1": -1, "1.5": 1.5, "huge": HUGE,
    "nan": float("nan"), "text": "x" * 10**6, "list": [1], "dict": {"x": 1}, "nested": NESTED,
    "laughs": LAUGHS, "tensor": torch.zeros(3), "expanded": torch.zeros(1).expand(2**40),
    "infinite": torch.full((8, 32, 1, 1), torch.inf), "bytes": torch.zeros(5056, dtype=torch.uint8),
    "sparse": torch.zeros(3).to_sparse(), "size": torch.Size([1]), "dtype": torch.float16,
}  # fmt: skip


class Notes(Callback):
    """Callback with a state of its own."""

    def __init__(self):
        self.notes = [1]


@pytest.fixture(scope="module")
def trained(tiny, good, tmp_path_factory):
    """Return a segmenter whose fit resumes, the path of its checkpoint, and its state."""
    folder = tmp_path_factory.mktemp("checkpoints")
    segmenter = SSIMAutoencoderSegmenter(
        **(tiny | {"n_patches": 16, "threshold": 1.0}), checkpoint_dir=folder, callbacks=[Notes()]
    )
    segmenter.fit(good)
    (path,) = folder.iterdir()
    return segmenter, path, read_values(path, 2**28)


@pytest.fixture
def outcome(trained, good):
    """Resume from a file: return the error, or None."""
    segmenter, path, _ = trained
    whole = path.read_bytes()

    def outcome(content):
        path.write_bytes(content)
        try:
            segmenter.fit(good)
        except ValueError as error:
            text, cause = str(error), error.__cause__
            assert text.startswith(f"{str(path)!r} is corrupted or not a checkpoint of this train")
            assert text.endswith("Delete it, and fit starts from the beginning.")
            assert len(text) < 1000
            assert cause is None or len(str(cause)) < 1000
            return text
        finally:
            path.write_bytes(whole)
        return None

    return outcome


def paths(tree, path=()):
    """Yield the paths of the values of a state, of similar ones the first few."""
    items = list(tree.items() if isinstance(tree, dict) else enumerate(tree))
    for key, value in items if len(path) < 2 else items[:4]:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from paths(value, (*path, key))


def forged(state, path, value):
    return pack(exchanged(state, path, value))


@pytest.mark.parametrize("step", [67, pytest.param(5, marks=pytest.mark.slow)])
def test_values_exchanged_everywhere(trained, outcome, step):
    state = trained[2]
    pairs = list(itertools.product(paths(state), VALUES))
    for path, name in pairs[::step]:
        outcome(forged(state, path, VALUES[name]))


REFUSED = [
    ((*WEIGHT,), "infinite", "parts.module.decoder.0.weight contains numbers that are NaN or inf"),
    ((*WEIGHT,), "tensor", "parts.module.decoder.0.weight must be a tensor of torch.float32 and"),
    ((*WEIGHT,), "expanded", "it contains a tensor that is larger than its data"),
    ((*WEIGHT,), "sparse", "it contains a tensor that is larger than its data"),
    ((*WEIGHT,), "missing", "its parts.module must be those of this training: ['enc"),
    ((*WEIGHT,), "null", "parts.module.decoder.0.weight must be a tensor of"),
    (("parts",), "missing", "it must have parts, generators, callbacks, history, precision"),
    (("parts",), "list", "its parts must be those of this training"),
    (("parts", "optimizer", "param_groups"), "list", "optimizer.param_groups must be"),
    (("parts", "optimizer", "param_groups", 0, "lr"), "text", "param_groups.lr must be a float"),
    (("parts", "optimizer", "param_groups", 0, "lr"), "huge", "param_groups.lr must be a float"),
    ((*ADAM, "exp_avg"), "tensor", "its optimizer must have exp_avg of the shape"),
    ((*ADAM, "exp_avg"), "list", "is corrupted or not a checkpoint"),
    (("generators", "sampling"), "bytes", "is corrupted or not a checkpoint"),
    (("callbacks", "Notes", "on_train_end"), "null", "Notes must not have the attribute 'on_train"),
    (("callbacks", "Notes", "__class__"), "null", "must not have the attribute '__class__'"),
    (("callbacks", "Notes"), "list", "Notes must not have the attribute None"),
    (("callbacks", "more"), "dict", "its callbacks must be those of this training"),
    (("callbacks", "Notes", "notes"), "laughs", "it must have at most 1000000 values in 50 levels"),
    (("callbacks", "Notes", "notes"), "nested", "it must have at most 1000000 values in 50 levels"),
    (("callbacks", "Notes", "notes"), "size", "it contains a Size"),
    (("callbacks", "Notes", "notes"), "dtype", "it contains a dtype"),
    (("precision",), "null", "its precision must be one of"),
    (("history",), "null", "its history must be a list of at most 2 epochs"),
    (("history", 0), "null", "its history must have the epoch 1, got None"),
    (("history", 0, "epoch"), "true", "its history must have the epoch 1"),
    (("history", 0, "batches"), "list", "its history must have the epoch 1"),
    (("history", 0, "train_loss"), "text", "its history must have the epoch 1"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "name", "message"), REFUSED)
def test_states_that_do_not_fit(trained, outcome, path, name, message):
    state = trained[2]
    if path[:1] == ("generators",):
        path = ("generators", next(iter(state["generators"])))
    found = outcome(forged(state, path, VALUES[name]))
    assert found is not None
    assert message in found


def test_more_epochs_than_training_has(trained, outcome):
    state = copy.deepcopy(trained[2])
    state["history"] *= 2
    assert "its history must be a list of at most 2 epochs" in outcome(pack(state))


def test_other_objects(trained, outcome):
    for state in (None, [], {}, torch.zeros(3), {"parts": {}}):
        assert "it must have parts, generators, callbacks, history, precision" in outcome(
            pack(state)
        )


def with_checksum(content):
    return content + hashlib.sha256(content).digest()


def test_archives_that_grow_when_unpacked(trained, outcome):
    bomb, plain = io.BytesIO(), io.BytesIO(pack({"a": torch.zeros(2**22)})[:-32])
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(bomb, "w") as target:
        for member in source.infolist():
            target.writestr(
                member.filename, source.read(member), compress_type=zipfile.ZIP_DEFLATED
            )
    assert len(bomb.getvalue()) < 2**16
    assert "(its archive is compressed)" in outcome(with_checksum(bomb.getvalue()))


def test_other_contents(trained, outcome):
    assert "(checksum mismatch)" in outcome(b"")
    for content in (b"", b"PK\3\4", b"x" * 1000, b"\x80\x02K\x01."):
        assert outcome(with_checksum(content)) is not None


def test_large_files_are_not_read(trained, good, tmp_path):
    segmenter, path, _ = trained
    whole = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match=r"it must have at most \d+ bytes, got 1099511627776 inst"):
        segmenter.fit(good)
    path.write_bytes(whole)
    with pytest.raises(ValueError, match="it is not a file"):
        read_values(Path("/dev/zero"), _checkpoint_file._MORE_BYTES)
