import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sk_ssimae.cli._terminal import reporting
from sk_ssimae.cli._text import count, one_line, printable
from sk_ssimae.persistence import _segmenter, load, save

CONTROLS = [
    *map(chr, [*range(32), 0x7F, *range(0x80, 0xA0)]),
    *map(chr, [0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]),
    *map(chr, [0x061C, 0x200E, 0x200F, 0xDC80, 0xDCFF]),
]
HOSTILE = "\x1b]0;title\x07\x9b31m\x7f\u202egnp"


def is_printable(text):
    return not [char for char in text if char in CONTROLS and char != "\n"]


def test_errors_are_one_line():
    assert one_line(ValueError("X[3] ('a b.png') must\nhave")) == "'a b.png' must have"
    assert one_line(MemoryError()) == "MemoryError"


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "Check the permissions of the file and its folder, or choose another path."),
        (errno.ENOENT, "Check the path."),
        (errno.ENOSPC, "Free some space, or choose a path on another disk."),
        (errno.EIO, "Check the path and its disk."),
    ],
)
def test_errors_of_the_system_name_file_and_remedy(number, remedy):
    error = OSError(number, os.strerror(number), "a b")
    assert one_line(error) == f"'a b': {os.strerror(number)}. {remedy}"
    # An error that has its own text has its own remedy.
    assert (
        one_line(OSError(number, "No such chance. Give up", "m")) == "'m': No such chance. Give up"
    )
    assert one_line(OSError("No such chance. Give up.")) == "No such chance. Give up."


def test_only_one_is_singular():
    assert [count(n, "image") for n in (0, 1, 2)] == ["0 images", "1 image", "2 images"]


@pytest.mark.parametrize("char", CONTROLS)
def test_control_characters_are_escaped(char):
    escaped = printable(f"a{char}b")
    assert escaped[:2] + escaped[-1:] == "a\\b"
    assert is_printable(escaped)
    assert is_printable(one_line(ValueError(f"a{char}b")))


def test_other_characters_are_kept():
    text = "Übergröße 織物 נייר 😀 \\x1b"
    assert printable(text) == text


def test_the_terminal_prints_no_control_characters(capsys):
    with reporting() as terminal:
        for show in (terminal.say, terminal.note, terminal.complain):
            show(f"a\n{HOSTILE}")
    shown = capsys.readouterr()
    assert is_printable(shown.out + shown.err)
    assert shown.out == "a\\n\\x1b]0;title\\x07\\x9b31m\\x7f\\u202egnp\n"
    assert [line.count("gnp") for line in shown.err.splitlines()] == [1, 1]


@pytest.mark.parametrize(
    "args",
    [
        [f"--{HOSTILE}"],
        [HOSTILE],
        ["fit", f"--{HOSTILE}"],
        ["info", "m", HOSTILE],
        ["predict", "m", "x", "-o", "out", "--on-error", HOSTILE],
    ],
)
def test_usage_errors_are_printable(run, args):
    """A pattern such as * may expand to any file name."""
    result = run(*args)
    assert result.exit_code == 2
    assert is_printable(result.output)
    assert "gnp" in result.output


@pytest.fixture
def hostile(tmp_path, folders):
    """Images whose names and targets of links are hostile; one is invalid."""
    images = tmp_path / f"images{HOSTILE}"
    images.mkdir()
    (images / f"good{HOSTILE}.png").write_bytes((folders.good / "0.png").read_bytes())
    (images / f"bad{HOSTILE}.png").write_bytes(b"no image")
    (images / "link.png").symlink_to(tmp_path / f"target{HOSTILE}.png")
    return images


def test_hostile_names_are_escaped(run, model, folders, hostile, tmp_path):
    out, page, mine = tmp_path / f"out{HOSTILE}", tmp_path / f"{HOSTILE}.html", tmp_path / "mine"
    skip = "--on-error=skip"
    mine.write_bytes(model.read_bytes())
    named = mine.rename(tmp_path / f"model{HOSTILE}")
    for args, code in [
        (["predict", named, hostile, "-o", out], 1),
        (["predict", named, hostile, "-o", out, skip], 3),
        (["report", named, hostile, "-o", page, skip], 3),
        (["info", named], 0),
        (["info", hostile], 1),
        (["fit", hostile, "-o", tmp_path / "m"], 1),
        (["fit", folders.good, "-o", hostile / "none" / "m"], 1),
        (["evaluate", named, hostile, hostile], 1),
        (["demo", hostile], 1),
    ]:
        result = run(*args)
        assert result.exit_code == code, result.output
        assert is_printable(result.output)
        assert "gnp" in result.output
    assert is_printable(page.read_text("utf-8").replace("\n", ""))


def test_texts_in_a_model_are_escaped(run, model, tmp_path, monkeypatch):
    def describe(*args):
        document, tensors = described(*args)
        return {**document, "versions": {"torch": HOSTILE}}, tensors

    described = _segmenter.describe_file
    monkeypatch.setattr(_segmenter, "describe_file", describe)
    save(load(model), tmp_path / "m")
    result = run("info", tmp_path / "m")
    assert result.exit_code == 0
    assert is_printable(result.output)
    assert "torch \\x1b]0;title" in result.output


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device /dev/full of Linux")
def test_a_result_that_cannot_be_printed_is_an_error(model):
    program = [sys.executable, "-m", "sk_ssimae", "info", str(model)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "error: 'standard output': No space left on device. Free some space, or choose a path on "
        "another disk.\n"
    )
