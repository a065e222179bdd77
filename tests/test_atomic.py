import errno
import multiprocessing
import os
import signal
import stat
from pathlib import Path

import pytest

from sk_ssimae import _atomic
from sk_ssimae._atomic import remove_temporaries, replace_entry, replace_file


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_failure_in_any_step_leaves_the_old_file(tmp_path, monkeypatch, step, error):
    def fail(*_):
        raise error

    path = tmp_path / "a"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(error)):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_first_write_leaves_no_file(tmp_path, disk_full):
    with pytest.raises(OSError, match="File too large"):
        replace_file(tmp_path / "a", bytes(200_000))
    assert list(tmp_path.iterdir()) == []


def test_errors_name_the_file_instead_of_the_temporary_one(tmp_path, monkeypatch, disk_full):
    path = tmp_path / "a"
    with pytest.raises(OSError, match=r"File too large: '.*/a'$"):
        replace_file(path, bytes(200_000))

    def refuse(source, target):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), source, None, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError, match=r"Permission denied: '.*/a'$"):
        replace_file(path, b"new")


def test_readers_keep_the_file_they_opened(tmp_path):
    path = tmp_path / "a"
    replace_file(path, b"old")
    with path.open("rb") as file:
        replace_file(path, b"new")
        assert file.read() == b"old"
    assert path.read_bytes() == b"new"


def test_permissions_of_the_old_file_are_kept(tmp_path):
    path, usual = tmp_path / "a", tmp_path / "usual"
    replace_file(path, b"new")
    usual.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)
    path.chmod(0o640)
    replace_file(path, b"newer")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_links_are_followed(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    replace_file(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_pipes_and_loops_of_links_are_refused(tmp_path):
    pipe, loop = tmp_path / "pipe", tmp_path / "loop"
    os.mkfifo(pipe)
    with pytest.raises(FileExistsError, match=r"got the device, pipe or socket '.*pipe' instead"):
        replace_file(pipe, b"new")
    assert pipe.is_fifo()
    loop.symlink_to(loop)
    with pytest.raises(OSError, match=r"symbolic links: '.*loop'"):
        replace_file(loop, b"new")
    assert loop.is_symlink()


def test_an_entry_replaces_a_link(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    replace_entry(link, b"new")
    assert not link.is_symlink()
    assert (link.read_bytes(), target.read_bytes()) == (b"new", b"old")


def _write_and_die(path):
    os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
    replace_file(path, b"new")


def _write_and_wait(path, writing, go_on):
    def wait(_):
        writing.set()
        go_on.wait()

    os.fsync = wait
    replace_file(path, b"first")


@pytest.fixture
def processes():
    return multiprocessing.get_context("spawn")


def test_the_next_write_removes_what_a_killed_process_left(tmp_path, processes):
    path, other = tmp_path / ("a" * 255), tmp_path / "b"
    for file in (path, other):
        process = processes.Process(target=_write_and_die, args=(file,))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    (of_other,) = tmp_path.glob(f"{_atomic._prefix('b')}*")
    replace_file(path, b"new")
    assert {*tmp_path.iterdir()} == {path, of_other}
    remove_temporaries(tmp_path)
    assert {*tmp_path.iterdir()} == {path}


def test_temporary_files_in_use_are_kept(tmp_path, processes):
    path = tmp_path / "a"
    writing, go_on = processes.Event(), processes.Event()
    process = processes.Process(target=_write_and_wait, args=(path, writing, go_on))
    process.start()
    try:
        assert writing.wait(60)
        replace_file(path, b"second")
        remove_temporaries(tmp_path)
        assert len([*tmp_path.iterdir()]) == 2
        go_on.set()
        process.join(60)
    finally:
        process.kill()
    assert path.read_bytes() == b"first"
    assert [*tmp_path.iterdir()] == [path]


def test_files_that_only_look_temporary_are_kept(tmp_path):
    mine = tmp_path / "mine"
    mine.touch()
    name = f"{_atomic._prefix('a')}{'0' * 16}"
    looks = [tmp_path / f"{name}.txt", tmp_path / f"{name}0", tmp_path / ".sk_ssimae-notes"]
    for file in looks:
        file.touch()
    link, folder = tmp_path / name, tmp_path / f"{_atomic._prefix('a')}{'1' * 16}"
    link.symlink_to(mine)
    folder.mkdir()
    replace_file(tmp_path / "a", b"new")
    remove_temporaries(tmp_path)
    assert {*tmp_path.iterdir()} == {mine, link, folder, tmp_path / "a", *looks}


def test_a_temporary_file_that_was_removed_is_created_again(tmp_path, monkeypatch):
    """Another process may take it for one of a killed process before it is locked."""

    def remove_once(descriptor, *, wait):
        monkeypatch.undo()
        remove_temporaries(tmp_path)

    monkeypatch.setattr(_atomic, "lock", remove_once)
    replace_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_folders_without_locks_or_that_cannot_be_listed_are_written_to(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    left = tmp_path / f"{_atomic._prefix('a')}{'0' * 16}"
    left.touch()
    monkeypatch.setattr(_atomic, "lock", refuse)
    replace_file(tmp_path / "a", b"new")
    assert left.exists()  # Nothing says whether it is in use.
    monkeypatch.setattr(Path, "iterdir", refuse)
    replace_file(tmp_path / "a", b"newer")
    assert (tmp_path / "a").read_bytes() == b"newer"
