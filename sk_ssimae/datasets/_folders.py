"""Loaders for images in folders. Images stay files until they are needed."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from sk_ssimae._images import read_image

_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp"})


def load_image_folder(
    good: str | Path,
    defective: str | Path | None = None,
    masks: str | Path | None = None,
    *,
    return_X_y: bool = False,
) -> Any:
    """Load good images, and defective ones with their masks, from folders.

    A mask belongs to the defective image whose file name has the same stem, or that stem followed
    by ``_mask`` or ``_gt``. Images (PNG, TIFF, JPEG, BMP) are listed in the order of their names.

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
            Good images, then defective ones.
        target : list of arrays (h, w), bool
            Masks of `data`, all False for good images.
        good, defective : list of path
            The two parts of `data`.
        masks : list of arrays (h, w), bool
            Masks of `defective`.

    Raises
    ------
    FileNotFoundError
        If a folder does not exist or holds no image.
    ValueError
        If images and masks do not pair; the message names the files.

    Examples
    --------
    >>> from sk_ssimae.datasets import load_image_folder
    >>> load_image_folder("no/such/folder")
    Traceback (most recent call last):
        ...
    FileNotFoundError: good: the folder 'no/such/folder' does not exist.
    """
    if (defective is None) != (masks is None):
        raise ValueError("defective and masks belong together: give both folders or neither.")
    good_files = _list_images(good, "good")
    defective_files: list[Path] = []
    mask_arrays: list[NDArray[np.bool_]] = []
    if defective is not None and masks is not None:
        defective_files = _list_images(defective, "defective")
        mask_files = _pair(defective_files, _list_images(masks, "masks"))
        mask_arrays = [read_mask(path) for path in mask_files]
    return as_bunch(good_files, defective_files, mask_arrays, return_X_y=return_X_y)


def load_nanotwice(root: str | Path, *, return_X_y: bool = False) -> Any:
    """Load the NanoTWICE images: nanofibrous material under a scanning electron microscope.

    Five normal images of 700 × 1024 and forty anomalous ones of 696 × 1024 pixels, 8-bit grey.
    Free for research; cite Carrera et al.

    Parameters
    ----------
    root : path
        Folder of the unpacked archive, with ``Normal``, ``Anomalous/images`` and ``Anomalous/gt``.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    Bunch or tuple
        As :func:`load_image_folder` gives it.

    Raises
    ------
    FileNotFoundError
        If `root` lacks one of the folders.
    ValueError
        If images and masks do not pair.

    References
    ----------
    D. Carrera, F. Manganini, G. Boracchi, E. Lanzarone, "Defect Detection in SEM Images of
    Nanofibrous Materials", IEEE Trans. Industrial Informatics 13 (2), 2017.

    Examples
    --------
    >>> from sk_ssimae.datasets import load_nanotwice
    >>> nanofibres = load_nanotwice("dfg05er_Data")  # doctest: +SKIP
    >>> len(nanofibres.good), len(nanofibres.defective)  # doctest: +SKIP
    (5, 40)
    """
    root = Path(root)
    return load_image_folder(
        root / "Normal",
        root / "Anomalous" / "images",
        root / "Anomalous" / "gt",
        return_X_y=return_X_y,
    )


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read a mask file: True where any colour channel is above 0."""
    pixels = read_image(path, f"mask {str(path)!r}")
    if pixels.ndim == 3:
        colours = pixels[..., :-1] if pixels.shape[-1] in (2, 4) else pixels
        return np.asarray((colours > 0).any(axis=-1))
    return np.asarray(pixels > 0)


def as_bunch(
    good: list[Path],
    defective: list[Path],
    masks: list[NDArray[np.bool_]],
    *,
    return_X_y: bool,
) -> Any:
    """Put good and defective images into one Bunch."""
    data = [*good, *defective]
    # A mask of a good image is one value seen from everywhere: it takes no memory.
    target = [np.broadcast_to(np.False_, _image_shape(path)) for path in good] + masks
    if return_X_y:
        return data, target
    return Bunch(data=data, target=target, good=good, defective=defective, masks=masks)


def _list_images(folder: str | Path, name: str) -> list[Path]:
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{name}: the folder {str(folder)!r} does not exist.")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    if not files:
        raise FileNotFoundError(
            f"{name}: the folder {str(folder)!r} holds no image ({', '.join(sorted(_SUFFIXES))})."
        )
    return files


def _pair(images: Iterable[Path], masks: Iterable[Path]) -> list[Path]:
    """Find the mask of each image."""
    mask_of_stem: dict[str, Path] = {}
    for mask in masks:
        mask_of_stem[mask.stem.removesuffix("_mask").removesuffix("_gt")] = mask
    stems = [image.stem for image in images]
    without_mask = sorted(set(stems) - set(mask_of_stem))
    without_image = sorted(mask_of_stem[stem].name for stem in set(mask_of_stem) - set(stems))
    if without_mask or without_image:
        raise ValueError(
            "Images and masks must pair by name; images without mask: "
            f"{', '.join(without_mask) or 'none'}; masks without image: "
            f"{', '.join(without_image) or 'none'}."
        )
    return [mask_of_stem[stem] for stem in stems]


def _image_shape(path: Path) -> tuple[int, int]:
    from PIL import Image

    try:
        with Image.open(path) as image:  # Reads no pixels.
            return image.height, image.width
    except OSError:
        height, width = read_image(path, f"image {str(path)!r}").shape[:2]
        return height, width
