"""A network computed by ONNX Runtime."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._patches import (
    Origin,
    Patches,
    Transform,
    average_orientations,
    average_patches,
)
from sk_ssimae.estimators._residuals import Array


class OnnxNetwork(NamedTuple):
    """Pass patches of images through a network.

    Attributes
    ----------
    session : onnxruntime.InferenceSession
        The network.
    path_only : onnxruntime.RunOptions
        Options to compute nothing but the requested outputs.
    patch_size, stride, batch_size : int
    taper : float
        As for :func:`average_patches`.
    every_orientation : bool
        Whether to average over turns and flips of each patch.
    latent_dim : int or None
        Latent dimension if the network is variational.
    patches : Patches or None
        Places of the patches, if only an area of an image is passed; None for those of the image.
    """

    session: Any
    path_only: Any
    patch_size: int
    stride: int
    taper: float
    batch_size: int
    every_orientation: bool
    latent_dim: int | None
    patches: Patches | None = None

    def average(self, image: Array, transform: Transform) -> Array:
        """Transform the patches of an image (C, H, W) and average the results (C', H, W)."""
        if self.every_orientation:
            transform = average_orientations(transform)
        height, width = image.shape[1:]
        averaged: Array = average_patches(
            image,
            transform,
            self.patches or Patches.of_image((height, width), self.patch_size, self.stride),
            taper=self.taper,
            batch_size=self.batch_size,
        )
        return averaged

    def reconstruct(self, patches: Array, origins: Sequence[Origin]) -> NDArray[Any]:
        """Reconstruct patches (N, C, P, P); a variational network decodes the mean."""
        return self._run(("reconstructions",), patches, self._no_noise(patches))[0]

    def sample(self, patches: Array, noise: Array) -> NDArray[Any]:
        """Reconstruct patches from samples of the posterior: noise (N, S, d) to (N, S, C, P, P)."""
        (samples,) = self._run(("reconstructions",), patches, noise)
        return samples.reshape(*noise.shape[:2], *patches.shape[1:])

    def encode(self, patches: Array) -> list[NDArray[Any]]:
        """Compute mean and log-variance (N, d) of the posterior."""
        return self._run(("mean", "log_variance"), patches, self._no_noise(patches))

    def _no_noise(self, patches: Array) -> Array | None:
        if self.latent_dim is None:
            return None
        return np.zeros((len(patches), 1, self.latent_dim), dtype=np.float32)

    def _run(
        self, outputs: Sequence[str], patches: Array, noise: Array | None
    ) -> list[NDArray[Any]]:
        patches = np.ascontiguousarray(patches)
        inputs = {"patches": patches} if noise is None else {"patches": patches, "noise": noise}
        results: list[NDArray[Any]] = self.session.run(outputs, inputs, self.path_only)
        return results
