"""Paint one defect into one image and find the pixels that changed."""

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sk_ssimae.datasets._defects._canvas import Canvas, Image, Mask, make_canvas
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
    inside: Mask | None = None,
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
    other : array of shape (h', w', c), of one of these types
        Another good image, from which pieces are taken.
    family : str
        A name from ``FAMILIES``.
    severity : float in (0, 1]
        Share of the largest contrast, opacity or displacement.
    rng : Generator
        Source of place and shape.
    inside : array of bool, shape (h, w), or None
        Pixels that may change, at least one; None for all.

    Returns
    -------
    painted : array of the shape and type of `pixels`
        The image with the defect.
    mask : array of bool, shape (h, w)
        True exactly where at least one channel changed. It is empty if no place was found where the
        defect changes anything.
    """
    white = _white(pixels)
    canvas = make_canvas(pixels.astype(np.float64) / white, other / np.float64(_white(other)))
    amount = _LEAST_AMOUNT + (1 - _LEAST_AMOUNT) * severity
    best = np.zeros(pixels.shape[:2], dtype=bool)
    best_image = pixels
    for place in rng.spawn(_N_TRIES):
        region, drawn = _draw(canvas, family, amount, place, inside)
        painted = _store(np.clip(drawn, 0, 1) * white, pixels, 1e-6 * white)
        may_change = region if inside is None else region & inside
        changed = _largest_part((painted != pixels).any(axis=-1) & may_change)
        if changed.sum() > best.sum():
            best, best_image = changed, painted
        if best.sum() >= _SHARE_OF_REGION * region.sum() > 0:
            break
    return np.where(best[..., None], best_image, pixels), best


def _white(pixels: NDArray[Any]) -> float:
    return float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind == "u" else 1.0


def _draw(
    canvas: Canvas, family: str, amount: float, rng: np.random.Generator, inside: Mask | None
) -> tuple[Mask, Image]:
    """Draw a defect anywhere, or with its centre at a random pixel of those inside.

    Where a family draws does not depend on the pixels. So the image, extended by its mirror image,
    is moved until that pixel is at the centre of the defect, which is then drawn again.
    """
    if inside is None:
        return FAMILIES[family](canvas, amount, rng)
    same = copy.deepcopy(rng)
    region, _ = FAMILIES[family](canvas, amount, rng)
    if not region.any():
        return region, canvas.image
    centre = np.argwhere(region).mean(axis=0).round().astype(int)
    place = np.argwhere(inside)[int(rng.integers(np.count_nonzero(inside)))]
    offsets = (place - centre).tolist()
    rows, columns = (
        _mirror(np.arange(n) + offset, n) for offset, n in zip(offsets, inside.shape, strict=True)
    )
    moved = canvas._replace(image=canvas.image[rows[:, None], columns])
    drawn_region, drawn = FAMILIES[family](moved, amount, same)
    # Back again: the part of the moved image that lies in the image.
    there = tuple(
        slice(max(offset, 0), n + min(offset, 0))
        for offset, n in zip(offsets, inside.shape, strict=True)
    )
    here = tuple(
        slice(cut.start - offset, cut.stop - offset)
        for cut, offset in zip(there, offsets, strict=True)
    )
    region, image = np.zeros(inside.shape, dtype=bool), canvas.image.copy()
    region[there], image[there] = drawn_region[here], drawn[here]
    return region, image


def _mirror(places: NDArray[np.intp], n: int) -> NDArray[np.intp]:
    """Mirror places beyond the first and the last of `n` pixels, at most `n` beyond."""
    mirrored: NDArray[np.intp] = np.where(places < 0, -1 - places, places)
    return np.where(mirrored >= n, 2 * n - 1 - mirrored, mirrored)


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
