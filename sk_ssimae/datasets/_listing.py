"""List the images of folders, and pair them with their masks by name."""

import mimetypes
import os
import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

SUFFIXES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp"})
# Images that are not read, besides those that Python's table of types knows.
_OTHER_SUFFIXES = frozenset({".jp2", ".heic", ".heif", ".avif", ".webp", ".dng", ".exr", ".npy"})
_MASK_ENDING = re.compile(
    r"[-_. ](masks?|gt|labels?|seg|segmentation|ground_?truth|truth|annotation)$", re.IGNORECASE
)
_N_NAMED = 5


def is_category(folder: Path) -> bool:
    """Return whether a folder has the layout of a category of MVTec AD."""
    return (folder / "train" / "good").is_dir()


def list_images(
    folder: str | Path, name: str, *, recursive: bool = False, mask_suffix: str | None = None
) -> list[Path]:
    """List the images of a folder by name, without masks; `name` names them in messages.

    Raises
    ------
    TypeError
        If `folder` is not a path.
    FileNotFoundError
        If the folder does not exist or contains no images.

    Warns
    -----
    UserWarning
        If masks between the images, subfolders, or images of other types are left out.
    """
    folder = as_path(folder, name)
    files = _list_files(folder, name, recursive)
    stems = {path.with_suffix("") for path in files}
    masks = [path for path in files if {*_stems_of_image(path, mask_suffix)} & stems]
    if masks:
        _warn(f"{name}: left {named(masks)} out, which are masks of other images by their names.")
    return [path for path in files if path not in {*masks}]


def list_with_masks(
    images: tuple[str | Path, str],
    masks: tuple[str | Path, str],
    *,
    recursive: bool = False,
    mask_suffix: str | None = None,
) -> tuple[list[Path], list[Path]]:
    """List images and masks, perhaps of one folder; folders come with their names in messages.

    Raises
    ------
    TypeError, FileNotFoundError
        As `list_images`.
    """
    image_folder, mask_folder = as_path(*images), as_path(*masks)
    mask_files = _list_files(mask_folder, masks[1], recursive)
    if image_folder.is_dir() and image_folder.samefile(mask_folder):
        stems = {path.with_suffix("") for path in mask_files}
        is_mask = [bool({*_stems_of_image(path, mask_suffix)} & stems) for path in mask_files]
        image_files = [path for path, mask in zip(mask_files, is_mask, strict=True) if not mask]
        mask_files = [path for path, mask in zip(mask_files, is_mask, strict=True) if mask]
    else:
        image_files = list_images(
            image_folder, images[1], recursive=recursive, mask_suffix=mask_suffix
        )
    return image_files, mask_files


def list_masks(folder: str | Path, name: str, *, recursive: bool = False) -> list[Path]:
    """List all images of a folder, masks by their names or not; `name` names it in messages.

    Raises
    ------
    TypeError, FileNotFoundError
        As `list_images`.
    """
    return _list_files(as_path(folder, name), name, recursive)


def _list_files(folder: Path, name: str, recursive: bool) -> list[Path]:
    """List the image files of a folder; warn of files that are passed over."""
    if folder.is_file():
        raise NotADirectoryError(
            f"{name} must be a folder, got the file {str(folder)!r} instead. Pass its folder."
        )
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{name}: the folder {str(folder)!r} does not exist. Check the path."
        )
    # Some archives contain files such as ._000.png that are not images.
    visible = sorted(
        path
        for path in (folder.rglob("*") if recursive else folder.iterdir())
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    files = [path for path in visible if path.suffix.lower() in SUFFIXES and not path.is_dir()]
    others = [path for path in visible if _is_other_image(path)]
    subfolders = [] if recursive else [path for path in visible if _has_images(path)]
    if not files:
        hint = f" Its subfolders {named(subfolders)} do: name one." if subfolders else ""
        raise FileNotFoundError(
            f"{name}: the folder {str(folder)!r} contains no images. Pass a folder of files with "
            f"the suffixes {', '.join(sorted(SUFFIXES))}.{hint}"
        )
    if others:
        _warn(f"{name}: passed over {named(others)}. Convert them to PNG or TIFF to use them.")
    if subfolders:
        _warn(
            f"{name}: passed over the subfolders {named(subfolders)}, which contain images. "
            "Include them by recursive=True (--recursive)."
        )
    return files


def _is_other_image(path: Path) -> bool:
    return is_other_suffix(path.suffix.lower()) and path.is_file()


@lru_cache(maxsize=256)
def is_other_suffix(suffix: str) -> bool:
    """Return whether a suffix, in lower case, is that of images that are not read."""
    kind = mimetypes.guess_type(f"image{suffix}")[0] or ""
    is_image = kind.startswith("image/") or suffix in _OTHER_SUFFIXES
    return is_image and suffix not in SUFFIXES


def _has_images(path: Path) -> bool:
    if not path.is_dir():
        return False
    try:
        return any(file.suffix.lower() in SUFFIXES for file in path.iterdir())
    except OSError:  # Not readable: nothing to recommend.
        return False


def named(paths: Sequence[Path]) -> str:
    """Name a few files in a message."""
    names = ", ".join(repr(path.name) for path in paths[:_N_NAMED])
    return names if len(paths) <= _N_NAMED else f"{names} and {len(paths) - _N_NAMED} more"


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=4)


