"""What a fitted segmenter computes: residual maps, masks, scores, reconstructions."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sk_ssimae._images import Image, Images, as_unit_float, resize
from sk_ssimae._validation import check_mask_shape, check_masks, check_some_defective
from sk_ssimae.estimators._arithmetic import reproducible
from sk_ssimae.estimators._holdout import Region, working_pixels
from sk_ssimae.estimators._net import ReconstructionNet, resolve_device, to_tensor
from sk_ssimae.estimators._parameters import SegmenterParameters
from sk_ssimae.estimators._postprocessing import open_map, smooth, smoothing_sigma
from sk_ssimae.estimators._windows import Transform, average_orientations, average_windows
from sk_ssimae.metrics import pixel_roc_auc_score

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]


class FittedSegmenter(SegmenterParameters):
    """Prediction with a fitted net; `threshold_` and the fit itself come on top."""

    net_: ReconstructionNet
    n_channels_: int
    _fitted_patch_size: int

    @property
    @abstractmethod
    def threshold_(self) -> float:
        """Residual above which a pixel of the opened map counts as defective."""

    def decision_function(self, X: Any) -> NDArray[np.float32] | list[Map]:
        """Compute the residual map of each image: high means defective.

        Parameters
        ----------
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images with the channels of those in `fit`; their height and width may differ.

        Returns
        -------
        array of float32, shape (n, h, w), or list of arrays (h, w)
            An array for an array, a list for a sequence. Channels are averaged, and the map is
            smoothed unless `smoothing` is 0.
        """
        images = self._check_images(X)
        return _collect((self._residual_map(self._region(image)) for image in images), images)

    def iter_decision_function(self, X: Any) -> Iterator[Map]:
        """Compute residual maps one at a time, for more images than memory holds.

        Parameters
        ----------
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images.

        Yields
        ------
        array of float32, shape (h, w)
            The residual map of the next image.
        """
        images = self._check_images(X)
        return (self._residual_map(self._region(image)) for image in images)

    def predict(self, X: Any) -> Mask | list[Mask]:
        """Segment each image: True where the opened residual map exceeds `threshold_`.

        Parameters
        ----------
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images.

        Returns
        -------
        array of bool, shape (n, h, w), or list of arrays (h, w)
            Masks.
        """
        images = self._check_images(X)
        # A float64, so that NumPy does not round it to the maps' float32: as score_images does not.
        threshold = np.float64(self.threshold_)
        return _collect((opened > threshold for opened in self._iter_opened(images)), images)

    def score_images(self, X: Any) -> NDArray[np.float64]:
        """Score whole images: the maximum of the opened residual map.

        Parameters
        ----------
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images.

        Returns
        -------
        array of float64, shape (n,)
            Above `threshold_` exactly where `predict` marks at least one pixel.
        """
        opened_maps = self._iter_opened(self._check_images(X))
        return np.array([opened.max() for opened in opened_maps], dtype=np.float64)

    def reconstruct(self, X: Any) -> NDArray[np.float32] | list[NDArray[np.float32]]:
        """Reconstruct each image: the average over all windows that cover a pixel.

        Parameters
        ----------
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images.

        Returns
        -------
        array of float32 of the shape of X, or list of arrays (h, w) or (h, w, c)
            Reconstructions, without alpha channel; about [0, 1], since the output is linear.
        """
        images = self._check_images(X)
        keep_channels = self.n_channels_ > 1 or images.has_channel_axis
        reconstructions = (self._reconstruction(self._region(image)) for image in images)
        return _collect(
            (image if keep_channels else image[..., 0] for image in reconstructions), images
        )

    def score(self, X: Any, y: Any) -> float:
        """Compute the area under the pixel ROC curve, pooled over all images.

        Parameters
        ----------
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images, good and defective.
        y : masks of shape (n, h, w) or a sequence of (h, w)
            1 where a pixel is defective.

        Returns
        -------
        float
            Area in [0, 1].

        Raises
        ------
        ValueError
            If `y` does not hold masks, or marks no pixel or every pixel.
        """
        images = self._check_images(X)
        check_masks(y)
        check_some_defective(y, len(images))
        residual_maps = []
        for index, (image, mask) in enumerate(zip(images, y, strict=True)):
            check_mask_shape(mask, index, image.shape[:2])
            residual_maps.append(self._residual_map(self._region(image)))
        return pixel_roc_auc_score(y, residual_maps)

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
        check_is_fitted(self, "net_")
        self._check_params()
        if self.stride > self._fitted_patch_size:
            raise ValueError(
                f"stride must be at most the patch_size of fit, {self._fitted_patch_size}, got "
                f"{self.stride} instead."
            )
        self._prepare_net()
        min_size = 1 if self.image_size is not None else self._fitted_patch_size
        return Images(X, min_size=min_size, n_channels=self.n_channels_)

    def _prepare_net(self) -> None:
        """Bring the net to its device; moved in inference mode it could never be trained again."""
        self.net_.prepare_inference(resolve_device(self.device))

    def _iter_opened(self, images: Images) -> Iterator[Map]:
        return (self._opened_map(self._region(image)) for image in images)

    def _opened_map(self, region: Region) -> Map:
        return open_map(self._residual_map(region), self.opening_diameter)

    @torch.inference_mode()
    def _residual_map(self, region: Region) -> Map:
        pixels = self._load(region)
        with reproducible(pixels.device):
            residual = self._residual(pixels).cpu().numpy()
        sigma = smoothing_sigma(self.smoothing, region.image_shape)
        return smooth(resize(residual, _shape(region.pixels)), sigma)

    @torch.inference_mode()
    def _reconstruction(self, region: Region) -> NDArray[np.float32]:
        pixels = self._load(region)
        with reproducible(pixels.device):
            reconstruction = self._reconstruct(pixels).permute(1, 2, 0).cpu().numpy()
        return resize(reconstruction, _shape(region.pixels))

    def _load(self, region: Region) -> Tensor:
        device = next(self.net_.module_.parameters()).device
        return to_tensor(as_unit_float(working_pixels(region)), device)

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

    def _region(self, image: Image) -> Region:
        shape, size = _shape(image), self.image_size
        if size is None:
            return Region(image, shape, shape)
        return Region(image, size if isinstance(size, tuple) else (size, size), shape)


def _collect(results: Iterable[NDArray[Any]], images: Images) -> Any:
    """Stack results into an array if the images came as one, else list them."""
    if not images.is_array:
        return list(results)
    iterator = iter(results)
    first = next(iterator)
    stacked = np.empty((len(images), *first.shape), dtype=first.dtype)
    stacked[0] = first
    for index, result in enumerate(iterator, start=1):
        stacked[index] = result
    return stacked


def _shape(image: Image) -> tuple[int, int]:
    return image.shape[0], image.shape[1]
