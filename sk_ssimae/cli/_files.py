"""Input and output files of the commands."""

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sk_ssimae._atomic import replace_file, resolve
from sk_ssimae.cli._outputs import refuse_outputs
from sk_ssimae.datasets._listing import is_category, list_images, list_masks

# File systems allow 255 bytes, including the suffix of a mask or a map.
_LONGEST_NAME = 255 - len(".png")


def list_good_images(good_dir: Path, *, recursive: bool, mask_suffix: str | None) -> list[Path]:
    """List the images of GOOD_DIR, or of the training set of a category, as `list_inputs` does."""
    folder = good_dir / "train" / "good" if is_category(good_dir) else good_dir
    return list_inputs(folder, "GOOD_DIR", recursive=recursive, mask_suffix=mask_suffix)


def list_inputs(
    folder: Path, name: str, *, recursive: bool = False, mask_suffix: str | None = None
) -> list[Path]:
    """List the images of a folder.

    Raises
    ------
    FileNotFoundError, ValueError
        As `collect_images`.
    """
    files = list_images(folder, name, recursive=recursive, mask_suffix=mask_suffix)
    refuse_outputs(folders_of(files), name)
    return files


def collect_images(
    sources: Sequence[Path], *, recursive: bool = False, mask_suffix: str | None = None
) -> list[Path]:
    """List image files, and the images in each folder.

    Parameters
    ----------
    sources : sequence of path
        Files and folders. Of a category of MVTec AD, its test images are listed.
    recursive : bool
        Include images in subfolders.
    mask_suffix : str or None
        Ending of the names of masks, which are left out, if it is not a usual one.

    Returns
    -------
    list of path
        In the order given, each folder sorted by name. Duplicates are listed once.

    Raises
    ------
    FileNotFoundError
        If a file or folder does not exist, or a folder contains no image.
    ValueError
        If a folder contains outputs of `predict`.
    """
    found: dict[str, Path] = {}
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(
                f"IMAGES: there is no file or folder {str(source)!r}. Check the path."
            )
        files = [source]
        if is_category(source):
            files = list_images(source / "test", "IMAGES", recursive=True, mask_suffix=mask_suffix)
        elif source.is_dir():
            files = list_images(source, "IMAGES", recursive=recursive, mask_suffix=mask_suffix)
        for path in files:
            found.setdefault(identity(path), path)
    refuse_outputs(folders_of(found.values()), "IMAGES")
    return list(found.values())


def list_masks_of(
    images: Iterable[Path], folder: Path, name: str, *, recursive: bool
) -> list[Path]:
    """List the files of a folder that may be masks of images: all but these images.

    Names of masks need no ending, unless they lie with their images.
    """
    own = {identity(image) for image in images}
    files = list_masks(folder, name, recursive=recursive)
    return [path for path in files if identity(path) not in own]


def folders_of(images: Iterable[Path]) -> list[Path]:
    """Return the folders that images lie in, each once."""
    return list(dict.fromkeys(Path(identity(image)).parent for image in images))


def identity(path: Path) -> str:
    """Return the absolute path of an image, which identifies it in any working folder."""
    return os.path.abspath(path)  # noqa: PTH100  # Path.resolve would replace links by their targets.


