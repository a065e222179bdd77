"""Images with known defects, from the folders that `evaluate` is given."""

from pathlib import Path
from typing import NamedTuple

from sklearn.utils import Bunch

from sk_ssimae.datasets._folders import as_bunch
from sk_ssimae.datasets._listing import is_category, list_images, list_with_masks, match, pair
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
        If images and masks do not pair and `skip_bad` is False.
    """
    good_files = [] if good is None else list_images(good, "--good", recursive=recursive)
    if masks is None and is_category(images):
        category = load_category(images)
        good_files = [*category.test_good, *good_files]
        mask_files = category.target.mask_paths()
        return _dataset(images / "test", good_files, category.defective, mask_files, [])
    folders = images, masks or images
    image_files, mask_files = list_with_masks(
        (folders[0], "IMAGES"), (folders[1], "MASKS"), recursive=recursive, mask_suffix=mask_suffix
    )
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
