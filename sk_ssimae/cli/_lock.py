"""Lock on a folder, so that one process at a time writes to it."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_LOCK = ".sk_ssimae.lock"


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Create a folder and lock it against other processes that call this function.

    The operating system releases the lock when the process ends, for any reason. On Windows, and on
    file systems without locks, nothing is locked.

    Parameters
    ----------
    folder : path
        Created if it does not exist.

    Raises
    ------
    OSError
        If another process has locked the folder, or it is a file or not writable.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"--out must name a folder, got the file {str(folder)!r} instead.")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _LOCK
    file = _open_locked(path, folder)
    try:
        os.ftruncate(file, 0)
        os.write(file, str(os.getpid()).encode())
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # Before the lock ends: afterwards another process may own the file.
        os.close(file)


def _open_locked(path: Path, folder: Path) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(file)
            # The last owner may have deleted the file meanwhile: such a lock would be useless.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), path.stat()):
                    return file
        except BlockingIOError:
            holder = os.read(file, 20).decode(errors="replace") or "unknown"
            os.close(file)
            raise BlockingIOError(
                f"--out: another run (process {holder}) is writing to {str(folder)!r}. Wait "
                "until it ends, or choose another folder."
            ) from None
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _lock(file: int) -> None:
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # A file system without locks.
        return
