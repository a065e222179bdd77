"""Write a file atomically: after a failure, the complete old or new file remains."""

import contextlib
import errno
import os
import secrets
from functools import partial
from pathlib import Path


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
    # In the same folder, because replacing is atomic only within a file system.
    temporary = target.with_name(f".sk_ssimae-{secrets.token_hex(8)}")
    try:
        # Create the temporary file with the permissions of the old one, so that nobody gains
        # access in the meantime.
        mode = target.stat().st_mode & 0o7777 if target.exists() else 0o666
        with open(temporary, "xb", opener=partial(os.open, mode=mode)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            temporary.chmod(mode)  # The umask may have removed bits.
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
