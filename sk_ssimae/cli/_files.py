"""Files that the commands are given and files that they write."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sk_ssimae._atomic import resolve
from sk_ssimae.datasets._folders import list_images

# File systems take 255 bytes, with the suffix of a mask or a map.
_LONGEST_NAME = 255 - len(".png")


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
    joined by ``_``; where that does not tell all apart either, or is too long for the name of a
    file, it is cut to length and eight digits of a checksum of the path follow. Upper and lower
    case count as the same, as on some disks they are.

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
        fit = all(len(os.fsencode(name)) <= _LONGEST_NAME for name in names.values())
        if different and fit and not new & taken:
            break
    return {file: named.get(file, name) for file, name in names.items()}


def _stem(path: Path) -> str:
    return path.stem


def _folder_and_stem(path: Path) -> str:
    return f"{path.parent.name}_{path.stem}"


def _with_digest(path: Path) -> str:
    ending = f"_{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"
    text = os.fsencode(_folder_and_stem(path))
    longest = _LONGEST_NAME - len(ending)
    if len(text) <= longest:
        return os.fsdecode(text) + ending
    # What is cut may be the middle of a letter, which is left out then.
    return text[:longest].decode(errors="ignore") + ending


def check_output_file(
    path: Path, option: str, inputs: Iterable[Path] = (), *, begins: bytes = b""
) -> None:
    """Refuse a file that cannot be written or must not be, before anything is computed.

    Parameters
    ----------
    path : path
        File to write later; one that exists is replaced then. Links are followed.
    option : str
        Option that names it, for the error.
    inputs : iterable of path
        Files that are read and must stay.
    begins : bytes
        How a file begins that may be replaced; an empty one may be.

    Raises
    ------
    OSError
        If it is a folder, a device, one of the inputs or a file of another kind, or its folder does
        not exist or cannot be written to.
    """
    target = resolve(path)
    if target.is_dir():
        raise IsADirectoryError(f"{option} must name a file, got the folder {str(path)!r} instead.")
    if target.exists():
        _check_replaceable(target, f"{option}: {str(path)!r}", inputs, begins)
    folder = target.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{option}: the folder {str(folder)!r} does not exist. Make it.")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{option}: the folder {str(folder)!r} cannot be written to.")


def _check_replaceable(target: Path, name: str, inputs: Iterable[Path], begins: bytes) -> None:
    remedy = "Choose another name."
    if not target.is_file():
        raise FileExistsError(f"{name} is a device, pipe or socket and no file. {remedy}")
    for given in inputs:
        if given.exists() and given.samefile(target):
            raise FileExistsError(f"{name} is read as {str(given)!r} by this command. {remedy}")
    if begins and _start(target, len(begins)) not in (b"", begins):
        raise FileExistsError(
            f"{name} exists and is of another kind than what would replace it: it does not begin "
            f"with {begins.decode(errors='backslashreplace')!r}. {remedy}"
        )


def _start(path: Path, length: int) -> bytes:
    with path.open("rb") as file:
        return file.read(length)
