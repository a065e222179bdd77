"""Synthetic defects with exact masks."""

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from sk_ssimae._validation import is_collection, make_rng, to_array

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


class DefectiveImages(NamedTuple):
    """Images with defects, in the shape of the good images, and their masks (n, h, w)."""

    images: Image
    masks: Mask


def draw_defects(
    images: ArrayLike,
    *,
    kinds: Sequence[str] = ("cut", "blur", "contamination", "missing_thread", "stain", "misweave"),
    n_defects: int = 1,
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
) -> DefectiveImages:
    """Draw defects into good images and mark every pixel that they touch.

    High-contrast kinds are ``"cut"``, a dark gash, and ``"contamination"``, a bright lump.
    Low-contrast kinds are ``"stain"``, a faint shadow; ``"blur"``, washed-out texture;
    ``"misweave"``, texture that runs in another direction; ``"missing_thread"``, a strip of smeared
    texture; and ``"doubled_thread"``, a strip of texture squeezed to half its width, with twice as
    many threads. Blur, misweave, missing and doubled threads change the structure but hardly the
    grey values. ``"scratch"`` is a thin, long, nearly straight line, dark or bright, faint or
    strong.

    Parameters
    ----------
    images : array of shape (n, h, w) or (n, h, w, c)
        Good images in [0, 1], at least 32 pixels high and wide. They are not changed.
    kinds : sequence of str
        Kinds to draw, any of those above. Defects cycle through them, image after image.
    n_defects : int, default=1
        Number of defects per image. They may touch each other.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the positions and shapes.

    Returns
    -------
    DefectiveImages
        Named tuple ``(images, masks)``: a float32 array of the shape of `images` and a bool array
        of shape (n, h, w). Outside the masks the images are unchanged.

    Raises
    ------
    TypeError
        If the images are not real numbers.
    ValueError
        If the images have the wrong rank, size or range, a kind is unknown, `kinds` is empty, or
        `n_defects` is not positive.

    Examples
    --------
    >>> from sk_ssimae.datasets import draw_defects, make_woven_fabric
    >>> good = make_woven_fabric(3, shape=(64, 64), random_state=0)
    >>> defective, masks = draw_defects(good, random_state=0)
    >>> bool((defective[~masks] == good[~masks]).all()), bool(masks.any(axis=(1, 2)).all())
    (True, True)
    """
    good = to_array(images, "images", "(n, h, w) or (n, h, w, c)")
    if good.dtype.kind not in "biuf":
        raise TypeError(f"images must contain real numbers, got {good.dtype} instead.")
    if good.ndim not in (3, 4) or good.size == 0 or min(good.shape[1:3]) < 32:
        raise ValueError(
            "images must have shape (n, h, w) or (n, h, w, c) with n at least 1 and h and w at "
            f"least 32, got shape {good.shape} instead."
        )
    if not (good.min() >= 0 and good.max() <= 1):
        raise ValueError(
            f"images must lie in [0, 1], got values from {good.min():g} to {good.max():g} instead. "
            "Divide by the largest possible value."
        )
    defective = good.astype(np.float32, order="C")
    kinds = _check_kinds(kinds)
    if not isinstance(n_defects, Integral) or isinstance(n_defects, bool) or n_defects < 1:
        raise ValueError(f"n_defects must be an integer of at least 1, got {n_defects!r} instead.")
    rng = make_rng(random_state)
    masks = np.zeros(good.shape[:3], dtype=bool)
    with_channels = defective.reshape(*good.shape[:3], -1)  # A view, changed in place below.
    for index, image in enumerate(with_channels):
        for number in range(n_defects):
            draw = _DRAWERS[kinds[(index * n_defects + number) % len(kinds)]]
            region, drawn = draw(image, rng)
            image[region] = np.clip(drawn[region], 0, 1)
            masks[index] |= region
    return DefectiveImages(defective, masks)


def _check_kinds(kinds: Any) -> list[str]:
    names = list(kinds) if is_collection(kinds) else []
    if not names or not all(isinstance(name, str) and name in _DRAWERS for name in names):
        raise ValueError(f"kinds must be chosen from {sorted(_DRAWERS)}, got {kinds!r} instead.")
    return names


# Each drawer takes an image (h, w, c). It returns a mask (h, w) of the pixels to change and an
# image with their new values, in c channels or one for all.


def _cut(image: Image, rng: np.random.Generator) -> tuple[Mask, Image]:
    line = _curve(image.shape[:2], rng, length=rng.uniform(0.2, 0.4))
    distance = ndimage.distance_transform_edt(~line)
    width = rng.uniform(1.5, 3.0)
    return distance <= width, _times(image, 0.25 + 0.35 * distance / width)


def _scratch(image: Image, rng: np.random.Generator) -> tuple[Mask, Image]:
    line = _curve(image.shape[:2], rng, length=rng.uniform(0.4, 0.8), bending=0.002)
    region = ndimage.distance_transform_edt(~line) <= rng.uniform(0.5, 1.6)
    grey = rng.choice([0.05, 0.95])
    strength = rng.uniform(0.3, 0.9)
    return region, (image + strength * (grey - image)).astype(np.float32)


