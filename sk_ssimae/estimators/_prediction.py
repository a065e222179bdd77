"""What a fitted segmenter computes with its net: residuals and reconstructions of images."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sk_ssimae._images import Images
from sk_ssimae._inference._segmentation import Segmentation
from sk_ssimae.estimators._arithmetic import reproducible
from sk_ssimae.estimators._net import ReconstructionNet, resolve_device, to_tensor
from sk_ssimae.estimators._parameters import SegmenterParameters
from sk_ssimae.estimators._windows import Transform, average_orientations, average_windows


class FittedSegmenter(SegmenterParameters, Segmentation):
    """Prediction with a fitted net; `threshold_` and the fit itself come on top."""

    net_: ReconstructionNet

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

    @torch.inference_mode()
    def _compute_residual(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        pixels = self._load(image)
        with reproducible(pixels.device):
            residual: NDArray[np.float32] = self._residual(pixels).cpu().numpy()
        return residual

    @torch.inference_mode()
    def _compute_reconstruction(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        pixels = self._load(image)
        with reproducible(pixels.device):
            reconstruction: NDArray[np.float32] = (
                self._reconstruct(pixels).permute(1, 2, 0).cpu().numpy()
            )
        return reconstruction

    def _load(self, image: NDArray[np.float32]) -> Tensor:
        return to_tensor(image, next(self.net_.module_.parameters()).device)

    def _reconstruct(self, image: Tensor) -> Tensor:
        """Compute the reconstruction (C, H, W) of an image (C, H, W)."""
        return self._average_windows(image, lambda windows, _: self.reconstruct_windows(windows))

    def _average_windows(self, image: Tensor, transform: Transform) -> Tensor:
        if self.test_time_augmentation == "dihedral":
            transform = average_orientations(transform)
        return average_windows(
            image,
            transform,
            patch_size=self._fitted_patch_size,
            stride=self.stride,
            batch_size=self.inference_batch_size,
        )

    def _residual(self, image: Tensor) -> Tensor:
        """Compute the residual (H, W) of an image (C, H, W)."""
        residual: Tensor = self._criterion().residual_map(
            image[None], self._reconstruct(image)[None]
        )[0]
        return residual

    def _criterion(self) -> Any:
        """Give the loss whose residual is shown: that of training."""
        return self.net_.criterion_
