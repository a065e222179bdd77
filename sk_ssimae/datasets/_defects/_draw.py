"""Draw defects into many images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sk_ssimae._validation import is_collection, make_rng, to_array
from sk_ssimae.datasets._defects._families import FAMILIES
from sk_ssimae.datasets._defects._painting import paint_defect

LEAST_SIZE = 8


@dataclass(frozen=True, eq=False)
class DefectiveImages:
    """Images with synthetic defects; unpacks into ``images, masks``.

    Attributes
    ----------
    images : array of the shape and type of the good images
        Images with defects.
    masks : array of bool, shape (n, h, w)
        True exactly where a pixel differs from the good image.
    families : tuple of n tuples of str
        Families of the defects of each image, in the order in which they were drawn.
    """

    images: NDArray[Any]
    masks: NDArray[np.bool_]
    families: tuple[tuple[str, ...], ...]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return iter((self.images, self.masks))


def draw_defects(
    images: ArrayLike,
    *,
    families: Sequence[str] = (
        *("cut", "blur", "contamination", "missing_line", "stain", "rotation"),
    ),
    severity: float = 1.0,
    n_defects: int = 1,
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
) -> DefectiveImages:
    """Draw defects into good images and mark every pixel that they change.

    Marks change grey values: ``"cut"``, a dark gash; ``"scratch"``, a thin, long, nearly straight
    line; ``"contamination"``, a lump of dust, bright or dark; ``"stain"``, a faint shadow;
    ``"crease"``, a fold or ridge of low contrast. Other families change the texture but hardly the
    grey values: ``"blur"``, washed-out texture; ``"warp"``, shifted texture; ``"rotation"``,
    texture that runs in another direction; ``"missing_line"``, a strip of smeared texture;
    ``"doubled_line"``, a strip of texture squeezed to half its width; ``"scar"``, a thin, turned
    bar of another good image; ``"foreign_texture"``, streaky noise of the same mean and contrast.

    Contrast is relative to that of each image, so that defects suit dim and flat images too.

    Parameters
    ----------
    images : array of shape (n, h, w) or (n, h, w, c)
        Good images: uint8, uint16, or floats in [0, 1], at least 8 pixels high and wide. They are
        not changed.
    families : sequence of str
        Families to draw, any of those above. Defects cycle through them, image after image.
    severity : float in (0, 1], default=1
        Share of the largest contrast (marks), opacity (changes of texture), displacement (warp) or
        width of the filter (blur). The weakest defects have a tenth of it.
    n_defects : int, default=1
        Number of defects per image. They may touch each other.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the positions and shapes. They do not depend on `severity`, unless a defect has to
        be moved because it changes too little.

    Returns
    -------
    DefectiveImages
        Images of the shape and type of `images`, masks of shape (n, h, w), and the families of each
        image. A pixel is marked exactly if one of its channels changed. A single defect is one
        8-connected region.

    Raises
    ------
    TypeError
        If the images are neither uint8, uint16 nor floats.
    ValueError
        If the images have the wrong rank, size or range, a family is unknown, `families` is empty,
        `severity` is not in (0, 1], `n_defects` is not positive, or a defect changes nothing
        because an image is flat or saturated.

    References
    ----------
    C.-L. Li, K. Sohn, J. Yoon, T. Pfister, "CutPaste: Self-Supervised Learning for Anomaly
    Detection and Localization", CVPR 2021, for scars; V. Zavrtanik, M. Kristan, D. Skočaj, "DRÆM -
    A discriminatively trained reconstruction embedding for surface anomaly detection", ICCV 2021,
    for foreign texture.

    Examples
    --------
    >>> from sk_ssimae.datasets import draw_defects, make_woven_fabric
    >>> good = make_woven_fabric(3, shape=(64, 64), random_state=0)
    >>> drawn = draw_defects(good, families=["crease", "scar"], severity=0.3, random_state=0)
    >>> drawn.families
    (('crease',), ('scar',), ('crease',))
    >>> bool((drawn.masks == (drawn.images != good)).all())
    True
    """
    good = _check_images(images)
    names = check_families(families)
    check_severity(severity)
    if not isinstance(n_defects, Integral) or isinstance(n_defects, bool) or n_defects < 1:
        raise ValueError(f"n_defects must be an integer of at least 1, got {n_defects!r} instead.")
    rng = make_rng(random_state)
    with_channels = good.reshape(*good.shape[:3], -1)
    painted = with_channels.copy()
    cycle = [
        tuple(names[(index * n_defects + number) % len(names)] for number in range(n_defects))
        for index in range(len(good))
    ]
    for index, own in enumerate(cycle):
        other = with_channels[(index + 1) % len(good)]
        for family in own:
            painted[index], mask = paint_defect(painted[index], other, family, severity, rng)
            check_changed(mask, family, f"images[{index}]")
    masks = (painted != with_channels).any(axis=-1)
    return DefectiveImages(painted.reshape(good.shape), masks, tuple(cycle))


def check_families(families: Any) -> list[str]:
    """Check names of families, and return them as a list."""
    names = list(families) if is_collection(families) else []
    if not names or not all(isinstance(name, str) and name in FAMILIES for name in names):
        raise ValueError(
            f"families must be chosen from {sorted(FAMILIES)}, got {families!r} instead."
        )
    return [str(name) for name in names]


def check_severity(severity: Any) -> None:
    """Check that a severity lies in (0, 1]."""
    number: Any = severity
    if not isinstance(severity, Real) or isinstance(severity, bool) or not 0 < number <= 1:
        raise ValueError(f"severity must lie in (0, 1], got {severity!r} instead.")


def check_paintable(pixels: NDArray[Any], name: str) -> None:
    """Check the type and range of an image or images.

    Raises
    ------
    TypeError
        If they are neither uint8, uint16 nor floats.
    ValueError
        If floats are not finite or outside [0, 1].
    """
    kind, size = pixels.dtype.kind, pixels.dtype.itemsize
    if kind != "f" and not (kind == "u" and size <= 2):
        raise TypeError(
            f"{name} must be uint8, uint16 or floats in [0, 1], got {pixels.dtype} instead. Divide "
            "other numbers by the largest possible value."
        )
    low, high = pixels.min(), pixels.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(
            f"{name} must be finite, got NaN or infinity instead. Replace them, for example with "
            "numpy.nan_to_num, or leave the image out."
        )
    if kind == "f" and not (low >= 0 and high <= 1):
        raise ValueError(
            f"{name} must have floats in [0, 1], got values from {low:g} to {high:g} instead. "
            "Subtract the smallest possible value and divide by the length of the range."
        )


def check_size(shape: tuple[int, ...], name: str) -> None:
    """Check that an image of a shape (h, w, ...) is large enough for defects."""
    if min(shape[:2]) < LEAST_SIZE:
        raise ValueError(
            f"{name} must be at least {LEAST_SIZE} pixels high and wide, got shape {shape} "
            "instead. Leave it out."
        )


def check_changed(mask: NDArray[np.bool_], family: str, name: str) -> None:
    """Refuse a defect that changed nothing."""
    if not mask.any():
        raise ValueError(
            f"families={family!r} changes nothing in {name}, which is flat or saturated. Choose "
            "other families, or leave the image out."
        )


def _check_images(images: Any) -> NDArray[Any]:
    good = to_array(images, "images", "(n, h, w) or (n, h, w, c)")
    if good.ndim not in (3, 4) or good.size == 0:
        raise ValueError(
            "images must have shape (n, h, w) or (n, h, w, c) with n at least 1, got shape "
            f"{good.shape} instead."
        )
    check_paintable(good, "images")
    check_size(good.shape[1:], "images")
    return good
