"""Links in an output folder lead nowhere, and killed runs leave nothing in it."""

import os
import shutil
from pathlib import Path

import pytest

from sk_ssimae import _atomic, _lock
from sk_ssimae._lock import lock_folder
from sk_ssimae.cli._folder import OutputFolder


@pytest.fixture
def out(run, model, folders, tmp_path):
    out = tmp_path / "out"
    assert run("predict", model, folders.good / "0.png", "-o", out).exit_code == 0
    return out


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "place",
    [
        *("masks", "residual_maps", "run.json", "scores.csv", "masks/0.png"),
        *("residual_maps/0.tif", "residual_maps/scale.json"),
    ],
)
@pytest.mark.parametrize(
    ("kind", "options"), [("target", []), ("broken", ["--overwrite"]), ("pipe", [])]
)
def test_links_and_pipes_are_refused(run, model, folders, tmp_path, out, place, kind, options):
    mine = tmp_path / "mine"
    mine.mkdir()
    entry = out / place
    if kind == "target":
        shutil.move(entry, mine / "target")
    elif entry.is_dir():
        shutil.rmtree(entry)
    else:
        entry.unlink()
    if kind == "pipe":
        os.mkfifo(entry)
    else:
        entry.symlink_to(mine / "target")
    before = contents(mine)
    result = run("predict", model, folders.good, "-o", out, *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: --out: {str(entry)!r} ")
    assert ("must be a" if kind == "pipe" else "is a link, and outputs are") in result.stderr
    assert result.stderr.endswith(". Remove it, or choose another folder.\n")
    assert contents(mine) == before
    assert entry.is_fifo() if kind == "pipe" else entry.is_symlink()


def test_a_link_that_appears_during_the_run_is_not_followed(tmp_path):
    """A hostile process may put it there after all files were checked."""
    mine = tmp_path / "mine"
    mine.write_bytes(b"mine")
    folder = OutputFolder(tmp_path)
    link = tmp_path / "scores.csv"
    link.symlink_to(mine)
    folder.check = lambda names: None
    with pytest.raises(OSError, match=r"symbolic links: '.*scores.csv'"):
        folder.append("scores.csv", b"row")
    with pytest.raises(OSError, match=r"symbolic links: '.*scores.csv'"):
        folder.read("scores.csv")
    folder.write("scores.csv", b"new")
    assert mine.read_bytes() == b"mine"
    link.unlink()
    os.mkfifo(link)
    reader = os.open(link, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(FileExistsError, match=r"scores.csv' must be a regular file. Remove it"):
        folder.append("scores.csv", b"row")
    os.close(reader)


def test_the_folder_itself_may_be_a_link(run, model, folders, tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    assert run("predict", model, folders.good, "-o", link).exit_code == 0
    assert len([*(real / "masks").iterdir()]) == 3


def test_a_broken_link_as_folder_is_named(run, model, folders, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "none")
    result = run("predict", model, folders.good, "-o", link)
    assert result.exit_code == 1
    assert f"--out must name a folder, got the broken link {str(link)!r} inst" in result.stderr


@pytest.mark.parametrize("make", [Path.symlink_to, Path.hardlink_to])
def test_the_lock_follows_no_link(run, model, folders, tmp_path, make):
    mine, out = tmp_path / "mine", tmp_path / "out"
    mine.write_bytes(b"mine")
    out.mkdir()
    lock = out / ".sk_ssimae.lock"
    make(lock, mine)
    result = run("predict", model, folders.good, "-o", out)
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: --out: {str(lock)!r} must be a regular file without other links: sk-ssimae locks "
        "the folder with it. Remove it, or choose another folder.\n"
    )
    assert [*out.iterdir()] == [lock]
    assert mine.read_bytes() == b"mine"


def test_the_lock_is_no_pipe_or_folder(tmp_path):
    lock = tmp_path / ".sk_ssimae.lock"
    os.mkfifo(lock)
    message = r"lock' must be a regular file without other links"
    with pytest.raises(FileExistsError, match=message), lock_folder(tmp_path):
        pass
    lock.unlink()
    lock.mkdir()
    with pytest.raises(FileExistsError, match=message), lock_folder(tmp_path):
        pass


def test_a_link_that_appears_after_the_check_is_not_locked(tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    mine.write_bytes(b"mine")
    (tmp_path / ".sk_ssimae.lock").symlink_to(mine)
    monkeypatch.setattr(_lock, "_check_lock_file", lambda path, name: None)
    with pytest.raises(OSError, match=r"symbolic links: '.*lock'"), lock_folder(tmp_path):
        pass
    assert mine.read_bytes() == b"mine"


def test_folders_without_locks_can_be_used(tmp_path, monkeypatch):
    def refuse(self):
        raise OSError(_lock.errno.ENOLCK, "No locks available")

    monkeypatch.setattr(_lock.FileLock, "acquire", refuse)
    (tmp_path / ".sk_ssimae.lock").touch()  # Perhaps of a run on another machine.
    with lock_folder(tmp_path):
        pass
    assert (tmp_path / ".sk_ssimae.lock").exists()


def test_folders_that_cannot_be_written_to_are_named(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(_lock.errno.EACCES, "Permission denied", self.lock_file)

    monkeypatch.setattr(_lock.FileLock, "acquire", refuse)
    message = r"--out: the folder '.*' is not writable. Change its permissions, or choose another"
    with pytest.raises(PermissionError, match=message), lock_folder(tmp_path):
        pass


@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_temporary_files_of_killed_runs_are_removed(run, model, folders, out, options):
    left = [
        folder / (_atomic._prefix("0.png") + "0" * 16)
        for folder in (out, out / "masks", out / "residual_maps")
    ]
    for file in left:
        file.write_bytes(b"half")
    mine = out / ".sk_ssimae-notes"
    mine.touch()
    assert run("predict", model, folders.good / "0.png", "-o", out, *options).exit_code == 0
    assert not any(file.exists() for file in left)
    assert mine.exists()