def as_path(path: Any, name: str) -> Path:
    """Convert an argument to a path.

    Raises
    ------
    TypeError
        If it is not a path.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{name} must be the path of a folder, got {path!r} instead.")
    return Path(path)


class Matches(NamedTuple):
    """Images with their masks, and the files that do not pair, by the reason."""

    pairs: list[tuple[Path, Path]]
    problems: dict[str, list[Path]]


def match(
    images: Sequence[Path],
    masks: Sequence[Path],
    *,
    folders: tuple[Path, Path] | None = None,
    mask_suffix: str | None = None,
) -> Matches:
    """Find the mask of each image that has one.

    Parameters
    ----------
    images, masks : sequence of path
        The files.
    folders : tuple of two path, optional
        Folders of images and of masks, whose subfolders have the same names. By default only the
        names of the files count.
    mask_suffix : str, optional
        Ending of the names of masks, if it is not a usual one.
    """
    image_folder, mask_folder = folders or (None, None)
    images_of_stem = defaultdict(list)
    for image in images:
        images_of_stem[_stem(image, image_folder)].append(image)
    masks_of_stem = defaultdict(list)
    without_image = []
    for mask in masks:
        stem = _stem(mask, mask_folder)
        candidates = (stem, *_stems_of_image(stem, mask_suffix))
        owner = next((one for one in candidates if one in images_of_stem), None)
        if owner is None:
            without_image.append(mask)
        else:
            masks_of_stem[owner].append(mask)
    pairs, without_mask, repeated = [], [], []
    for stem, same in images_of_stem.items():
        found = masks_of_stem.get(stem, [])
        if not found:
            without_mask += same
        if len(same) > 1 or len(found) > 1:
            repeated += [path for several in (same, found) if len(several) > 1 for path in several]
        elif found:
            pairs.append((same[0], found[0]))
    problems = {
        "images without mask": without_mask,
        "masks without image": without_image,
        "several with the same name": repeated,
    }
    return Matches(pairs, problems)


def pair(
    images: Sequence[Path],
    masks: Sequence[Path],
    *,
    folders: tuple[Path, Path] | None = None,
    mask_suffix: str | None = None,
) -> list[Path]:
    """Find the mask of each image; the parameters are those of `match`.

    Raises
    ------
    ValueError
        If images and masks do not pair one to one; the message names the files.
    """
    pairs, problems = match(images, masks, folders=folders, mask_suffix=mask_suffix)
    if any(problems.values()):
        named = [
            f"{reason}: {', '.join(path.name for path in paths)}"
            for reason, paths in problems.items()
            if paths
        ]
        raise ValueError(
            f"Images of {str(images[0].parent)!r} and masks of {_parent(masks)} must pair by name; "
            f"{'; '.join(named)}. Rename, add or remove files until each image has one mask. Usual "
            "endings of masks are _mask, _gt, _label and _seg; mask_suffix (--mask-suffix) names "
            "another."
        )
    return [mask for _, mask in pairs]


def _parent(masks: Sequence[Path]) -> str:
    return repr(str(masks[0].parent)) if masks else "the same folder"


def _stem(path: Path, folder: Path | None) -> Path:
    """Return the name of a file without its suffix, with its subfolders below `folder`."""
    return Path(path.stem) if folder is None else path.relative_to(folder).with_suffix("")


def _stems_of_image(mask: Path, mask_suffix: str | None) -> Iterator[Path]:
    """Yield the stems of images that a mask may belong to by the ending of its name."""
    stem = mask.stem if mask.suffix.lower() in SUFFIXES else mask.name
    if mask_suffix and stem.endswith(mask_suffix):
        yield mask.with_name(stem.removesuffix(mask_suffix) or stem)
    shorter = _MASK_ENDING.sub("", stem)
    if shorter not in ("", stem):
        yield mask.with_name(shorter)