def _contamination(image: Image, rng: np.random.Generator) -> tuple[Mask, Image]:
    region = _blob(image.shape[:2], rng, radius=rng.uniform(0.02, 0.05))
    depth = ndimage.distance_transform_edt(region)
    lump = 0.75 + 0.2 * np.minimum(depth / 4, 1) + 0.03 * rng.standard_normal(region.shape)
    return region, lump.astype(np.float32)[..., None]


def _stain(image: Image, rng: np.random.Generator) -> tuple[Mask, Image]:
    region = _blob(image.shape[:2], rng, radius=rng.uniform(0.05, 0.1))
    depth = np.minimum(ndimage.distance_transform_edt(region) / 3, 1)
    return region, _times(image, 1 - 0.25 * depth)


def _blur(image: Image, rng: np.random.Generator) -> tuple[Mask, Image]:
    region = _blob(image.shape[:2], rng, radius=rng.uniform(0.05, 0.1))
    return region, ndimage.gaussian_filter(image, (3.0, 3.0, 0.0))


def _misweave(image: Image, rng: np.random.Generator) -> tuple[Mask, Image]:
    region = _blob(image.shape[:2], rng, radius=rng.uniform(0.05, 0.1))
    rows, columns = ndimage.find_objects(region.astype(np.uint8))[0]
    size = max(rows.stop - rows.start, columns.stop - columns.start)
    first = (min(cut.start, n - size) for cut, n in zip((rows, columns), region.shape, strict=True))
    square = tuple(slice(start, start + size) for start in first)
    turned = image.copy()
    turned[square] = np.rot90(image[square])
    return region, turned


def _missing_thread(image: Image, rng: np.random.Generator) -> tuple[Mask, Image]:
    width = max(4, round(0.025 * min(image.shape[:2])))
    region, axis, _ = _strip(image.shape[:2], rng, width, margin=0)
    # The crossing threads remain, smeared along the gap.
    smeared = ndimage.uniform_filter1d(image, 4 * width + 1, axis=1 - axis)
    return region, smeared


def _doubled_thread(image: Image, rng: np.random.Generator) -> tuple[Mask, Image]:
    half = max(4, round(0.03 * min(image.shape[:2])))
    region, axis, first = _strip(image.shape[:2], rng, 2 * half, margin=half)
    # The strip and half its width on either side are squeezed into the strip.
    first_source = 2 * (np.arange(image.shape[axis]) - first) + first - half
    squeezed = [np.take(image, first_source + shift, axis, mode="clip") for shift in (0, 1)]
    return region, (squeezed[0] + squeezed[1]) / 2


def _times(image: Image, factor: NDArray[np.float64]) -> Image:
    product: Image = image * factor.astype(np.float32)[..., None]
    return product


def _strip(
    shape: tuple[int, ...], rng: np.random.Generator, width: int, margin: int
) -> tuple[Mask, int, int]:
    """Draw a straight region half as long as the image; also return its axis and first line."""
    axis = int(rng.integers(2))
    first = margin + int(rng.integers(shape[axis] - width - 2 * margin))
    length = shape[1 - axis]
    start = int(rng.integers(length // 2))
    strip = [slice(first, first + width), slice(start, start + length // 2)]
    region = np.zeros(shape, dtype=bool)
    region[tuple(strip if axis == 0 else strip[::-1])] = True
    return region, axis, first


def _blob(shape: tuple[int, ...], rng: np.random.Generator, radius: float) -> Mask:
    """Draw a region with a wavy outline; `radius` is a fraction of the image's shorter side."""
    size = radius * min(shape)
    centre = [rng.uniform(min(2 * size, n / 3), n - min(2 * size, n / 3)) for n in shape]
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    angle = np.arctan2(rows - centre[0], columns - centre[1])
    distance = np.hypot(rows - centre[0], (columns - centre[1]) / rng.uniform(0.7, 1.4))
    outline = np.ones(shape)
    for frequency in (2, 3, 5):
        outline += rng.uniform(-0.15, 0.15) * np.cos(frequency * angle + rng.uniform(0, 2 * np.pi))
    return distance <= np.maximum(size, 2.0) * outline


def _curve(
    shape: tuple[int, ...], rng: np.random.Generator, length: float, bending: float = 0.03
) -> Mask:
    """Draw a curved line one pixel wide.

    `length` is a fraction of the image's shorter side; `bending` is the standard deviation, in
    radians, of the turn at every half pixel.
    """
    n_steps = int(length * min(shape) * 2)
    bends = np.cumsum(rng.normal(0, bending, n_steps)) + rng.uniform(0, 2 * np.pi)
    path = 0.5 * np.cumsum([np.sin(bends), np.cos(bends)], axis=1)
    path += [[rng.uniform(0.25, 0.75) * n] for n in shape] - path.mean(axis=1, keepdims=True)
    rows, columns = np.rint(path).astype(int)
    line = np.zeros(shape, dtype=bool)
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    line[rows[inside], columns[inside]] = True
    return line


_DRAWERS: dict[str, Callable[[Image, np.random.Generator], tuple[Mask, Image]]] = {
    "blur": _blur,
    "contamination": _contamination,
    "cut": _cut,
    "doubled_thread": _doubled_thread,
    "missing_thread": _missing_thread,
    "misweave": _misweave,
    "scratch": _scratch,
    "stain": _stain,
}
