"""Noise that depends on the place in an image alone."""

import numpy as np
from numpy.typing import NDArray


def patch_noise(key: int, origin: tuple[int, int], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Draw standard normal noise for a patch, the same whatever else is computed.

    Parameters
    ----------
    key : int
        Seed in [0, 2**64).
    origin : tuple of two int
        First row and column of the patch.
    shape : tuple of two int
        Samples and latent dimension.

    Returns
    -------
    array of float32
        The noise.
    """
    bits = np.random.Philox(key=key, counter=[0, 0, *origin])
    return np.random.Generator(bits).standard_normal(shape, dtype=np.float32)
