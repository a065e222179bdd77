"""MVTec AD, the anomaly detection data set of MVTec."""

from pathlib import Path
from typing import Any

from sklearn.utils import Bunch

from sk_ssimae.datasets._folders import as_bunch
from sk_ssimae.datasets._listing import as_path, list_images, pair

TEXTURES = ("carpet", "grid", "leather", "tile", "wood")


def load_mvtec_ad(root: str | Path, category: str, *, return_X_y: bool = False) -> Any:
    """Load a category of MVTec AD, or of another data set with its layout.

    The licence of the data set is CC BY-NC-SA 4.0. If you accept it, download the data set from its
    page at mvtec.com (company, research, datasets, MVTec AD) and unpack it.

    Parameters
    ----------
    root : path
        Folder of the categories. Each has good images for training in ``train/good``, test
        images in ``test/good``, which may be missing, and ``test/<defect type>``, and the masks of
        ``test/<defect type>/000.png`` as ``ground_truth/<defect type>/000_mask.png``.
    category : str
        Name of the category's folder, such as ``"carpet"``.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch. To keep the test images out of training, use
        the Bunch and fit to `good`.

    Returns
    -------
    Bunch or tuple
        With attributes

        data : list of path
            Good images for training, good test images, then defective images.
        target : sequence of arrays (h, w), bool
            Masks of `data`, all False for good images, read on access.
        good, test_good, defective : list of path
            The three parts of `data`; `defective` in the order of the defect types.
        masks : sequence of arrays (h, w), bool
            Masks of `defective`, read in the same way.
        defect_types : list of str
            Defect type of each image of `defective`.

    Raises
    ------
    FileNotFoundError
        If `root` has no such category (the message names those it has), or the category lacks a
        folder or images.
    ValueError
        If test images and masks do not pair; the message names the files.

    References
    ----------
    P. Bergmann, M. Fauser, D. Sattlegger, C. Steger, "MVTec AD: A Comprehensive Real-World Dataset
    for Unsupervised Anomaly Detection", CVPR 2019.

    Examples
    --------
    >>> from sk_ssimae.datasets import load_mvtec_ad
    >>> carpet = load_mvtec_ad("mvtec_anomaly_detection", "carpet")  # doctest: +SKIP
    >>> segmenter.fit(carpet.good)  # doctest: +SKIP
    >>> segmenter.score(carpet.test_good + carpet.defective, carpet.target[len(carpet.good) :])
    ... # doctest: +SKIP
    """
    folder = _category_folder(as_path(root, "root"), category)
    return load_category(folder, return_X_y=return_X_y)


def load_category(folder: Path, *, return_X_y: bool = False) -> Any:
    """Load the folder of a category; see `load_mvtec_ad`."""
    good = list_images(folder / "train" / "good", "good")
    test, ground_truth = folder / "test", folder / "ground_truth"
    test_good = list_images(test / "good", "test_good") if (test / "good").is_dir() else []
    defective: list[Path] = []
    masks: list[Path] = []
    defect_types: list[str] = []
    for defect_type in _defect_types(test, ground_truth):
        images = list_images(test / defect_type, f"defective ({defect_type})")
        masks += pair(images, list_images(ground_truth / defect_type, f"masks ({defect_type})"))
        defective += images
        defect_types += [defect_type] * len(images)
    data = as_bunch(good, defective, masks, test_good=test_good)
    data.update(test_good=test_good, defect_types=defect_types)
    return (data.data, data.target) if return_X_y else data


def load_mvtec_textures(root: str | Path) -> Any:
    """Load the five textures of MVTec AD: carpet, grid, leather, tile and wood.

    Parameters
    ----------
    root : path
        Folder of the categories; see :func:`load_mvtec_ad`.

    Returns
    -------
    Bunch
        The Bunch of :func:`load_mvtec_ad` for each texture, by name.

    Raises
    ------
    FileNotFoundError
        If a texture is missing (the message names the categories found), or lacks a folder or
        images.
    ValueError
        If test images and masks do not pair.

    Examples
    --------
    >>> from sk_ssimae.datasets import load_mvtec_textures
    >>> textures = load_mvtec_textures("mvtec_anomaly_detection")  # doctest: +SKIP
    >>> for name, texture in textures.items():  # doctest: +SKIP
    ...     segmenter.fit(texture.good)
    """
    return Bunch(**{name: load_mvtec_ad(root, name) for name in TEXTURES})


def _category_folder(root: Path, category: str) -> Path:
    if not root.is_dir():
        raise FileNotFoundError(f"root: the folder {str(root)!r} does not exist. Check the path.")
    found = [name for name in _subfolders(root) if (root / name / "train").is_dir()]
    if not (isinstance(category, str) and category in found):
        raise FileNotFoundError(
            f"category must be one of the categories in {str(root)!r}, got {category!r} instead. "
            f"Found there: {', '.join(found) or 'no folder with a subfolder train'}."
        )
    return root / category


def _defect_types(test: Path, ground_truth: Path) -> list[str]:
    for folder, name in ((test, "test"), (ground_truth, "ground_truth")):
        if not folder.is_dir():
            raise FileNotFoundError(
                f"{name}: the folder {str(folder)!r} does not exist. Check root."
            )
    of_images = [name for name in _subfolders(test) if name != "good"]
    of_masks = [name for name in _subfolders(ground_truth) if name != "good"]
    unpaired = sorted(set(of_images) ^ set(of_masks))
    if unpaired:
        raise ValueError(
            f"The defect types of {str(test)!r} and {str(ground_truth)!r} must be the same; only "
            f"in one of them: {', '.join(unpaired)}. Add or rename the missing folders."
        )
    return of_images


def _subfolders(folder: Path) -> list[str]:
    return sorted(
        path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
