"""Did a network learn the texture? A judgement by a few patches of good images."""

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sk_ssimae._inference._region import Region, working_inside, working_pixels
from sk_ssimae._intensity import Image
from sk_ssimae._interest import inner_patches
from sk_ssimae._pixels import as_unit_float
from sk_ssimae.exceptions import UnlearnedTextureWarning

if TYPE_CHECKING:
    from sk_ssimae.estimators._autoencoder import BaseAutoencoderSegmenter

_N_PATCHES = 16
# On leather, which was not learned, it was at most 0.013 at the end of training; on fabrics,
# nanofibres, and leather with smaller patches, at least 0.5.
_LEAST_CORRELATION = 0.1
# Below the contrast of one grey value in 16-bit images: rounding.
_NO_STRUCTURE = 1e-6
_ROUNDING = 8 * np.finfo(np.float32).eps


def judge(segmenter: "BaseAutoencoderSegmenter", regions: Sequence[Region]) -> float | None:
    """Correlate the structure of good patches with that of reconstructions, and warn if it is low.

    Parameters
    ----------
    segmenter : BaseAutoencoderSegmenter
        Fitted, and ready for prediction.
    regions : sequence of Region
        Good images or parts of them.

    Returns
    -------
    float or None
        As from :func:`structure_correlation`; None also if the family shows a residual without
        saying how to reconstruct patches.

    Warns
    -----
    UnlearnedTextureWarning
        If the correlation is below 0.1, or all residuals are equal, unless training was
        interrupted.
    """
    if not _reconstructs(type(segmenter)):
        return None
    patches = list(sample_patches(regions, segmenter.min_image_size))
    residuals = [segmenter.compute_residual(patch) for patch in patches[::4]]
    reconstructions = map(segmenter.compute_reconstruction, patches)
    correlation = structure_correlation(patches, reconstructions)
    if correlation is None or segmenter.net_.interrupted_:
        return correlation
    if is_constant(residuals):
        _warn(
            f"All residuals of good patches are {residuals[0].max():.3g}: defects cannot be told "
            f"apart. Choose a smaller lr, got {segmenter.lr:g}, or exponents, constants and "
            "weights of the loss nearer to their defaults."
        )
    elif correlation < _LEAST_CORRELATION:
        _warn(
            "The network has learned hardly any texture: the structure of good patches and of "
            f"their reconstructions has a correlation of {correlation:.2f} "
            f"(structure_correlation_), below {_LEAST_CORRELATION:g}. Try in this order: a smaller "
            f"patch_size, got {segmenter.min_image_size}, or image_size; a larger latent_dim; more "
            "n_patches or max_epochs; a smaller lr; another method."
        )
    return correlation


def _reconstructs(cls: type["BaseAutoencoderSegmenter"]) -> bool:
    """Tell whether reconstructions of a family are those that its residual needs."""
    for base in cls.__mro__:
        if "reconstruct_patches" in vars(base):
            return True
        if "residual_over_patches" in vars(base):
            return False
    return False


def _warn(message: str) -> None:
    # From the line that calls fit: that calls fit and _fit_good of BaseSegmenter, each by way of
    # the method of autoencoders, then judge_fit and judge.
    warnings.warn(message, UnlearnedTextureWarning, stacklevel=8)


def sample_patches(regions: Sequence[Region], size: int) -> Iterator[Image]:
    """Cut 16 patches (size, size, c) from regions, spread over all of them, the same each time."""
    rng = np.random.default_rng(0)  # Not that of fit, whose results would change.
    counts = Counter(number * len(regions) // _N_PATCHES for number in range(_N_PATCHES))
    for index, count in counts.items():
        region = regions[index]
        pixels = working_pixels(region)
        allowed = None
        if region.inside is not None:
            allowed = np.argwhere(inner_patches(working_inside(region), size))
        for _ in range(count):
            if allowed is None:
                row, column = (int(rng.integers(side - size + 1)) for side in pixels.shape[:2])
            else:
                row, column = allowed[rng.integers(len(allowed))]
            yield pixels[row : row + size, column : column + size]


def structure_correlation(
    patches: Iterable[Image], reconstructions: Iterable[Image]
) -> float | None:
    """Correlate the structure of patches with that of their reconstructions.

    The structure is the deviation from the local mean, under a Gaussian whose sigma is an eighth of
    the patch: a network that reproduces only brightness and gradual shading has learned no texture.

    Parameters
    ----------
    patches, reconstructions : iterable of arrays (p, p, c)
        Patches, uint8 or float32 in [0, 1], and reconstructions.

    Returns
    -------
    float or None
        Correlation in [-1, 1], over all pixels together, 0 if the reconstructions are constant;
        None if the patches are.
    """
    products = np.zeros(3)
    n_pixels = 0
    for patch, reconstruction in zip(patches, reconstructions, strict=True):
        x, y = _structure(as_unit_float(patch)), _structure(reconstruction)
        products += (x * x).sum(), (y * y).sum(), (x * y).sum()
        n_pixels += x.size
    of_patches, of_reconstructions, of_both = products
    if of_patches < n_pixels * _NO_STRUCTURE**2:
        return None
    if of_reconstructions < n_pixels * _NO_STRUCTURE**2:
        return 0.0
    return float(np.clip(of_both / np.sqrt(of_patches * of_reconstructions), -1, 1))


def is_constant(residuals: Sequence[NDArray[np.float32]]) -> bool:
    """Tell whether residuals differ by no more than rounding."""
    low, high = min(map(np.min, residuals)), max(map(np.max, residuals))
    return bool(high - low <= _ROUNDING * max(abs(low), abs(high)))


def _structure(image: Image) -> NDArray[np.float64]:
    precise = image.astype(np.float64)
    sigma = len(image) / 8
    structure: NDArray[np.float64] = precise - ndimage.gaussian_filter(precise, sigma, axes=(0, 1))
    return structure
