"""A folder that one process at a time writes to."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_LOCK = ".sk_ssimae.lock"


@contextlib.contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Make a folder and keep other processes from it that ask in the same way.

    The lock is the system's and ends with the process, however that ends. Where the system or the
    file system has none, such as Windows, nothing is kept away.

    Parameters
    ----------
    folder : path
        Made if it does not exist.

    Raises
    ------
    OSError
        If another process holds it, it is a file, or it cannot be written to.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"--out must name a folder, got the file {str(folder)!r}.")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _LOCK
    file = _open_locked(path, folder)
    try:
        os.ftruncate(file, 0)
        os.write(file, str(os.getpid()).encode())
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # Before the lock ends: afterwards the file may be another's.
        os.close(file)


def _open_locked(path: Path, folder: Path) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(file)
            # Its former holder may have removed it in between: such a lock keeps nobody away.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), path.stat()):
                    return file
        except BlockingIOError:
            holder = os.read(file, 20).decode(errors="replace") or "unknown"
            os.close(file)
            raise BlockingIOError(
                f"--out: another run (process {holder}) is writing to {str(folder)!r}. Wait for "
                "it, or choose another folder."
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
