"""Reconstructions of images, for segmenters that have them."""

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._inference._region import Region, crop, extend, working_pixels
from sk_ssimae._intensity import Image
from sk_ssimae._pixels import resize
from sk_ssimae.estimators._segmentation import Segmentation, collect


class ReconstructionMixin(Segmentation):
    """Segmentation by a model that also reconstructs images."""

    @abstractmethod
    def compute_reconstruction(self, image: Image) -> NDArray[np.float32]:
        """Compute the reconstruction (h, w, c), float32, of an image (h, w, c) at working size."""

    def reconstruct(self, X: Any) -> NDArray[np.float32] | list[NDArray[np.float32]]:
        """Reconstruct each image by the average over all patches that cover a pixel.

        Parameters
        ----------
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images.

        Returns
        -------
        array of float32 of the shape of X, or list of arrays (h, w) or (h, w, c)
            Reconstructions, 0 and 1 at the ends of the intensity range. They may leave it, since
            the output is linear.
        """
        images = self._check_images(X)
        keep_channels = self.n_channels_ > 1 or images.has_channel_axis
        reconstructions = (self._reconstruction(self._region(image)) for image in images)
        return collect(
            (image if keep_channels else image[..., 0] for image in reconstructions), images
        )

    def _reconstruction(self, region: Region) -> NDArray[np.float32]:
        pixels = working_pixels(region)
        reconstruction = self.compute_reconstruction(extend(pixels, self.min_image_size))
        return resize(crop(reconstruction, pixels.shape), region.shape)
