"""Writing a file so that, whatever happens, the old one or the new one is there, and whole."""

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
        If links lead round in a circle.
    """
    try:
        target = path.resolve()
    except RuntimeError:  # So says Python before 3.13 of a circle.
        target = path
    if target.is_symlink():  # From 3.13 on the link is returned.
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return target


def replace_file(path: Path, content: bytes) -> None:
    """Write a file, or leave the one that was there as it was.

    Parameters
    ----------
    path : path
        The file; a link is followed.
    content : bytes
        What it holds afterwards.

    Raises
    ------
    OSError
        If the folder does not exist or cannot be written to, the disk is full, or there is
        something that is no file, such as a device.
    """
    target = resolve(path)
    if target.is_dir():
        raise IsADirectoryError(f"path must name a file, got the folder {str(path)!r} instead.")
    if target.exists() and not target.is_file():
        raise FileExistsError(
            f"path must name a file, got {str(path)!r} instead, which is a device, pipe or socket."
        )
    if not target.parent.is_dir():
        raise FileNotFoundError(f"path: the folder {str(target.parent)!r} does not exist.")
    # In the same folder: a replacement is atomic within a file system only.
    temporary = target.with_name(f".sk_ssimae-{secrets.token_hex(8)}")
    try:
        # What replaces a file that others may not read is closed to them from the start.
        mode = target.stat().st_mode & 0o7777 if target.exists() else 0o666
        with open(temporary, "xb", opener=partial(os.open, mode=mode)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            temporary.chmod(mode)  # Whatever the umask is.
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
