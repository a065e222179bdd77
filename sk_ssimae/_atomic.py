"""Write a file atomically: after a failure, the complete old or new file remains.

The new content is first written to a hidden file in the same folder, which then replaces the old
file. A process that is killed meanwhile leaves the hidden file. Its name is derived from that of
the file, so that the next `replace_file` of the same file removes it. The writer holds a lock on
it, which the system releases when the process ends: a file in use is never removed.
"""

import contextlib
import errno
import hashlib
import os
import re
import secrets
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

_PREFIX = ".sk_ssimae-"
_TEMPORARY = re.compile(re.escape(_PREFIX) + "[0-9a-f]{16}-[0-9a-f]{16}")
# A pipe must not block, and a link not be followed; Windows has neither flag.
CAREFULLY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def resolve(path: Path) -> Path:
    """Follow links to the file itself, which need not exist.

    Raises
    ------
    OSError
        If links form a loop.
    """
    try:
        target = path.resolve()
    except RuntimeError:  # Raised for a loop before Python 3.13.
        target = path
    if target.is_symlink():  # Python 3.13 and later return the link.
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return target


def replace_file(path: Path, content: bytes) -> None:
    """Write a file, or leave the existing one unchanged if that fails.

    Parameters
    ----------
    path : path
        The file; a link is followed.
    content : bytes
        Its new content.

    Raises
    ------
    OSError
        If the folder does not exist or cannot be written to, the disk is full, or the path is
        not a file but, for example, a device.
    """
    target = resolve(path)
    if target.is_dir():
        raise IsADirectoryError(f"path must name a file, got the folder {str(path)!r} instead.")
    if target.exists() and not target.is_file():
        raise FileExistsError(
            f"path must name a file, got the device, pipe or socket {str(path)!r} instead."
        )
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"path: the folder {str(target.parent)!r} does not exist. Create it first."
        )
    remove_temporaries(target.parent, target.name)
    with naming(path):
        replace_entry(target, content)


def replace_entry(path: Path, content: bytes) -> None:
    """Write a file at exactly this path, or leave the existing one unchanged if that fails.

    Unlike `replace_file`, it replaces a link instead of following it, and removes no temporary
    files of killed processes: listing a folder of many files for each of them would take too long.

    Parameters
    ----------
    path : path
        The file.
    content : bytes
        Its new content.

    Raises
    ------
    OSError
        If the folder cannot be written to, or the disk is full.
    """
    with naming(path):
        # Create the temporary file with the permissions of the old one, so that nobody gains
        # access in the meantime.
        exists = path.is_file() and not path.is_symlink()
        mode = path.stat().st_mode & 0o7777 if exists else 0o666
        file, temporary = _create_temporary(path, mode)
        try:
            with file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                if exists:
                    temporary.chmod(mode)  # The umask may have removed bits.
                if sys.platform == "win32":
                    file.close()  # An open file cannot be renamed there.
                temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


@contextlib.contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Put the name of a file into errors of the system, which name a temporary file or none."""
    try:
        yield
    except OSError as error:
        if error.strerror:
            error.filename = str(path)
            del error.filename2
        raise


def remove_temporaries(folder: Path, name: str | None = None) -> None:
    """Remove temporary files that killed processes have left in a folder, as far as possible.

    Parameters
    ----------
    folder : path
        The folder.
    name : str or None
        Name of the file that they were to replace; None for any.
    """
    prefix = _PREFIX if name is None else _prefix(name)
    with contextlib.suppress(OSError):  # A folder may be writable but not readable.
        for entry in list(folder.iterdir()):
            if entry.name.startswith(prefix) and _TEMPORARY.fullmatch(entry.name):
                _remove_unless_in_use(entry)


def _prefix(name: str) -> str:
    # A hash, because names may be as long as the file system allows.
    return f"{_PREFIX}{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}-"


def _create_temporary(path: Path, mode: int) -> tuple[BinaryIO, Path]:
    while True:
        temporary = path.with_name(_prefix(path.name) + secrets.token_hex(8))
        file = open(temporary, "xb", opener=partial(os.open, mode=mode))  # noqa: SIM115
        with contextlib.suppress(OSError):  # A file system without locks.
            lock(file.fileno(), wait=True)
        if temporary.exists():
            return file, temporary
        file.close()  # Another process removed it before it was locked.


def _remove_unless_in_use(temporary: Path) -> None:
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            temporary.unlink()  # The system refuses if a process has it open.
            return
        descriptor = os.open(temporary, os.O_RDWR | CAREFULLY)
        try:
            lock(descriptor, wait=False)
            temporary.unlink()
        finally:
            os.close(descriptor)


def lock(descriptor: int, *, wait: bool) -> None:
    """Lock a file until it is closed; on Windows, an open file is safe without.

    Raises
    ------
    OSError
        If another process has locked it, or the file system has no locks.
    """
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
