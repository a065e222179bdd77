"""Masks in files, read on access."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._reading._files import read_image, read_shape

Mask = NDArray[np.bool_]

# Black, and eight kinds of defects.
_FEW_LEVELS = 9
# A mask has other levels at its edges alone.
_LARGEST_SHARE_OF_EDGES = 0.25


class MaskFiles(Sequence[Mask]):
    """Sequence of masks (h, w) that reads each mask from its file on every access.

    Parameters
    ----------
    images : sequence of path
        The images that the masks belong to.
    masks : sequence of path or None
        The mask of each image, or None for a good image: its mask is False everywhere and has the
        image's height and width.
    """

    def __init__(self, images: Sequence[Path], masks: Sequence[Path | None]) -> None:
        self._pairs = list(zip(images, masks, strict=True))

    def __len__(self) -> int:
        return len(self._pairs)

    def paths(self) -> list[Path]:
        """Return the files of images and masks."""
        return [path for pair in self._pairs for path in pair if path is not None]

    def mask_paths(self) -> list[Path]:
        """Return the files of masks."""
        return [mask for _, mask in self._pairs if mask is not None]

    @overload
    def __getitem__(self, index: int) -> Mask: ...

    @overload
    def __getitem__(self, index: slice) -> "MaskFiles": ...

    def __getitem__(self, index: Any) -> Any:
        """Read a mask; a slice returns a sequence and reads nothing yet."""
        if isinstance(index, slice):
            pairs = self._pairs[index]
            return MaskFiles([image for image, _ in pairs], [mask for _, mask in pairs])
        image, mask = self._pairs[index]
        if mask is not None:
            return read_mask(mask)
        # A broadcast scalar takes no memory.
        return np.broadcast_to(np.False_, read_shape(image, f"image {str(image)!r}"))

    def __repr__(self) -> str:
        n_good = sum(mask is None for _, mask in self._pairs)
        return f"<masks of {n_good} good and {len(self) - n_good} defective images>"


def read_mask(path: Path) -> Mask:
    """Read a mask file: True where any colour channel is above 0, or above half.

    A mask of many levels was saved as JPEG or resized with interpolation, which spreads its edges:
    it is cut at half of its largest value. Few levels may be kinds of defects.

    Raises
    ------
    ValueError
        If the file cannot be read or looks like a photograph.

    Warns
    -----
    UserWarning
        If the mask marks no pixel.
    """
    name = f"mask {str(path)!r}"
    stored = read_image(path, name)
    pixels = stored.pixels
    if pixels.ndim == 3:
        colours = pixels[..., :-1] if stored.has_alpha or pixels.shape[-1] in (2, 4) else pixels
        pixels = colours.max(axis=-1)
    levels = np.unique(pixels)
    largest = levels[-1]
    # Labels are small integers without gaps.
    if len(levels) <= _FEW_LEVELS or 0 < largest < len(levels):
        mask = np.asarray(pixels > 0)
    else:
        middle = np.mean((pixels > 0.1 * largest) & (pixels < 0.9 * largest))
        if middle > _LARGEST_SHARE_OF_EDGES:
            raise ValueError(
                f"{name} looks like a photograph: {middle:.0%} of its pixels are neither black nor "
                "white. Pass masks, which are 0 where a pixel is good."
            )
        mask = np.asarray(pixels > largest / 2)
    if not mask.any():
        warnings.warn(
            f"{name} marks no pixel: its image counts as good. Mark its defects, or move the image "
            "to the good ones.",
            stacklevel=2,
        )
    return mask
