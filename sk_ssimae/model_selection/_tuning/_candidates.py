"""The candidates of `tune`: segmenters, and the settings of inference to try on each."""

import difflib
import re
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
# Names of other steps.
_RESERVED = ("ensembles", "selection set", "winner")
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
    images of half the size, and the SSIM autoencoder with patches of 128 pixels and 500 latent
    dimensions, the paper's for nanofibres.
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
            "ssim patch_size=128",
            SSIMAutoencoderSegmenter(
                patch_size=_LARGE_PATCH_SIZE, latent_dim=500, stride=30, device=device
            ),
            ssim,
        ),
    ]
    for_large = {"patch-dictionary half size", "ssim half size", "ssim patch_size=128"}
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


def check_candidates(candidates: Any) -> list[Candidate]:
    """Check candidates; a pair or triple becomes a Candidate.

    Raises
    ------
    TypeError
        If one is not a Candidate, or its segmenter is not one of this package.
    ValueError
        If there is none, a name is not allowed or not unique, a parameter is out of range, or a
        grid has other parameters than those of inference.
    """
    from sklearn.base import clone

    from sk_ssimae.estimators import BaseSegmenter

    if not isinstance(candidates, Sequence) or isinstance(candidates, str):
        raise TypeError(
            "candidates must be a list of Candidate(name, segmenter, grid), got "
            f"{type(candidates).__name__} instead."
        )
    if not candidates:
        raise ValueError("candidates must contain at least one Candidate, got none.")
    checked: list[Candidate] = []
    for index, given in enumerate(candidates):
        where = f"candidates[{index}]"
        if not isinstance(given, tuple) or not 2 <= len(given) <= 3:
            raise TypeError(
                f"{where} must be Candidate(name, segmenter, grid), got {given!r} instead."
            )
        candidate = Candidate(*given)
        if not isinstance(candidate.segmenter, BaseSegmenter):
            raise TypeError(
                f"{where} must have a segmenter, an instance of a subclass of BaseSegmenter, got "
                f"{candidate.segmenter!r} instead."
            )
        _check_name(candidate.name, [one.name for one in checked], where)
        _check_grid(candidate, where)
        try:
            candidate.segmenter.check_parameters()
            for setting in candidate.settings():
                clone(candidate.segmenter).set_params(**setting).check_parameters()
        except (TypeError, ValueError) as error:
            raise type(error)(f"{where} ({candidate.name}): {error}") from error
        checked.append(candidate)
    return checked


def with_params(candidates: list[Candidate], params: Any) -> list[Candidate]:
    """Return checked candidates whose segmenters have parameters set, where they have them.

    Raises
    ------
    TypeError
        If `params` is no dict of names.
    ValueError
        If no segmenter has one of the parameters, a grid has it too, or a value is not allowed.
    """
    from sklearn.base import clone

    if params is None:
        return candidates
    if not isinstance(params, Mapping) or not all(isinstance(name, str) for name in params):
        raise TypeError(
            "params must be a dict from names of parameters to values, such as "
            f"{{'alpha_channel': 'keep'}}, got {params!r} instead."
        )
    known = {name for candidate in candidates for name in candidate.segmenter.get_params()}
    for name in params:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            remedy = f"Did you mean {close[0]!r}?" if close else "Leave it out."
            raise ValueError(
                f"params must have names of parameters of candidates, got {name!r}. {remedy}"
            )
        searched = [candidate.name for candidate in candidates if name in candidate.grid]
        if searched:
            raise ValueError(
                f"params must not have {name!r}, whose values are in the grid of {searched[0]!r}. "
                "Change the grid instead."
            )
    changed = []
    for candidate in candidates:
        segmenter = clone(candidate.segmenter)
        own = {name: value for name, value in params.items() if name in segmenter.get_params()}
        try:
            segmenter.set_params(**own).check_parameters()
        except (TypeError, ValueError) as error:
            raise type(error)(f"params, of {candidate.name}: {error}") from error
        changed.append(candidate._replace(segmenter=segmenter))
    return changed


def common_parameter(candidates: Sequence[Candidate], name: str) -> Any:
    """Return the value of a parameter by which images are read.

    Raises
    ------
    ValueError
        If candidates differ in it.
    """
    values = [getattr(candidate.segmenter, name) for candidate in candidates]
    if any(value != values[0] for value in values):
        found = ", ".join(dict.fromkeys(map(repr, values)))
        raise ValueError(
            f"candidates must have the same {name}, got {found}: they are ranked on the same "
            f"images. Set it for all with params={{{name!r}: ...}}."
        )
    return values[0]


def _check_name(name: Any, former: list[str], where: str) -> None:
    is_allowed = isinstance(name, str) and re.fullmatch(r"[\w.=+ -]+", name)
    if not is_allowed or PLUS in name or name in _RESERVED:
        raise ValueError(
            f"{where} must have a name of letters, digits, spaces and any of ._=+-, without "
            f"{PLUS!r} and other than {', '.join(map(repr, _RESERVED))}, got {name!r} instead."
        )
    if name in former:
        raise ValueError(f"Names of candidates must be unique, got {name!r} more than once.")


def _check_grid(candidate: Candidate, where: str) -> None:
    from sk_ssimae.estimators import Role

    if not isinstance(candidate.grid, Mapping):
        raise TypeError(
            f"{where} must have a dict of lists as grid, got {candidate.grid!r} instead."
        )
    searchable = candidate.segmenter.parameter_names(Role.INFERENCE)
    for name, values in candidate.grid.items():
        if name not in searchable:
            raise ValueError(
                f"{where} must have a grid of parameters of inference, {searchable}, got {name!r} "
                "instead. Other parameters need a training each: add a candidate for each value."
            )
        if (
            not isinstance(values, Sequence | np.ndarray)
            or isinstance(values, str)
            or not len(values)
        ):
            raise ValueError(
                f"{where}: the grid must have a list of values for {name!r}, got {values!r} "
                "instead."
            )
