"""The candidates of `tune`: segmenters, and the settings of inference to try on each."""

from collections.abc import Mapping, Sequence
from itertools import product
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from sk_ssimae._images import Images
from sk_ssimae._pixels import Conversion

# The shorter side in pixels from which images of half the size are tried too.
_LARGE = 512
_PATCH_SIZE, _LARGE_PATCH_SIZE = 64, 128
_MOST_READ = 15
#: Between the names of the members of an ensemble.
PLUS = " + "


class Candidate(NamedTuple):
    """A segmenter to try, and settings that are searched on it once it is trained.

    Attributes
    ----------
    name : str
        Name in tables: letters, digits, spaces and any of ``._=+-``, without " + "; not
        "ensembles", "selection set" or "winner".
    segmenter : segmenter
        Not necessarily fitted; a copy is trained. Networks are trained on at most
        ``n_patches * max_epochs`` patches.
    grid : dict of str to list
        Values of parameters of inference, such as ``{"smoothing": [0, 2, "auto"]}``. All
        combinations are tried.

    Examples
    --------
    >>> from sk_ssimae import PatchDictionarySegmenter
    >>> from sk_ssimae.model_selection import Candidate
    >>> Candidate("filters", PatchDictionarySegmenter(), {"smoothing": [1, 2]}).grid
    {'smoothing': [1, 2]}
    """

    name: str
    segmenter: Any
    grid: Mapping[str, Sequence[Any]] = MappingProxyType({})

    def settings(self) -> list[dict[str, Any]]:
        """Return all combinations of the values of the grid."""
        return [
            dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())
        ]


def default_candidates(X: Any, *, device: Any = "auto") -> list[Candidate]:
    """Return the candidates of :func:`tune`, the cheapest first.

    Patch dictionaries with and without normalized contrast and with coarse filters, a feature
    dictionary, an SSIM and an L2 autoencoder, and the SSIM autoencoder with ``cutout=0.25``. On
    images of at least 512 pixels per side, also a patch dictionary and the SSIM autoencoder on
    images of half the size, and the SSIM autoencoder with patches of 128 pixels, 500 latent
    dimensions and ``cutout=0.25``, as in :func:`~sk_ssimae.make_default_ensemble`.
    Each is tried with half the automatic smoothing, with the automatic and with twice the
    automatic; autoencoders with a `taper` of 0.25 and 1, and those with SSIM with an
    `absolute_weight` of 0, 3 and 10. Other patches have 64 pixels, or half the shorter side of
    smaller images.

    Parameters
    ----------
    X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
        Good images. The median height and width of up to 15 of them decide about sizes.
    device : str or torch.device, default="auto"
        Where networks compute; "auto" uses a GPU if there is one, else the CPU.

    Returns
    -------
    list of Candidate
        For :func:`tune`; add your own, or leave some out.

    Raises
    ------
    TypeError, ValueError
        If `X` is not as described.

    Examples
    --------
    >>> from sk_ssimae.datasets import make_woven_fabric
    >>> from sk_ssimae.model_selection import default_candidates
    >>> good = make_woven_fabric(3, shape=(64, 64), random_state=0)
    >>> for candidate in default_candidates(good):
    ...     print(candidate.name, len(candidate.settings()))
    patch-dictionary 3
    patch-dictionary contrast_sigma=0 3
    patch-dictionary coarse 3
    feature-dictionary 3
    ssim 18
    l2 6
    ssim cutout=0.25 18
    """
    # They import scikit-learn and torch, which the rest of this subpackage does without.
    from sk_ssimae._inference._decision import smoothing_sigma
    from sk_ssimae.estimators import (
        FeatureDictionarySegmenter,
        L2AutoencoderSegmenter,
        PatchDictionarySegmenter,
        SSIMAutoencoderSegmenter,
    )

    shape = median_shape(X)
    sigma = smoothing_sigma("auto", shape)
    smoothing = {"smoothing": [round(sigma / 2, 2), "auto", round(2 * sigma, 2)]}
    autoencoder = smoothing | {"taper": [0.25, 1]}
    ssim = autoencoder | {"absolute_weight": [0, 3, 10]}
    half = (shape[0] // 2, shape[1] // 2)
    network = {"device": device, "patch_size": _patch_size(min(shape))}
    network["stride"] = min(16, network["patch_size"])
    large_patches = "ssim patch_size=128 cutout=0.25"
    candidates = [
        Candidate("patch-dictionary", PatchDictionarySegmenter(), smoothing),
        Candidate(
            "patch-dictionary contrast_sigma=0",
            PatchDictionarySegmenter(contrast_sigma=0),
            smoothing,
        ),
        Candidate(
            "patch-dictionary coarse",
            PatchDictionarySegmenter(scales=(2, 4, 8), stride=8),
            smoothing,
        ),
        Candidate(
            "patch-dictionary half size", PatchDictionarySegmenter(image_size=half), smoothing
        ),
        Candidate("feature-dictionary", FeatureDictionarySegmenter(device=device), smoothing),
        Candidate("ssim", SSIMAutoencoderSegmenter(**network), ssim),
        Candidate("l2", L2AutoencoderSegmenter(**network), autoencoder),
        Candidate("ssim cutout=0.25", SSIMAutoencoderSegmenter(cutout=0.25, **network), ssim),
        Candidate("ssim half size", SSIMAutoencoderSegmenter(image_size=half, **network), ssim),
        Candidate(
            large_patches,
            SSIMAutoencoderSegmenter(
                patch_size=_LARGE_PATCH_SIZE,
                latent_dim=500,
                cutout=0.25,
                stride="auto",
                device=device,
            ),
            ssim,
        ),
    ]
    for_large = {"patch-dictionary half size", "ssim half size", large_patches}
    is_large = min(shape) >= _LARGE
    return [one for one in candidates if is_large or one.name not in for_large]


def median_shape(X: Any) -> tuple[int, int]:
    """Return the median height and width of some of the images."""
    images = Images(X, conversion=Conversion(alpha_channel="keep"))
    chosen = np.unique(np.linspace(0, len(images) - 1, _MOST_READ).round().astype(int))
    shapes = [images.read_shape(index) for index in chosen.tolist()]
    height, width = np.median(shapes, axis=0).astype(int).tolist()
    return height, width


def _patch_size(shorter_side: int) -> int:
    """Return a patch size of which two fit into the shorter side, a multiple of 16."""
    return max(16, min(_PATCH_SIZE, shorter_side // 2 // 16 * 16))
