"""Unpack zip archives from untrusted sources."""

import shutil
import stat
import zipfile
from pathlib import Path, PureWindowsPath

from sk_ssimae._validation import first_sentence

_MAX_BYTES = 8 * 2**30
_MAX_FILES = 100_000


def unpack(archive: Path, folder: Path, *, max_bytes: int = _MAX_BYTES) -> None:
    """Unpack a zip archive whose members are plain files that stay in the folder.

    Parameters
    ----------
    archive : path
        Zip archive.
    folder : path
        Folder to unpack into, which must exist.
    max_bytes : int
        Largest total size of the unpacked files in bytes.

    Raises
    ------
    OSError
        If the archive cannot be read, a member would lie outside `folder` or is a link or another
        special file, or there are more files or bytes than allowed. Names and sizes are checked
        before anything is written.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            members = content.infolist()
            _check_amount(members, max_bytes)
            for member in members:
                _check_member(member)
            for member in members:
                _write(content, member, folder)
    except OSError:
        raise
    except Exception as error:  # zipfile and its decoders raise errors of many types.
        raise OSError(
            f"archive: the file cannot be unpacked as a zip archive: {first_sentence(error)} "
            "Download it again."
        ) from error


def _check_amount(members: list[zipfile.ZipInfo], max_bytes: int) -> None:
    # zipfile never reads more of a member than the size declared here.
    n_bytes = sum(member.file_size for member in members)
    if n_bytes > max_bytes or len(members) > _MAX_FILES:
        raise OSError(
            f"archive must have at most {_MAX_FILES} files and {max_bytes} bytes unpacked, got "
            f"{len(members)} files and {n_bytes} bytes instead. Inspect the archive, and unpack it "
            "by hand if you trust it."
        )


def _check_member(member: zipfile.ZipInfo) -> None:
    # Parsed as on Windows, where backslashes separate folders and drives have letters, so that the
    # result does not depend on the system.
    path = PureWindowsPath(member.filename)
    if path.drive or path.root or ".." in path.parts:
        raise OSError(
            f"archive: the member {member.filename!r:.200} would lie outside the folder. Do "
            "not trust this archive."
        )
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise OSError(
            f"archive: the member {member.filename!r:.200} is a link or another special file. "
            "Do not trust this archive."
        )


def _write(content: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    path = folder.joinpath(*PureWindowsPath(member.filename).parts)
    if member.filename.endswith(("/", "\\")):
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with content.open(member) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target)
