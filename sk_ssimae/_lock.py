"""Lock on a folder, so that one process at a time writes to it."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

#: Name of the file that is locked.
LOCK = ".sk_ssimae.lock"
# Raised by file systems without locks.
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextlib.contextmanager
def lock_folder(folder: Path, name: str = "--out") -> Iterator[None]:
    """Create a folder and lock it against other processes that call this function.

    The operating system releases the lock when the process ends, for any reason. On file systems
    without locks, nothing is locked.

    Parameters
    ----------
    folder : path
        Created if it does not exist.
    name : str
        Option or parameter that names it, for messages.

    Raises
    ------
    OSError
        If another process has locked the folder, it is a file or not writable, or the file of the
        lock is a link or not a regular file.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        kind = "file" if folder.exists() else "broken link"
        raise NotADirectoryError(
            f"{name} must name a folder, got the {kind} {str(folder)!r} instead."
        )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    _check_lock_file(path, name)
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(
            f"{name}: another run is writing to {str(folder)!r}. Wait until it ends, or choose "
            "another folder."
        ) from None
    except PermissionError:
        raise PermissionError(
            f"{name}: the folder {str(folder)!r} is not writable. Change its permissions, or "
            "choose another folder."
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    try:
        yield
    finally:
        if lock.is_locked:
            with contextlib.suppress(OSError):
                path.unlink()  # Before the lock ends: afterwards another process may own the file.
        lock.release()


def _check_lock_file(path: Path, name: str) -> None:
    """Refuse a file that the lock must not open; filelock itself refuses symbolic links only."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        raise FileExistsError(
            f"{name}: {str(path)!r} must be a regular file without other links: sk-ssimae locks "
            "the folder with it. Remove it, or choose another folder."
        )
