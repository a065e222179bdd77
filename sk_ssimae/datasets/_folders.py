"""Images in folders, paired with their masks by name. Files are read only when needed."""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sklearn.utils import Bunch

from sk_ssimae.datasets._masks import MaskFiles

_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp"})
_MASK_ENDINGS = ("", "_mask", "_gt")


def load_image_folder(
    good: str | Path,
    defective: str | Path | None = None,
    masks: str | Path | None = None,
    *,
    return_X_y: bool = False,
) -> Any:
    """Load good images, and defective images with their masks, from folders.

    A mask belongs to the defective image whose file name has the same stem, or that stem followed
    by ``_mask`` or ``_gt``. Images (PNG, TIFF, JPEG, BMP) are sorted by name; files whose names
    begin with a dot are ignored.

    Parameters
    ----------
    good : path
        Folder of defect-free images.
    defective : path, optional
        Folder of images with defects; needs `masks`.
    masks : path, optional
        Folder of masks: 0 where a pixel is good, any other value where it is defective.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    Bunch or tuple
        With attributes

        data : list of path
            Good images, then defective images.
        target : sequence of arrays (h, w), bool
            Masks of `data`, all False for good images. A mask is read from its file on each
            access; ``list(target)`` keeps all in memory.
        good, defective : list of path
            The two parts of `data`.
        masks : sequence of arrays (h, w), bool
            Masks of `defective`, read in the same way.

    Raises
    ------
    FileNotFoundError
        If a folder does not exist or contains no images.
    ValueError
        If images and masks do not pair one to one; the message names the files.

    Examples
    --------
    >>> from sk_ssimae.datasets import load_image_folder
    >>> load_image_folder("no/such/folder")
    Traceback (most recent call last):
        ...
    FileNotFoundError: good: the folder 'no/such/folder' does not exist. Check the path.
    """
    if (defective is None) != (masks is None):
        given = "masks" if defective is None else "defective"
        raise ValueError(
            f"defective and masks must be passed together, got only {given}. Pass both or neither."
        )
    good_files = list_images(good, "good")
    defective_files: list[Path] = []
    mask_files: list[Path] = []
    if defective is not None and masks is not None:
        defective_files = list_images(defective, "defective")
        mask_files = pair(defective_files, list_images(masks, "masks"))
    data = as_bunch(good_files, defective_files, mask_files)
    return (data.data, data.target) if return_X_y else data


def as_bunch(
    good: list[Path], defective: list[Path], masks: list[Path], *, test_good: Sequence[Path] = ()
) -> Bunch:
    """Put good images, separate good test images if any, and defective images into a Bunch."""
    n_good = len(good) + len(test_good)
    data = [*good, *test_good, *defective]
    target = MaskFiles(data, [*[None] * n_good, *masks])
    return Bunch(data=data, target=target, good=good, defective=defective, masks=target[n_good:])


def list_images(folder: str | Path, name: str) -> list[Path]:
    """List the images of a folder by name; `name` names them in messages.

    Raises
    ------
    TypeError
        If `folder` is not a path.
    FileNotFoundError
        If the folder does not exist or contains no images.
    """
    folder = as_path(folder, name)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{name}: the folder {str(folder)!r} does not exist. Check the path."
        )
    files = sorted(
        path
        for path in folder.iterdir()
        # Some archives contain files such as ._000.png that are not images.
        if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")
    )
    if not files:
        raise FileNotFoundError(
            f"{name}: the folder {str(folder)!r} contains no images. Pass a folder of files with "
            f"the suffixes {', '.join(sorted(_SUFFIXES))}."
        )
    return files


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


def pair(images: Sequence[Path], masks: Sequence[Path]) -> list[Path]:
    """Find the mask of each image.

    Raises
    ------
    ValueError
        If images and masks do not pair one to one; the message names the files.
    """
    images_of_stem = defaultdict(list)
    for image in images:
        images_of_stem[image.stem].append(image)
    masks_of_stem = defaultdict(list)
    without_image = []
    for mask in masks:
        stem = _stem_of_image(mask, images_of_stem)
        if stem is None:
            without_image.append(mask.name)
        else:
            masks_of_stem[stem].append(mask)
    problems = {
        "images without mask": [s for s in images_of_stem if s not in masks_of_stem],
        "masks without image": without_image,
        "several with the same name": [
            path.name
            for stem, found in images_of_stem.items()
            for several in (found, masks_of_stem.get(stem, []))
            if len(several) > 1
            for path in several
        ],
    }
    if any(problems.values()):
        raise ValueError(
            f"Images of {str(images[0].parent)!r} and masks of {str(masks[0].parent)!r} must pair "
            "by name; "
            + "; ".join(f"{what}: {', '.join(n)}" for what, n in problems.items() if n)
            + ". Rename, add or remove files until each image has one mask."
        )
    return [masks_of_stem[image.stem][0] for image in images]


def _stem_of_image(mask: Path, stems: Any) -> str | None:
    """Return the stem of the image that a mask belongs to, or None if there is none."""
    for ending in _MASK_ENDINGS:
        stem = mask.stem.removesuffix(ending)
        if mask.stem.endswith(ending) and stem in stems:
            return stem
    return None
