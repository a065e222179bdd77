"""Paint one defect into one image and find the pixels that changed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sk_ssimae.datasets._defects._canvas import Image, Mask, make_canvas
from sk_ssimae.datasets._defects._families import FAMILIES

# A defect may fall where the image is saturated or flat: it is then drawn somewhere else.
_N_TRIES = 20
_SHARE_OF_REGION = 0.5
# Opacity, contrast or displacement at severity 0, as a share of that at severity 1.
_LEAST_AMOUNT = 0.1
_EIGHT_NEIGHBOURS = np.ones((3, 3))


def paint_defect(
    pixels: NDArray[Any],
    other: NDArray[Any],
    family: str,
    severity: float,
    rng: np.random.Generator,
) -> tuple[NDArray[Any], Mask]:
    """Paint one defect of a family into a copy of an image.

    The defect is one region: changed pixels that do not touch its largest 8-connected part keep
    their old values. Integers are rounded away from their old values, so that weak defects have no
    holes. At another severity, the same defect is drawn with the same generator, unless it has to
    be moved because it changes too little.

    Parameters
    ----------
    pixels : array of shape (h, w, c)
        A good image: uint8, uint16, or floats in [0, 1].
    other : array of shape (h', w', c) of the same type
        Another good image, from which pieces are taken.
    family : str
        A name from ``FAMILIES``.
    severity : float in (0, 1]
        Share of the largest contrast, opacity or displacement.
    rng : Generator
        Source of place and shape.

    Returns
    -------
    painted : array of the shape and type of `pixels`
        The image with the defect.
    mask : array of bool, shape (h, w)
        True exactly where at least one channel changed. It is empty if no place was found where the
        defect changes anything.
    """
    white = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    canvas = make_canvas(pixels.astype(np.float64) / white, other.astype(np.float64) / white)
    amount = _LEAST_AMOUNT + (1 - _LEAST_AMOUNT) * severity
    best = np.zeros(pixels.shape[:2], dtype=bool)
    best_image = pixels
    for place in rng.spawn(_N_TRIES):
        region, drawn = FAMILIES[family](canvas, amount, place)
        painted = _store(np.clip(drawn, 0, 1) * white, pixels, 1e-6 * white)
        changed = _largest_part((painted != pixels).any(axis=-1) & region)
        if changed.sum() > best.sum():
            best, best_image = changed, painted
        if best.sum() >= _SHARE_OF_REGION * region.sum() > 0:
            break
    return np.where(best[..., None], best_image, pixels), best


def _store(drawn: Image, pixels: NDArray[Any], tolerance: float) -> NDArray[Any]:
    """Convert new values to the type of the old ones; integers are rounded away from those.

    Smaller changes than `tolerance` are rounding errors of filters: the old value remains.
    """
    change = drawn - pixels
    if pixels.dtype.kind == "u":
        drawn = np.where(change > 0, np.ceil(drawn), np.floor(drawn))
    return np.where(np.abs(change) > tolerance, drawn.astype(pixels.dtype), pixels)


def _largest_part(mask: Mask) -> Mask:
    labels, n_parts = ndimage.label(mask, structure=_EIGHT_NEIGHBOURS)
    if n_parts <= 1:
        return mask
    return np.asarray(labels == 1 + np.bincount(labels[mask])[1:].argmax())
