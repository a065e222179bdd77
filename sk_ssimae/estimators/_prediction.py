"""What a fitted segmenter computes with its net: residuals and reconstructions of images."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sk_ssimae._images import Image, Images, SlicedImage, as_unit_float
from sk_ssimae._inference._postprocessing import (
    open_map,
    opening_radius,
    smooth,
    smoothing_radius,
    smoothing_sigma,
)
from sk_ssimae._inference._segmentation import Segmentation
from sk_ssimae.estimators._arithmetic import reproducible
from sk_ssimae.estimators._blocks import (
    SegmentedBlock,
    block_areas,
    check_block_size,
    with_halo,
    within,
)
from sk_ssimae.estimators._net import ReconstructionNet, resolve_device, to_tensor
from sk_ssimae.estimators._parameters import SegmenterParameters
from sk_ssimae.estimators._windows import (
    Area,
    Transform,
    Windows,
    average_orientations,
    average_windows,
)


class FittedSegmenter(SegmenterParameters, Segmentation):
    """Prediction with a fitted net; `threshold_` and the fit itself come on top."""

    net_: ReconstructionNet

    def segment_blocks(self, image: Any, *, block_size: int = 2048) -> Iterator[SegmentedBlock]:
        """Segment one image block by block, when it does not fit into memory.

        Each block is read with a halo of what its pixels depend on, so that the blocks together
        are what `decision_function` and `predict` give for the whole image.

        Parameters
        ----------
        image : array-like of shape (h, w) or (h, w, c)
            One image, not wrapped in a list: a NumPy array or memmap, an array of zarr or h5py, or
            whatever else has a shape and gives a part as ``image[first:last, first:last]``. Values
            are as in `fit`.
        block_size : int, default=2048
            Side of a block in pixels. Blocks at the far edges may be smaller. It changes memory
            and time alone, see :doc:`/many`.

        Yields
        ------
        SegmentedBlock
            Place, residual map and mask of the next block, row by row.

        Raises
        ------
        TypeError
            If `image` cannot be sliced, or the loss of a family does not say with
            ``residual_radius`` how far its residual sees.
        ValueError
            If `image` or `block_size` is not as described, or `image_size` is set. Pixels are
            checked when they are read; the message says in which part.

        Examples
        --------
        >>> import numpy as np
        >>> from sk_ssimae import L2AutoencoderSegmenter
        >>> from sk_ssimae.datasets import make_woven_fabric
        >>> good = make_woven_fabric(2, shape=(48, 80), random_state=0)
        >>> segmenter = L2AutoencoderSegmenter(
        ...     patch_size=16, stride=16, n_patches=64, max_epochs=1, random_state=0
        ... ).fit(good)
        >>> mask = np.empty((48, 80), dtype=bool)  # Or a memmap, or an array of zarr.
        >>> for block in segmenter.segment_blocks(good[0], block_size=32):
        ...     mask[block.rows, block.columns] = block.mask
        >>> bool((mask == segmenter.predict(good)[0]).all())
        True
        """
        self._check_ready()
        check_block_size(block_size)
        if self.image_size is not None:
            raise ValueError(
                f"image_size={self.image_size!r} resizes images as a whole, so that they cannot be "
                "segmented block by block: fit with image_size=None."
            )
        self._residual_radius()
        sliced = SlicedImage(image, min_size=self._fitted_patch_size, n_channels=self.n_channels_)
        threshold = self.threshold_
        areas = block_areas(sliced.shape, int(block_size))
        return (self._segment_block(sliced, area, threshold) for area in areas)

    def reconstruct_windows(self, windows: Tensor) -> Tensor:
        """Reconstruct windows as large as patches; by default what the network gives.

        Parameters
        ----------
        windows : Tensor of shape (N, C, P, P)
            Windows of an image, on the device of the network.

        Returns
        -------
        Tensor of shape (N, C, P, P)
            Their reconstructions.
        """
        reconstructions: Tensor = self.net_.inference_module_(windows)
        return reconstructions

    def _check_images(self, X: Any) -> Images:
        self._check_ready()
        return super()._check_images(X)

    def _check_ready(self) -> None:
        """Check what was set since `fit`, and bring the net to its device."""
        check_is_fitted(self, "net_")
        self._check_params()
        if self.stride > self._fitted_patch_size:
            raise ValueError(
                f"stride must be at most the patch_size of fit, {self._fitted_patch_size}, got "
                f"{self.stride} instead."
            )
        self._prepare_net()

    def _prepare_net(self) -> None:
        """Bring the net to its device; moved in inference mode it could never be trained again."""
        self.net_.prepare_inference(resolve_device(self.device))

    def _compute_residual(self, image: Image) -> NDArray[np.float32]:
        return self._residual_over(image, self._windows(image.shape[:2]))

    def _segment_block(self, image: SlicedImage, area: Area, threshold: float) -> SegmentedBlock:
        """Go back from the block to what it depends on, read that, and cut each halo off again."""
        sigma = smoothing_sigma(self.smoothing, image.shape)
        to_open = with_halo(area, opening_radius(self.opening_diameter), image.shape)
        to_smooth = with_halo(to_open, smoothing_radius(sigma), image.shape)
        to_reconstruct = with_halo(to_smooth, self._residual_radius(), image.shape)
        windows = self._windows(image.shape).over(to_reconstruct)
        residual = self._residual_over(image.read(*windows.area), windows)
        smoothed = smooth(residual[within(to_smooth, windows.area)], sigma)
        smoothed = smoothed[within(to_open, to_smooth)]
        opened = open_map(smoothed, self.opening_diameter)[within(area, to_open)]
        # A copy, so that the halo goes.
        residual_map = smoothed[within(area, to_open)].copy()
        mask = opened > np.float64(threshold)
        return SegmentedBlock(*area, residual_map, mask, float(opened.max()))

    @torch.inference_mode()
    def _residual_over(self, image: Image, windows: Windows) -> NDArray[np.float32]:
        """Compute the residual (h, w) of what windows cover (h, w, c)."""
        pixels = self._load(image)
        with reproducible(pixels.device):
            residual: NDArray[np.float32] = self._residual(pixels, windows).cpu().numpy()
        # The ends tell, and no array of booleans is made.
        if not np.isfinite([residual.min(), residual.max()]).all():
            raise ValueError(
                "Training diverged in its last step: a residual map holds NaN or infinity. Fit "
                f"again with a smaller lr, got {self.lr:g}."
            )
        return residual

    @torch.inference_mode()
    def _compute_reconstruction(self, image: Image) -> NDArray[np.float32]:
        pixels = self._load(image)
        with reproducible(pixels.device):
            reconstruction = self._reconstruct(pixels, self._windows(image.shape[:2]))
            reconstructed: NDArray[np.float32] = reconstruction.permute(1, 2, 0).cpu().numpy()
        return reconstructed

    def _load(self, image: Image) -> Tensor:
        return to_tensor(as_unit_float(image), next(self.net_.module_.parameters()).device)

    def _windows(self, shape: tuple[int, int]) -> Windows:
        return Windows.of_image(shape, self._fitted_patch_size, self.stride)

    def _reconstruct(self, image: Tensor, windows: Windows) -> Tensor:
        """Compute the reconstruction (C, H, W) of what windows cover (C, H, W)."""
        return self._average_windows(
            image, lambda stacked, _: self.reconstruct_windows(stacked), windows
        )

    def _average_windows(self, image: Tensor, transform: Transform, windows: Windows) -> Tensor:
        if self.test_time_augmentation == "dihedral":
            transform = average_orientations(transform)
        return average_windows(
            image,
            transform,
            windows,
            taper=self.taper,
            batch_size=self.inference_batch_size,
        )

    def _residual(self, image: Tensor, windows: Windows) -> Tensor:
        """Compute the residual (H, W) of what windows cover (C, H, W)."""
        residual: Tensor = self._criterion().residual_map(
            image[None], self._reconstruct(image, windows)[None]
        )[0]
        return residual

    def _residual_radius(self) -> int:
        """Give how many pixels around a pixel its residual sees."""
        criterion = self._criterion()
        radius = getattr(criterion, "residual_radius", None)
        if radius is None:
            raise TypeError(
                f"The loss {type(criterion).__name__} must say how many pixels around a pixel its "
                "residual sees: give it an attribute residual_radius, 0 if none."
            )
        return int(radius)

    def _criterion(self) -> Any:
        """Give the loss whose residual is shown: that of training."""
        return self.net_.criterion_
