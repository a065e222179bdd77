"""Masks in files, read on access."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._images import ignoring, read_image

Mask = NDArray[np.bool_]


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
        return np.broadcast_to(np.False_, _image_shape(image))

    def __repr__(self) -> str:
        n_good = sum(mask is None for _, mask in self._pairs)
        return f"<masks of {n_good} good and {len(self) - n_good} defective images>"


def read_mask(path: Path) -> Mask:
    """Read a mask file: True where any colour channel is above 0."""
    pixels = read_image(path, f"mask {str(path)!r}")
    if pixels.ndim == 3:
        colours = pixels[..., :-1] if pixels.shape[-1] in (2, 4) else pixels
        return np.asarray((colours > 0).any(axis=-1))
    return np.asarray(pixels > 0)


def _image_shape(path: Path) -> tuple[int, int]:
    from PIL import Image

    try:
        # Pillow warns of large images, which are normal here. It reads no pixels.
        with ignoring(Image.DecompressionBombWarning), Image.open(path) as image:
            return image.height, image.width
    except (OSError, Image.DecompressionBombError):
        height, width = read_image(path, f"image {str(path)!r}").shape[:2]
        return height, width
