"""Random patches, cut on the device from a single copy of the images there."""

from collections.abc import Iterator, Sequence

import joblib
import numpy as np
import torch
from torch import Tensor

from sk_ssimae._intensity import Image
from sk_ssimae._interest import Inside, inner_patches
from sk_ssimae._pixels import as_unit_float


class PatchSampler(torch.utils.data.IterableDataset[tuple[Tensor, Tensor]]):
    """Draw new random patches; all valid positions in all images are equally likely.

    The pixels of all images are in one buffer on the device, uint8 if all images are; a batch is
    one indexing operation, whatever the sizes of the images.

    Parameters
    ----------
    images : sequence of arrays (h, w, c), uint8 or float32 in [0, 1]
        Images of at least `patch_size` pixels per side.
    inside : sequence of arrays of bool (h, w), or None
        Pixels that patches may contain; None for all. See :func:`inner_patches`.
    patch_size : int
        Side of a patch in pixels.
    n_patches : int
        Number of patches per pass, an epoch.
    batch_size : int
        Number of patches per batch; the last batch of a pass may be smaller.
    dihedral : bool
        Whether each patch is turned and flipped at random.
    cutout : float
        Side of the square that is painted over in the input, as a share of `patch_size`; 0 for
        none. Its centre is anywhere in the patch, and its grey anywhere in [0, 1].
    generator : torch.Generator
        Source of the random numbers; the buffer is on its device.

    References
    ----------
    T. DeVries, G. W. Taylor, "Improved Regularization of Convolutional Neural Networks with
    Cutout", arXiv:1708.04552, for the square; D. Pathak et al., "Context Encoders: Feature Learning
    by Inpainting", CVPR 2016, for reconstructing the hidden content.
    """

    def __init__(
        self,
        images: Sequence[Image],
        *,
        inside: Sequence[Inside] | None = None,
        patch_size: int,
        n_patches: int,
        batch_size: int,
        dihedral: bool,
        cutout: float,
        generator: torch.Generator,
    ) -> None:
        self.patch_size = patch_size
        self.n_patches = n_patches
        self.batch_size = batch_size
        self.dihedral = dihedral
        self.cutout = cutout
        self.generator = generator
        self._buffer = _flatten(images).to(generator.device)
        shapes = np.array([image.shape[:2] for image in images])
        origins_per_image = np.prod(shapes - patch_size + 1, axis=1)
        self._widths = self._tensor(shapes[:, 1])
        self._offsets = self._tensor(np.cumsum([0, *np.prod(shapes, axis=1)[:-1]]))
        self._first_origins = self._tensor(np.cumsum([0, *origins_per_image[:-1]]))
        self._n_origins = int(origins_per_image.sum())
        self._allowed = None
        if inside is not None:
            allowed = [inner_patches(mask, patch_size).ravel() for mask in inside]
            self._allowed = self._tensor(np.flatnonzero(np.concatenate(allowed)))
            self._n_origins = len(self._allowed)

    def __len__(self) -> int:
        """Return the number of patches per pass, as progress bars expect."""
        return self.n_patches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Draw one pass of batches, each a pair of input and target."""
        origins = self._randint(self._n_origins, self.n_patches)
        if self._allowed is not None:
            origins = self._allowed[origins]
        symmetries = self._randint(8, self.n_patches) if self.dihedral else None
        squares = self._rand(3, self.n_patches) if self.cutout else None
        for start in range(0, self.n_patches, self.batch_size):
            batch = slice(start, start + self.batch_size)
            patches = self._cut(
                origins[batch], symmetries[batch] if symmetries is not None else None
            )
            seen = patches if squares is None else self._paint_over(patches, squares[:, batch])
            yield seen, patches

    @property
    def n_channels(self) -> int:
        """Number of channels of the images."""
        return self._buffer.shape[0]

    @property
    def mean_intensity(self) -> Tensor:
        """Mean of the images per channel, in [0, 1]."""
        # Integers are summed exactly, without a float copy of all pixels.
        dtype = torch.int64 if self._buffer.dtype == torch.uint8 else torch.float64
        total = self._buffer.sum(dim=1, dtype=dtype).double()
        return (_unit_float(total, self._buffer.dtype) / self._buffer.shape[1]).float()

    def hash_images(self) -> str:
        """Hash the pixels and sizes of the images, and the patches that may be drawn."""
        parts = [self._buffer, self._widths, self._offsets]
        if self._allowed is not None:
            parts.append(self._allowed)
        return str(joblib.hash([part.cpu().numpy() for part in parts]))

    def _cut(self, origins: Tensor, symmetries: Tensor | None) -> Tensor:
        image = torch.searchsorted(self._first_origins, origins, right=True) - 1
        width = self._widths[image]
        origin = origins - self._first_origins[image]
        row = origin // (width - self.patch_size + 1)
        column = origin % (width - self.patch_size + 1)
        first = self._offsets[image] + row * width + column
        rows, columns = self._coordinates(symmetries)
        indices = first[:, None, None] + rows * width[:, None, None] + columns
        patches = self._buffer[:, indices].transpose(0, 1)
        return _unit_float(patches, self._buffer.dtype).contiguous(
            memory_format=torch.channels_last
        )

    def _paint_over(self, patches: Tensor, squares: Tensor) -> Tensor:
        """Paint a square over each patch (N, C, P, P), by its grey and its centre in [0, 1]."""
        grey, row, column = squares[..., None, None, None]
        pixels = torch.arange(self.patch_size, device=patches.device) + 0.5
        reach = self.cutout * self.patch_size / 2
        rows = (pixels[:, None] - row * self.patch_size).abs() < reach
        columns = (pixels - column * self.patch_size).abs() < reach
        return torch.where(rows & columns, grey, patches)

    def _coordinates(self, symmetries: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the rows and columns to read, broadcasting to (N, P, P)."""
        forward = torch.arange(self.patch_size, device=self._buffer.device)
        rows, columns = forward[None, :, None], forward[None, None, :]
        if symmetries is None:
            return rows, columns
        flip_rows, flip_columns, transpose = (
            (symmetries >> bit & 1).bool()[:, None, None] for bit in range(3)
        )
        last = self.patch_size - 1
        rows = torch.where(flip_rows, last - rows, rows)
        columns = torch.where(flip_columns, last - columns, columns)
        return torch.where(transpose, columns, rows), torch.where(transpose, rows, columns)

    def _randint(self, high: int, size: int) -> Tensor:
        device = self._buffer.device
        return torch.randint(high, (size,), generator=self.generator, device=device)

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self._buffer.device)

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.int64, device=self._buffer.device)


def _flatten(images: Sequence[Image]) -> Tensor:
    """Copy all pixels into one buffer (C, pixels), one image at a time."""
    all_bytes = all(image.dtype == np.uint8 for image in images)
    n_pixels = sum(image.shape[0] * image.shape[1] for image in images)
    buffer = np.empty((images[0].shape[2], n_pixels), dtype=np.uint8 if all_bytes else np.float32)
    start = 0
    for image in images:
        pixels = image.reshape(-1, image.shape[2]).T
        if image.dtype == np.uint8 and not all_bytes:
            pixels = as_unit_float(pixels)
        buffer[:, start : start + pixels.shape[1]] = pixels
        start += pixels.shape[1]
    return torch.from_numpy(buffer)


def _unit_float(values: Tensor, stored: torch.dtype) -> Tensor:
    # Divided as in `as_unit_float`, so that training with bytes and floats is identical.
    return values / 255 if stored == torch.uint8 else values
