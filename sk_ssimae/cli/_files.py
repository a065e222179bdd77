"""Files that the commands are given and files that they write."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from sk_ssimae.datasets._folders import list_images
from sk_ssimae.persistence._atomic import replace_file

__all__ = ["check_output_file", "collect_images", "identity", "name_images", "replace_file"]


def collect_images(sources: Sequence[Path]) -> list[Path]:
    """List images: files as they are, and of each folder the images that lie directly in it.

    Parameters
    ----------
    sources : sequence of path
        Files and folders.

    Returns
    -------
    list of path
        In the order given, those of a folder by name; a file named twice is listed once.

    Raises
    ------
    FileNotFoundError
        If a file or folder does not exist, or a folder holds no image.
    """
    found: dict[str, Path] = {}
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(f"IMAGES: there is no file or folder {str(source)!r}.")
        for path in list_images(source, "IMAGES") if source.is_dir() else [source]:
            found.setdefault(identity(path), path)
    return list(found.values())


def identity(path: Path) -> str:
    """Give the absolute path of an image, by which it is known whatever the working folder."""
    return os.path.abspath(path)  # noqa: PTH100  # resolve would follow links, which have names.


def name_images(files: Sequence[Path], named: Mapping[str, str]) -> dict[str, str]:
    """Choose the name that the outputs of each image have, no two the same.

    Names are the stems of the files; where two are the same, those of the folders and the stems,
    joined by ``_``; where that does not tell all apart either, with eight digits of a checksum of
    the path. Upper and lower case count as the same, as on some disks they are.

    Parameters
    ----------
    files : sequence of path
        Images.
    named : mapping of str to str
        Names given before, by absolute path; they stay.

    Returns
    -------
    dict of str to str
        Names by absolute path, of `files` alone.

    Examples
    --------
    >>> from pathlib import Path
    >>> from sk_ssimae.cli._files import name_images
    >>> list(name_images([Path("hole/1.png"), Path("hole/2.png")], {}).values())
    ['1', '2']
    >>> list(name_images([Path("hole/1.png"), Path("hole/2.png"), Path("cut/1.png")], {}).values())
    ['hole_1', 'hole_2', 'cut_1']
    """
    paths = [Path(identity(path)) for path in files]
    taken = {name.casefold() for name in named.values()}
    names: dict[str, str] = {}
    for rule in (_stem, _folder_and_stem, _with_digest):
        # Of all, named or not, so that a run which was cut short goes on with the rule it had.
        names = {str(path): rule(path) for path in paths}
        different = len({name.casefold() for name in names.values()}) == len(names)
        new = {name.casefold() for file, name in names.items() if file not in named}
        if different and not new & taken:
            break
    return {file: named.get(file, name) for file, name in names.items()}


def _stem(path: Path) -> str:
    return path.stem


def _folder_and_stem(path: Path) -> str:
    return f"{path.parent.name}_{path.stem}"


def _with_digest(path: Path) -> str:
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
    return f"{_folder_and_stem(path)}_{digest}"


def check_output_file(path: Path, option: str) -> None:
    """Refuse a file that cannot be written, before anything is computed.

    Parameters
    ----------
    path : path
        File to write later; one that exists is replaced then.
    option : str
        Option that names it, for the error.

    Raises
    ------
    OSError
        If it is a folder, or its folder does not exist or cannot be written to.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{option} must name a file, got the folder {str(path)!r} instead.")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{option}: the folder {str(folder)!r} does not exist. Make it.")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{option}: the folder {str(folder)!r} cannot be written to.")
