"""Painted copies of good images."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._images import Images
from sk_ssimae._interest import fill_outside
from sk_ssimae._pixels import Conversion

_N_TRIES = 20


class PaintableImages:
    """Good images that are read one at a time, and painted copies of them.

    Parameters
    ----------
    X : array or sequence
        Good images.
    roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
        Inspected pixels.
    names : sequence of str or None
        Names of images in messages, if they are parts of others.
    """

    def __init__(self, X: Any, roi: Any = None, names: Sequence[str] | None = None) -> None:
        self._images = Images(X, conversion=Conversion(alpha_channel="keep"), roi=roi)
        self._X = X
        self._names = names
        self.is_array = self._images.is_array

    def __len__(self) -> int:
        return len(self._images)

    def shape(self, index: int) -> tuple[int, int]:
        """Return the height and width of an image."""
        return self._images.read_shape(index)

    def paint(
        self, index: int, family: str, severity: float, rng: np.random.Generator
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Paint a defect into a copy of an image; return it in the shape of the original."""
        from sk_ssimae.datasets._defects import check_changed, paint_defect

        n_others = len(self) - 1
        other_index = (index + 1 + int(rng.integers(n_others))) % len(self) if n_others else index
        image, other = self._read(index), self._read(other_index)
        inside = None if image.inside is None or image.inside.all() else image.inside
        painted, mask = paint_defect(image.filled, other.filled, family, severity, rng, inside)
        check_changed(mask, family, image.name)
        painted = np.where(mask[..., None], painted, image.pixels)
        painted = np.concatenate([painted, image.rest], axis=-1)
        has_own_axis = self.is_array and self._images.has_channel_axis
        return (painted if has_own_axis or painted.shape[-1] > 1 else painted[..., 0]), mask

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> Any:
        """Return some images as they were given."""
        return self._images.take(indices)

    def take_roi(self, indices: Sequence[int]) -> list[NDArray[np.bool_]] | None:
        """Return the masks of the inspected pixels of some images; None if all are inspected."""
        if self._images.inspects_all:
            return None
        masks = {index: self._images.read_inside(index, self.shape(index)) for index in {*indices}}
        return [mask for mask in (masks[index] for index in indices) if mask is not None]

    def extended_by(self, painted: list[NDArray[Any]]) -> Any:
        """Return the good images as they were given, followed by painted ones."""
        if self.is_array:
            return np.concatenate([np.asarray(self._X), np.stack(painted)])
        return [*self._X, *painted]

    def _read(self, index: int) -> "_Paintable":
        from sk_ssimae.datasets._defects import check_paintable, check_size

        stored, name = self._images.read_stored(index)
        name = name if self._names is None else self._names[index]
        check_size(stored.pixels.shape, name)
        n_channels = stored.pixels.shape[-1]
        may_have_alpha = stored.has_alpha or (n_channels in (2, 4) and stored.has_alpha is None)
        pixels, rest = np.split(stored.pixels, [n_channels - bool(may_have_alpha)], axis=-1)
        inside = self._images.read_inside(index, pixels.shape)
        filled = fill_outside(pixels, inside)
        check_paintable(filled, name)
        return _Paintable(filled, inside, pixels, rest[..., :0] if stored.has_alpha else rest, name)


class _Paintable(NamedTuple):
    """An image to paint.

    Attributes
    ----------
    filled : array of shape (h, w, c)
        The channels to paint, filled outside the region of interest.
    inside : array of bool, shape (h, w), or None
        Inspected pixels.
    pixels : array of shape (h, w, c)
        The channels to paint, as they are stored.
    rest : array of shape (h, w, c')
        The channel to leave, alpha of an array.
    name : str
        Its name in messages.
    """

    filled: NDArray[Any]
    inside: NDArray[np.bool_] | None
    pixels: NDArray[Any]
    rest: NDArray[Any]
    name: str


def key_of_mask(mask: NDArray[np.bool_]) -> bytes:
    """Return a key by which the mask of a painted defect is found again."""
    content = repr(mask.shape).encode() + np.packbits(mask).tobytes()
    return hashlib.blake2b(content, digest_size=16).digest()


def paint_unlike(
    seen: set[bytes], good: PaintableImages, index: int, family: str, severity: float, rng: Any
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Paint a defect whose mask no other has: the score finds its family by the mask."""
    for _ in range(_N_TRIES):
        image, mask = good.paint(index, family, severity, rng)
        key = key_of_mask(mask)
        if key not in seen:
            seen.add(key)
            return image, mask
    raise ValueError(
        f"X[{index}] is too small for another defect unlike the {len(seen)} painted so far. Choose "
        "fewer families or a smaller n_per_family."
    )