def name_images(files: Sequence[Path], named: Mapping[str, str]) -> dict[str, str]:
    """Choose a unique name for the outputs of each image.

    By default the name is the stem of the file. If two stems are equal, all names are folder and
    stem, joined by ``_``. If those are not unique either, or too long for a file name, they are
    cut to length and followed by eight digits of a checksum of the path. Comparison ignores case,
    as some file systems do.

    Parameters
    ----------
    files : sequence of path
        Images.
    named : mapping of str to str
        Names given earlier, by absolute path; they do not change.

    Returns
    -------
    dict of str to str
        Names of `files`, by absolute path.

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
    for rule in _RULES:
        # Of all files, named or not, so that a resumed run applies the same rule.
        names = {str(path): rule(path) for path in paths}
        different = len({name.casefold() for name in names.values()}) == len(names)
        new = {name.casefold() for file, name in names.items() if file not in named}
        fit = all(len(os.fsencode(name)) <= _LONGEST_NAME for name in names.values())
        if different and fit and not new & taken:
            break
    return {file: named.get(file, name) for file, name in names.items()}


def name_image(image: Path, taken: Collection[str]) -> str:
    """Choose a name for the outputs of an image that arrives after others, as `name_images`.

    Parameters
    ----------
    image : path
        The image.
    taken : collection of str
        Names of others, with their case folded.

    Examples
    --------
    >>> from pathlib import Path
    >>> from sk_ssimae.cli._files import name_image
    >>> name_image(Path("line/1.png"), {"0"}), name_image(Path("line/1.jpg"), {"0", "1"})
    ('1', 'line_1')
    """
    path = Path(identity(image))
    names = [rule(path) for rule in _RULES]
    free = (
        name
        for name in names
        if name.casefold() not in taken and len(os.fsencode(name)) <= _LONGEST_NAME
    )
    return next(free, names[-1])


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
    # A letter that the cut would split is left out.
    return text[:longest].decode(errors="ignore") + ending


_RULES = (_stem, _folder_and_stem, _with_digest)


def check_output_file(
    path: Path, option: str, inputs: Iterable[Path] = (), *, begins: bytes = b""
) -> None:
    """Refuse an output file that cannot or must not be written, before anything is computed.

    Parameters
    ----------
    path : path
        File that will be written or replaced. Links are followed.
    option : str
        Option to name in errors.
    inputs : iterable of path
        Input files, which must not be replaced.
    begins : bytes
        Start of any file that may be replaced. Empty files may be replaced too.

    Raises
    ------
    OSError
        If the file is a folder, a device, an input or of another kind, or its folder does not exist
        or is not writable.
    """
    target = resolve(path)
    if target.is_dir():
        raise IsADirectoryError(f"{option} must name a file, got the folder {str(path)!r} instead.")
    if target.exists():
        _check_replaceable(target, f"{option}: {str(path)!r}", inputs, begins)
    folder = target.parent
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{option}: the folder {str(folder)!r} does not exist. Create it first."
        )
    if not os.access(folder, os.W_OK):
        raise PermissionError(
            f"{option}: the folder {str(folder)!r} is not writable. Change its permissions, or "
            "choose another folder."
        )


def check_model_file(
    output: Path,
    inputs: Iterable[Path],
    *,
    overwrite: bool,
    remedy: str = "Choose another name, or use --overwrite to replace it.",
) -> None:
    """Check --output as `check_output_file`, and refuse to replace a file unless told to."""
    check_output_file(output, "--output", inputs)
    if os.path.lexists(output) and not overwrite:
        raise FileExistsError(f"--output: {str(output)!r} already exists. {remedy}")


def choose_model_file(
    model: Path, output: Path | None, inputs: Iterable[Path], *, overwrite: bool
) -> Path:
    """Return the checked file of --output or, by default, that of MODEL."""
    if output is None:
        check_output_file(model, "MODEL", inputs)
        return model
    check_model_file(
        output,
        inputs,
        overwrite=overwrite,
        remedy="Choose another name, use --overwrite to replace it, or leave --output out to "
        "replace MODEL.",
    )
    return output


def _check_replaceable(target: Path, name: str, inputs: Iterable[Path], begins: bytes) -> None:
    remedy = "Choose another name."
    if not target.is_file():
        raise FileExistsError(f"{name} is a device, pipe or socket, not a file. {remedy}")
    for given in inputs:
        if given.exists() and given.samefile(target):
            raise FileExistsError(f"{name} is an input of this command ({str(given)!r}). {remedy}")
    if begins and _start(target, len(begins)) not in (b"", begins):
        raise FileExistsError(
            f"{name} already exists and is not a file of the kind to be written: it does not begin "
            f"with {begins.decode(errors='backslashreplace')!r}. {remedy}"
        )


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON to a file, or leave the file as it was."""
    replace_file(path, as_json(content))


def as_json(content: Any) -> bytes:
    """Return indented JSON."""
    return (json.dumps(content, indent=2) + "\n").encode()


def _start(path: Path, length: int) -> bytes:
    with path.open("rb") as file:
        return file.read(length)
