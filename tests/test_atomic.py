import errno
import os
import stat

import pytest

from sk_ssimae._atomic import replace_file


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
