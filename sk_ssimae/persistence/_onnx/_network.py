"""A network that ONNX Runtime computes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_ssimae.persistence._onnx._windows import (
    Array,
    Origin,
    Transform,
    average_orientations,
    average_windows,
)


class OnnxNetwork(NamedTuple):
    """Pass windows of images through a network.

    Attributes
    ----------
    session : onnxruntime.InferenceSession
        The network.
    path_only : onnxruntime.RunOptions
        Options to compute nothing but what is asked for.
    patch_size, stride, batch_size : int
    taper : float
        As for :func:`average_windows`.
    every_orientation : bool
        Whether to average over turns and flips of each window.
    latent_dim : int or None
        Latent dimension if the network is variational.
    """

    session: Any
    path_only: Any
    patch_size: int
    stride: int
    taper: float
    batch_size: int
    every_orientation: bool
    latent_dim: int | None

    def average(self, image: Array, transform: Transform) -> Array:
        """Transform the windows of an image (C, H, W) and average the results (C', H, W)."""
        if self.every_orientation:
            transform = average_orientations(transform)
        return average_windows(
            image,
            transform,
            patch_size=self.patch_size,
            stride=self.stride,
            taper=self.taper,
            batch_size=self.batch_size,
        )

    def reconstruct(self, windows: Array, origins: Sequence[Origin]) -> NDArray[Any]:
        """Reconstruct windows (N, C, P, P); a variational network decodes the mean."""
        return self._run(("reconstructions",), windows, self._no_noise(windows))[0]

    def sample(self, windows: Array, noise: Array) -> NDArray[Any]:
        """Reconstruct windows from samples of the posterior: noise (N, S, d) to (N, S, C, P, P)."""
        (samples,) = self._run(("reconstructions",), windows, noise)
        return samples.reshape(*noise.shape[:2], *windows.shape[1:])

    def encode(self, windows: Array) -> list[NDArray[Any]]:
        """Compute mean and log-variance (N, d) of the posterior."""
        return self._run(("mean", "log_variance"), windows, self._no_noise(windows))

    def _no_noise(self, windows: Array) -> Array | None:
        if self.latent_dim is None:
            return None
        return np.zeros((len(windows), 1, self.latent_dim), dtype=np.float32)

    def _run(
        self, outputs: Sequence[str], windows: Array, noise: Array | None
    ) -> list[NDArray[Any]]:
        inputs = {"windows": windows} if noise is None else {"windows": windows, "noise": noise}
        results: list[NDArray[Any]] = self.session.run(outputs, inputs, self.path_only)
        return results
