"""Synthetic woven fabric as seen by a line camera."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sk_ssimae._validation import check_number
from sk_ssimae.datasets._synthetic import Field, generate, smooth_noise

# Warp threads lie on top where (column + step * row) % repeat < floats.
_WEAVES = {"plain": (1, 2, 1), "twill": (1, 3, 2), "satin": (2, 5, 4)}


def make_woven_fabric(
    n_samples: int = 10,
    *,
    shape: tuple[int, int] = (256, 256),
    weave: Literal["plain", "twill", "satin"] = "twill",
    thread_spacing: float = 8.0,
    irregularity: float = 1.0,
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
) -> NDArray[np.float32]:
    """Make images of defect-free woven fabric.

    Warp and weft threads cross over and under each other. As in cloth, threads wander, swell and
    differ in brightness, fibres run along them, the light falls off slowly and the camera is noisy.

    Parameters
    ----------
    n_samples : int, default=10
        Number of images.
    shape : tuple of two int, default=(256, 256)
        Height and width in pixels.
    weave : {"plain", "twill", "satin"}, default="twill"
        Pattern in which warp and weft threads alternate on top.
    thread_spacing : float, default=8
        Distance between neighbouring threads in pixels, from 3 to 10,000.
    irregularity : float, default=1
        Strength of all random deviations, from 0, a perfectly regular fabric, to 10.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the images; the same seed produces the same images.

    Returns
    -------
    array of float32, shape (n_samples, height, width)
        Grey values in [0, 1].

    Raises
    ------
    ValueError
        If a parameter is outside its interval, or `weave` is unknown.

    Examples
    --------
    >>> from sk_ssimae.datasets import make_woven_fabric
    >>> fabric = make_woven_fabric(2, shape=(64, 96), random_state=0)
    >>> fabric.shape, fabric.dtype
    ((2, 64, 96), dtype('float32'))
    """
    if not (isinstance(weave, str) and weave in _WEAVES):
        raise ValueError(f"weave must be one of {sorted(_WEAVES)}, got {weave!r} instead.")
    check_number(thread_spacing, "thread_spacing", 3, 10_000)
    check_number(irregularity, "irregularity", 0, 10)
    return generate(
        n_samples,
        shape,
        random_state,
        lambda rng: _weave(shape, weave, thread_spacing, irregularity, rng),
    )


def _weave(
    shape: tuple[int, int],
    weave: str,
    spacing: float,
    irregularity: float,
    rng: np.random.Generator,
) -> Field:
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    # Position of each pixel on the cloth, in threads: shifted by a random phase, and wandering.
    wander = 0.35 * irregularity
    along_warp, along_weft = (
        (pixels + rng.uniform(0, 60 * spacing) + wander * smooth_noise(shape, 3 * spacing, rng))
        / spacing
        for pixels in (rows, columns)
    )
    warp = _threads(along_weft, along_warp, irregularity, rng)
    weft = _threads(along_warp, along_weft, irregularity, rng)
    step, repeat, floats = _WEAVES[weave]
    warp_on_top = (np.floor(along_weft) + step * np.floor(along_warp)) % repeat < floats
    # A thread sinks where it passes under its neighbour.
    warp_height = warp + np.where(warp_on_top, 0.25, -0.25)
    weft_height = weft * 0.85 + np.where(warp_on_top, -0.25, 0.25)
    cloth = 0.2 + 0.4 * np.maximum(warp_height, weft_height)
    light = 1 + 0.03 * irregularity * smooth_noise(shape, 0.5 * max(shape), rng)
    image = ndimage.gaussian_filter(cloth * light, 0.6)
    image += 0.012 * irregularity * rng.standard_normal(shape, dtype=np.float32)
    return np.clip(image, 0, 1)


def _threads(across: Field, along: Field, irregularity: float, rng: np.random.Generator) -> Field:
    """Shade parallel threads: bright on their ridge, dark in the gaps between them."""
    thread = np.floor(across).astype(np.intp)
    first = thread.min()
    n_threads = int(thread.max() - first) + 1
    # Each thread has its own brightness and swells and thins along its length.
    brightness = 1 + 0.05 * irregularity * rng.standard_normal(n_threads)
    position = np.floor(along).astype(np.intp)
    knots = rng.standard_normal((n_threads, int(np.ptp(position)) + 1))
    swelling = 1 + 0.10 * irregularity * ndimage.gaussian_filter1d(knots, 2.0, axis=1) * 2.0
    offset = across - thread - 0.5
    width = 0.5 * swelling[thread - first, position - position.min()]
    profile = np.sqrt(np.clip(1 - (offset / width) ** 2, 0, 1))
    fibres = ndimage.gaussian_filter1d(
        rng.standard_normal(across.shape, dtype=np.float32),
        3.0,
        axis=0 if across[0, -1] - across[0, 0] > across[-1, 0] - across[0, 0] else 1,
    )
    shaded: Field = profile * brightness[thread - first] + 0.12 * irregularity * fibres
    return shaded
