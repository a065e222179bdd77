"""What is computed of images once their residuals can be: maps, masks, scores."""

from abc import ABCMeta, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._images import Image, Images, resize
from sk_ssimae._inference._postprocessing import open_map, smooth, smoothing_sigma
from sk_ssimae._inference._region import Region, working_pixels
from sk_ssimae._validation import check_mask_shape, check_masks, check_some_defective
from sk_ssimae.metrics import pixel_roc_auc_score

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]
_Scalar = TypeVar("_Scalar", bound=np.generic)


class Segmentation(metaclass=ABCMeta):
    """Segment images by residuals that a subclass computes, with whatever library it has.

    Attributes
    ----------
    image_size, smoothing, opening_diameter
        As the parameters of the segmenters.
    n_channels_ : int
        Channels that images must have.
    """

    image_size: int | tuple[int, int] | None
    smoothing: float | str
    opening_diameter: int
    n_channels_: int
    _fitted_patch_size: int

    @property
    @abstractmethod
    def threshold_(self) -> float:
        """Residual above which a pixel of the opened map counts as defective."""

    @abstractmethod
    def _compute_residual(self, image: Image) -> Map:
        """Compute the residual (h, w) of an image (h, w, c), bytes or floats in [0, 1]."""

    @abstractmethod
    def _compute_reconstruction(self, image: Image) -> Map:
        """Compute the reconstruction (h, w, c) of such an image."""

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

    def _check_images(self, X: Any) -> Images:
        min_size = 1 if self.image_size is not None else self._fitted_patch_size
        return Images(X, min_size=min_size, n_channels=self.n_channels_)

    def _iter_opened(self, images: Images) -> Iterator[Map]:
        return (self._opened_map(self._region(image)) for image in images)

    def _opened_map(self, region: Region) -> Map:
        return open_map(self._residual_map(region), self.opening_diameter)

    def _residual_map(self, region: Region) -> Map:
        residual = self._compute_residual(working_pixels(region))
        sigma = smoothing_sigma(self.smoothing, region.image_shape)
        return smooth(resize(residual, _shape(region.pixels)), sigma)

    def _reconstruction(self, region: Region) -> Map:
        reconstruction = self._compute_reconstruction(working_pixels(region))
        return resize(reconstruction, _shape(region.pixels))

    def _region(self, image: Image) -> Region:
        shape, size = _shape(image), self.image_size
        if size is None:
            return Region(image, shape, shape)
        return Region(image, size if isinstance(size, tuple) else (size, size), shape)


def _collect(
    results: Iterable[NDArray[_Scalar]], images: Images
) -> NDArray[_Scalar] | list[NDArray[_Scalar]]:
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
