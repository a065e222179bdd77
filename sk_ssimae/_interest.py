"""Regions of interest: masks of the pixels that are inspected."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._pixels import resize
from sk_ssimae._validation import as_collection, from_torch, to_array

Inside = NDArray[np.bool_]


class RegionsOfInterest:
    """Checked masks of the inspected pixels of images, read one at a time.

    Parameters
    ----------
    roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
        True or another number than 0 where a pixel is inspected. None inspects all pixels; a single
        mask holds for all images.
    n_images : int
        Number of images.

    Raises
    ------
    TypeError
        If `roi` is neither an array nor a sequence, such as a path.
    ValueError
        If the number of masks is not that of the images.
    """

    def __init__(self, roi: Any, n_images: int) -> None:
        roi = from_torch(roi, "roi")
        if isinstance(roi, str | os.PathLike):
            raise TypeError(
                f"roi must contain masks (h, w), got {roi!r} instead. Read the file first, for "
                "example with skimage.io.imread."
            )
        self._is_single = roi is not None and _is_mask(roi)
        self._masks = roi if roi is None or self._is_single else as_collection(roi, "roi")
        if self._masks is not None and not self._is_single and len(self._masks) != n_images:
            raise ValueError(
                f"roi must be one mask (h, w), or one for each image, got {len(self._masks)} masks "
                f"for {n_images} images."
            )

    @property
    def is_whole(self) -> bool:
        """Whether all pixels are inspected."""
        return self._masks is None

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> Any:
        """Return the `roi` of some of the images; masks are read when they are needed."""
        if self._masks is None or self._is_single:
            return self._masks
        return _Some(self._masks, [int(index) for index in indices])

    def read(self, index: int, shape: tuple[int, ...]) -> Inside | None:
        """Return the mask of an image of that height and width; None if all is inspected.

        Raises
        ------
        TypeError
            If it is a masked array, or a torch tensor that NumPy cannot represent.
        ValueError
            If it has another shape, does not contain finite numbers, or marks no pixel.
        """
        if self._masks is None:
            return None
        name = "roi" if self._is_single else f"roi[{index}]"
        mask = to_array(self._masks if self._is_single else self._masks[index], name)
        check_mask_values(mask, name)
        if mask.ndim == 3 and mask.shape[-1] == 1:
            mask = mask[..., 0]
        if mask.shape != tuple(shape[:2]):
            raise ValueError(
                f"{name} must have the height and width of image {index}, {tuple(shape[:2])}, got "
                f"{mask.shape} instead."
            )
        inside: Inside = mask != 0
        if not inside.any():
            raise ValueError(
                f"{name} must mark at least one pixel as inspected (True), got none. Leave image "
                f"{index} out, or check the mask."
            )
        return inside


class _Some:
    """Some of many masks, which may not fit into memory together."""

    def __init__(self, masks: Any, indices: list[int]) -> None:
        self._masks, self._indices = masks, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Any:
        return self._masks[self._indices[index]]


def _is_mask(roi: Any) -> bool:
    """Tell a single mask from a collection of masks."""
    if isinstance(roi, np.ndarray):
        return roi.ndim == 2 and roi.dtype.kind != "O"
    if not isinstance(roi, list | tuple) or not roi:
        return False
    return np.ndim(roi[0]) == 1


def check_mask_values(mask: NDArray[Any], name: str) -> None:
    """Check that a mask of inspected pixels contains booleans or finite numbers.

    Raises
    ------
    ValueError
        If it does not.
    """
    if mask.dtype.kind not in "biuf" or not np.isfinite(mask).all():
        raise ValueError(
            f"{name} must contain booleans or finite numbers, 0 where a pixel is not inspected, "
            f"got {mask.dtype} instead. Read files first."
        )


def fill_outside(pixels: NDArray[Any], inside: Inside | None) -> NDArray[Any]:
    """Replace the pixels (h, w, c) outside by those inside, mirrored at the edge of the region.

    Where the mirror image of a pixel is not inside either, the nearest pixel inside is taken. So
    nothing that is computed from the result depends on the pixels outside, and windows across the
    edge contain hardly anything unusual.
    """
    if inside is None:
        return pixels
    from scipy import ndimage  # Slow to import.

    nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    places = np.indices(inside.shape)
    mirrored = np.clip(2 * nearest - places, 0, np.reshape(inside.shape, (2, 1, 1)) - 1)
    source = np.where(inside[tuple(mirrored)], mirrored, nearest)
    return pixels[tuple(source)]


def bounding_box(inside: Inside, least: tuple[int, int]) -> tuple[slice, slice]:
    """Return the rows and columns that contain all pixels inside, at least so many where there are.

    Parameters
    ----------
    inside : array of bool, shape (h, w)
        True somewhere.
    least : tuple of two int
        Smallest height and width of the box, unless the image is smaller.
    """
    rows: Any = inside.any(axis=1)
    columns: Any = inside.any(axis=0)
    return box_around(rows, columns, least)


def box_around(
    rows: NDArray[np.bool_], columns: NDArray[np.bool_], least: tuple[int, int]
) -> tuple[slice, slice]:
    """Return the box of `bounding_box`, given which rows (h,) and columns (w,) have pixels inside.

    Parameters
    ----------
    rows, columns : array of bool, shape (h,) and (w,)
        True somewhere.
    least : tuple of two int
        Smallest height and width of the box, unless the image is smaller.
    """
    return _interval(rows, least[0]), _interval(columns, least[1])


def _interval(has_inside: NDArray[np.bool_], least: int) -> slice:
    hit, length = np.flatnonzero(has_inside), len(has_inside)
    first, stop = int(hit[0]), int(hit[-1]) + 1
    missing = max(min(least, length) - (stop - first), 0)
    first = min(max(first - missing // 2, 0), length - (stop - first + missing))
    return slice(first, max(stop, first + min(least, length)))


def resize_inside(inside: Inside, shape: tuple[int, int]) -> Inside:
    """Resize a mask: True where a pixel of the result lies at least half inside.

    If none does, those are True that lie inside most.
    """
    if inside.shape == shape:
        return inside
    share = resize(inside.astype(np.float32), shape)
    resized: Inside = share >= min(0.5, float(share.max()))
    return resized


def inner_patches(inside: Inside, size: int) -> Inside:
    """Tell which patches of `size` pixels per side training may draw, by their first pixels.

    Those that lie inside, if they cover at least half of the pixels inside. Else the region is too
    narrow for patches, and those are drawn that contain at least half as many pixels inside as the
    fullest.

    Returns
    -------
    array of bool, shape (h - size + 1, w - size + 1)
        True somewhere.
    """
    counts = count_inside(inside, (size, size))
    whole: Inside = counts == size**2
    if whole.any():
        # A pixel is covered if a patch that contains it begins up to size - 1 pixels before.
        covered = count_inside(np.pad(whole, size - 1), (size, size)) > 0
        if covered.sum() >= inside.sum() / 2:
            return whole
    fullest: Inside = counts >= counts.max() / 2
    return fullest


def count_inside(inside: Inside, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Count the pixels inside of each rectangle of a shape, by its first row and column."""
    height, width = shape
    sums = np.pad(inside.astype(np.int64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    counts: NDArray[np.int64] = (
        sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width]
    ) + sums[:-height, :-width]
    return counts
