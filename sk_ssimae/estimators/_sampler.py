"""Random patches, cut from the images where they are, or on a device from a copy there."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import joblib
import numpy as np
import torch
from torch import Tensor

from sk_ssimae._intensity import Image
from sk_ssimae._interest import Inside, inner_patches
from sk_ssimae._pixels import as_unit_float


class PatchSampler(torch.utils.data.IterableDataset[tuple[Tensor, Tensor]]):
    """Draw new random patches; all valid positions in all images are equally likely.

    On a CPU, patches are cut from the images themselves, which may be arrays in files. On another
    device, all pixels are copied into one buffer, uint8 if all images are; a batch is one indexing
    operation there, whatever the sizes of the images.

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
        Source of the random numbers; patches are on its device.

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
        self._images = images
        on_cpu = generator.device.type == "cpu"
        self._pixels: _Pixels = (
            _HostPixels(images) if on_cpu else _DevicePixels(images, generator.device)
        )
        shapes = np.array([image.shape[:2] for image in images])
        origins_per_image = np.prod(shapes - patch_size + 1, axis=1)
        self._widths = self._tensor(shapes[:, 1])
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
        return int(self._images[0].shape[2])

    @property
    def mean_intensity(self) -> Tensor:
        """Mean of the images per channel, in [0, 1], on the CPU."""
        totals = np.zeros(self.n_channels)
        for image in self._images:
            # Bytes are summed exactly. Channel by channel, NumPy needs no copy of all pixels.
            exact = np.int64 if image.dtype == np.uint8 else np.float64
            sums = [image[..., channel].sum(dtype=exact) for channel in range(self.n_channels)]
            totals += np.array(sums) / (255 if image.dtype == np.uint8 else 1)
        n_pixels = sum(image.shape[0] * image.shape[1] for image in self._images)
        return torch.from_numpy(totals / n_pixels).float()

    def hash_images(self) -> str:
        """Hash the pixels and sizes of the images, and the patches that may be drawn."""
        parts = [joblib.hash(image, coerce_mmap=True) for image in self._images]
        if self._allowed is not None:
            parts.append(joblib.hash(self._allowed.cpu().numpy()))
        return str(joblib.hash(parts))

    def _cut(self, origins: Tensor, symmetries: Tensor | None) -> Tensor:
        """Cut the patches (N, C, P, P) that begin at origins, counted over all images."""
        image = torch.searchsorted(self._first_origins, origins, right=True) - 1
        origin = origins - self._first_origins[image]
        n_columns = self._widths[image] - self.patch_size + 1
        flips = None if symmetries is None else [(symmetries >> bit & 1).bool() for bit in range(3)]
        patches = self._pixels.cut(
            image, origin // n_columns, origin % n_columns, flips, self.patch_size
        )
        # Divided as in `as_unit_float`, so that training with bytes and floats is identical.
        patches = patches / 255 if patches.dtype == torch.uint8 else patches
        return patches.contiguous(memory_format=torch.channels_last)

    def _paint_over(self, patches: Tensor, squares: Tensor) -> Tensor:
        """Paint a square over each patch (N, C, P, P), by its grey and its centre in [0, 1]."""
        grey, row, column = squares[..., None, None, None]
        pixels = torch.arange(self.patch_size, device=patches.device) + 0.5
        reach = self.cutout * self.patch_size / 2
        rows = (pixels[:, None] - row * self.patch_size).abs() < reach
        columns = (pixels - column * self.patch_size).abs() < reach
        return torch.where(rows & columns, grey, patches)

    def _randint(self, high: int, size: int) -> Tensor:
        device = self.generator.device
        return torch.randint(high, (size,), generator=self.generator, device=device)

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.generator.device)

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.int64, device=self.generator.device)


class _Pixels(Protocol):
    """Pixels of all images, from which patches are cut."""

    def cut(
        self, image: Tensor, row: Tensor, column: Tensor, flips: list[Tensor] | None, size: int
    ) -> Tensor:
        """Cut patches.

        Parameters
        ----------
        image, row, column : Tensor of int, shape (N,)
            Index of the image, and place of the first pixel, of each patch.
        flips : list of three Tensor of bool, shape (N,), or None
            Whether the rows, then the columns, of each patch are reversed, and whether it is
            transposed.
        size : int
            Side of a patch in pixels.

        Returns
        -------
        Tensor of shape (N, C, size, size)
            uint8 or float32 in [0, 1].
        """


class _HostPixels:
    """The images themselves, in memory or in files."""

    def __init__(self, images: Sequence[Image]) -> None:
        self._images = images
        self._all_bytes = all(image.dtype == np.uint8 for image in images)

    def cut(
        self, image: Tensor, row: Tensor, column: Tensor, flips: list[Tensor] | None, size: int
    ) -> Tensor:
        dtype = np.uint8 if self._all_bytes else np.float32
        patches = np.empty((len(image), size, size, self._images[0].shape[2]), dtype=dtype)
        turns: Any = [[False] * 3] * len(image)
        if flips is not None:
            turns = torch.stack(flips, dim=1).tolist()
        places = zip(image.tolist(), row.tolist(), column.tolist(), turns, strict=True)
        for patch, (index, top, left, (up, across, transposed)) in zip(
            patches, places, strict=True
        ):
            pixels = self._images[index][top : top + size, left : left + size]
            if transposed:
                pixels = pixels.swapaxes(0, 1)
            pixels = pixels[:: -1 if up else 1, :: -1 if across else 1]
            patch[...] = pixels if self._all_bytes else as_unit_float(pixels)
        return torch.from_numpy(patches).permute(0, 3, 1, 2)


class _DevicePixels:
    """A copy of all pixels on a device, in one buffer (C, pixels)."""

    def __init__(self, images: Sequence[Image], device: torch.device) -> None:
        sizes = [image.shape[0] * image.shape[1] for image in images]
        all_bytes = all(image.dtype == np.uint8 for image in images)
        dtype = torch.uint8 if all_bytes else torch.float32
        shape = images[0].shape[2], sum(sizes)
        self._buffer = torch.empty(shape, dtype=dtype, device=device)
        self._widths = torch.tensor([image.shape[1] for image in images], device=device)
        self._offsets = torch.tensor([0, *np.cumsum(sizes)[:-1]], device=device)
        for image, start, size in zip(images, self._offsets.tolist(), sizes, strict=True):
            pixels = image.reshape(-1, image.shape[2]).T
            pixels = pixels if all_bytes else as_unit_float(pixels)
            self._buffer[:, start : start + size] = torch.from_numpy(np.array(pixels))

    def cut(
        self, image: Tensor, row: Tensor, column: Tensor, flips: list[Tensor] | None, size: int
    ) -> Tensor:
        width = self._widths[image][:, None, None]
        first = (self._offsets[image] + row * self._widths[image] + column)[:, None, None]
        forward = torch.arange(size, device=self._buffer.device)
        rows, columns = forward[None, :, None], forward[None, None, :]
        if flips is not None:
            up, across, transposed = (each[:, None, None] for each in flips)
            rows = torch.where(up, size - 1 - rows, rows)
            columns = torch.where(across, size - 1 - columns, columns)
            rows, columns = (
                torch.where(transposed, columns, rows),
                torch.where(transposed, rows, columns),
            )
        return self._buffer[:, first + rows * width + columns].transpose(0, 1)
