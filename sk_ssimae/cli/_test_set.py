"""Images with known defects, from the folders that `evaluate` is given."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sklearn.utils import Bunch

from sk_ssimae.cli._files import folders_of, identity, list_inputs, list_masks_of
from sk_ssimae.cli._outputs import refuse_outputs
from sk_ssimae.datasets._folders import as_bunch
from sk_ssimae.datasets._listing import (
    is_category,
    list_with_masks,
    match,
    named,
    pair,
)
from sk_ssimae.datasets._mvtec_ad import load_category

_REASONS = {
    "images without mask": "it has no mask",
    "masks without image": "it has no image",
    "several with the same name": "several images or masks have its name",
}


class Dataset(NamedTuple):
    """Images with known defects.

    Attributes
    ----------
    data : Bunch
        Images and masks, good images first.
    kinds : list of str
        Kind of defect of each image: its subfolder, or the defect type of MVTec AD; empty for good
        images and those in no subfolder.
    left_out : list of str
        A sentence for each file that has no partner.
    """

    data: Bunch
    kinds: list[str]
    left_out: list[str]


def load_test_set(
    images: Path,
    masks: Path | None,
    good: Path | None,
    *,
    skip_bad: bool,
    recursive: bool,
    mask_suffix: str | None,
) -> Dataset:
    """List images and their masks.

    Parameters
    ----------
    images : path
        Folder of images, or of a category of MVTec AD.
    masks : path or None
        Folder of their masks; None if they lie with the images.
    good : path or None
        Folder of good images.
    skip_bad : bool
        Leave out files without a partner.
    recursive : bool
        Include images in subfolders.
    mask_suffix : str or None
        Ending of the names of masks, if it is not a usual one.

    Raises
    ------
    FileNotFoundError
        If a folder does not exist or contains no images.
    ValueError
        If images and masks do not pair and `skip_bad` is False, or images are outputs of `predict`.
    """
    good_files: list[Path] = []
    if good is not None:
        good_files = list_inputs(good, "--good", recursive=recursive, mask_suffix=mask_suffix)
    if masks is None and is_category(images):
        category = load_category(images)
        good_files = [*category.test_good, *good_files]
        mask_files = category.target.mask_paths()
        return _dataset(images / "test", good_files, category.defective, mask_files, [])
    folders = images, masks or images
    image_files, mask_files = list_with_masks(
        (folders[0], "IMAGES"), (folders[1], "MASKS"), recursive=recursive, mask_suffix=mask_suffix
    )
    refuse_outputs(folders_of(image_files), "IMAGES")
    if not skip_bad:
        mask_files = pair(image_files, mask_files, folders=folders, mask_suffix=mask_suffix)
        return _dataset(images, good_files, image_files, mask_files, [])
    found = match(image_files, mask_files, folders=folders, mask_suffix=mask_suffix)
    left_out = [
        f"{str(path)!r} was left out: {_REASONS[reason]}."
        for reason, paths in found.problems.items()
        for path in paths
    ]
    paired = [image for image, _ in found.pairs], [mask for _, mask in found.pairs]
    return _dataset(images, good_files, *paired, left_out)


def _dataset(
    folder: Path, good: list[Path], defective: list[Path], masks: list[Path], left_out: list[str]
) -> Dataset:
    """Put a test set together whose defective images lie in subfolders of a folder."""
    subfolders = (path.parent.relative_to(folder) for path in defective)
    kinds = ["" if subfolder == Path() else str(subfolder) for subfolder in subfolders]
    return Dataset(as_bunch(good, defective, masks), [""] * len(good) + kinds, left_out)


def find_masks(
    images: Sequence[Path],
    sources: Sequence[Path],
    masks: Path | None,
    *,
    recursive: bool,
    mask_suffix: str | None,
) -> dict[str, Path | None]:
    """Find the masks of those images that have one.

    Parameters
    ----------
    images : sequence of path
        Images of `sources`.
    sources : sequence of path
        Files and folders that were given. Masks and good images of a category of MVTec AD are
        known.
    masks : path or None
        Folder of masks, paired with images by file name alone.
    recursive : bool
        Include masks in subfolders.
    mask_suffix : str or None
        Ending of the names of masks, if it is not a usual one.

    Returns
    -------
    dict of str to path or None
        Masks by the absolute path of their image; None for a good image. Other images are absent.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist or contains no images.
    ValueError
        If no mask belongs to an image, or several images or masks have one name.
    """
    found: dict[str, Path | None] = {}
    for source in filter(is_category, sources):
        category = load_category(source)
        found |= {identity(image): None for image in category.test_good}
        paths = category.target.mask_paths()
        found |= {identity(i): p for i, p in zip(category.defective, paths, strict=True)}
    if masks is None:
        return found
    mask_files = list_masks_of(images, masks, "--masks", recursive=recursive)
    pairs, problems = match(images, mask_files, mask_suffix=mask_suffix)
    repeated = problems["several with the same name"]
    if repeated:
        raise ValueError(
            f"--masks: {named(repeated)} have the same name as another image or mask. Rename them, "
            "or pass folders of good images by --good."
        )
    if not pairs:
        raise ValueError(
            f"--masks: no mask in {str(masks)!r} has the name of an image, such as "
            f"{images[0].stem + '_mask.png'!r} or {images[0].stem + '.png'!r}. Rename the masks, "
            "or pass their ending by --mask-suffix."
        )
    return found | {identity(image): mask for image, mask in pairs}
