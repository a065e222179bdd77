"""Images in folders, with their masks. Files are read only when needed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sklearn.utils import Bunch

from sk_ssimae.datasets._listing import as_path, is_category, list_images, list_with_masks, pair
from sk_ssimae.datasets._masks import MaskFiles


def load_image_folder(
    good: str | Path,
    defective: str | Path | None = None,
    masks: str | Path | None = None,
    *,
    recursive: bool = False,
    mask_suffix: str | None = None,
    return_X_y: bool = False,
) -> Any:
    """Load good images, and defective images with their masks, from folders.

    A mask belongs to the defective image whose file name has the same stem, or that stem followed
    by a usual ending such as ``_mask``, ``_gt``, ``-label`` or ``_seg``, in any case. It may lie
    in the folder of the images. Images (PNG, TIFF, JPEG, BMP) are sorted by name; files whose
    names begin with a dot are ignored.

    Parameters
    ----------
    good : path
        Folder of defect-free images, or of one category in the layout of MVTec AD: see
        :func:`load_mvtec_ad`. The other folders are found in it then.
    defective : path, optional
        Folder of images with defects; needs `masks`.
    masks : path, optional
        Folder of masks: 0 where a pixel is good, any other value where it is defective. A mask of
        many levels, as in JPEG files, is cut at half of its largest value.
    recursive : bool, default=False
        Include the images in subfolders. Masks lie in subfolders of the same names.
    mask_suffix : str, optional
        Ending of the names of masks before the file type, such as ``"_defect"``, if it is not a
        usual one.
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

        For a category of MVTec AD, the attributes of :func:`load_mvtec_ad`.

    Raises
    ------
    FileNotFoundError
        If a folder does not exist or contains no images.
    ValueError
        If images and masks do not pair one to one; the message names the files.

    Warns
    -----
    UserWarning
        If masks between the images, subfolders, or images of other types are left out.

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
    if defective is None and is_category(as_path(good, "good")):
        from sk_ssimae.datasets._mvtec_ad import load_category

        return load_category(Path(good), return_X_y=return_X_y)
    good_files = list_images(good, "good", recursive=recursive, mask_suffix=mask_suffix)
    defective_files: list[Path] = []
    mask_files: list[Path] = []
    if defective is not None and masks is not None:
        folders = as_path(defective, "defective"), as_path(masks, "masks")
        defective_files, mask_files = list_with_masks(
            (folders[0], "defective"),
            (folders[1], "masks"),
            recursive=recursive,
            mask_suffix=mask_suffix,
        )
        mask_files = pair(defective_files, mask_files, folders=folders, mask_suffix=mask_suffix)
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
