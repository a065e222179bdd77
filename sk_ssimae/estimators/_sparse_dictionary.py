"""Sparse codes of patches, and how unusual they are among those of good images."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import ClassVar, Unpack

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from sk_ssimae._areas import Area, whole_area
from sk_ssimae._intensity import Image
from sk_ssimae._interest import inner_patches
from sk_ssimae._patches import Patches
from sk_ssimae._pixels import as_unit_float
from sk_ssimae._sliced import SlicedImage
from sk_ssimae.estimators._base import BaseSegmenter
from sk_ssimae.estimators._dictionary import AT_LEAST_1, _merge
from sk_ssimae.estimators._parameters import Parameter, Role, SegmenterParameters
from sk_ssimae.estimators._results import Mask
from sk_ssimae.estimators._sparse_coding import (
    IndicatorDensity,
    SparseCoder,
    learn_atoms,
    vote,
)


class SparseDictionarySegmenter(BaseSegmenter):
    r"""Segment by sparse codes that are unusual for a dictionary learned from good patches.

    A patch :math:`s` of pixels, less its mean, is approximated by few atoms of a dictionary
    :math:`D`:

    .. math::

        x(s) = \arg\min_x \tfrac{1}{2} \lVert s - Dx \rVert_2^2 + \lambda \lVert x \rVert_1

    Two indicators say how well that succeeds: the error :math:`\lVert s - Dx \rVert_2` and the norm
    :math:`\lVert x \rVert_1`. Their joint density :math:`p` is estimated on patches of good images
    from which the dictionary was not learned. The score of a patch is :math:`-\log p`, counted from
    the most probable point, and that of a pixel is the largest value that more than half of the
    patches that cover it reach. So a pixel exceeds a threshold if more than half of its patches do,
    as with Carrera et al., whatever the threshold.

    It is meant for irregular textures, and for structures of the size of a patch that good images
    lack; it needs no torch. It sees nothing larger than a patch, and hardly any change of
    brightness. It is the slowest dictionary: each patch is a lasso problem.

    Parameters
    ----------
    patch_size : int, default=15
        Side of a patch in pixels.
    n_atoms : int, default=338
        Number of atoms, by default one and a half for each pixel of a patch.
    sparsity : float, default=0.1
        Weight :math:`\lambda` of the l1 norm, for intensities in [0, 1]; above 0.
    n_training_patches : int, default=1000
        Number of random patches from which the dictionary is learned, fewer if images have fewer.
    n_density_patches : int, default=1000
        Number of random patches of other images, or of the other half of a single one, from which
        the density is estimated.
    min_brightness : float, default=0
        Mean in [0, 1) of the darkest patches that count. Darker ones are not learned from and score
        0: Carrera et al. use 0.15, because the dark gaps between nanofibres are no defects. On
        other surfaces that would hide dark defects.
    stride : int, default=4
        Distance between patches in pixels, at most `patch_size`.
    n_jobs : int or None, default=None
        Number of threads that encode patches, as for joblib; it changes no result.
    {parameters}

    Attributes
    ----------
    dictionary_ : array of float32, shape (n_atoms, d)
        Atoms, d = patch_size² · channels values each, row by row.
    indicators_ : array of float32, shape (n, 2)
        Error and l1 norm of the patches whose density is estimated.
    n_patches_seen_ : int
        Number of good patches that those of the density represent.
    {attributes}

    References
    ----------
    D. Carrera, F. Manganini, G. Boracchi, E. Lanzarone, "Defect Detection in SEM Images of
    Nanofibrous Materials", IEEE Transactions on Industrial Informatics 13(2), 2017. Departures:
    constant patches are scored like others instead of 0, because on other surfaces a smear without
    structure is a defect; and the means of all channels of a colour patch are one.

    Examples
    --------
    >>> from sk_ssimae import SparseDictionarySegmenter
    >>> from sk_ssimae.datasets import draw_defects, make_woven_fabric
    >>> good = make_woven_fabric(2, shape=(64, 64), random_state=0)
    >>> test = draw_defects(make_woven_fabric(2, shape=(64, 64), random_state=1), random_state=0)
    >>> segmenter = SparseDictionarySegmenter(
    ...     patch_size=8, n_atoms=32, n_training_patches=200, n_density_patches=200, random_state=0
    ... ).fit(good)
    >>> segmenter.score(test.images, test.masks) > 0.7
    True
    """

    parameters: ClassVar[dict[str, Parameter]] = {
        "patch_size": Parameter(Role.NETWORK, AT_LEAST_1),
        "n_atoms": Parameter(Role.NETWORK, AT_LEAST_1),
        "sparsity": Parameter(Role.NETWORK, Interval(Real, 0, None, closed="neither")),
        "n_training_patches": Parameter(Role.NETWORK, AT_LEAST_1),
        "n_density_patches": Parameter(Role.NETWORK, AT_LEAST_1),
        "min_brightness": Parameter(Role.NETWORK, Interval(Real, 0, 1, closed="left")),
        "stride": Parameter(Role.INFERENCE, AT_LEAST_1),
        "n_jobs": Parameter(
            Role.MACHINE, AT_LEAST_1, Interval(Integral, None, -1, closed="right"), None
        ),
    }

    method_name = "sparse-dictionary"

    def __init__(
        self,
        *,
        patch_size: int = 15,
        n_atoms: int = 338,
        sparsity: float = 0.1,
        n_training_patches: int = 1000,
        n_density_patches: int = 1000,
        min_brightness: float = 0,
        stride: int = 4,
        n_jobs: int | None = None,
        **shared: Unpack[SegmenterParameters],
    ) -> None:
        super().__init__(**shared)
        self.patch_size = patch_size
        self.n_atoms = n_atoms
        self.sparsity = sparsity
        self.n_training_patches = n_training_patches
        self.n_density_patches = n_density_patches
        self.min_brightness = min_brightness
        self.stride = stride
        self.n_jobs = n_jobs

    def check_parameters(self) -> None:
        """Check each parameter, and that patches cover the image."""
        super().check_parameters()
        _check_stride(self.stride, self.patch_size, "patch_size=")

    def check_ready(self) -> None:
        """Check parameters that were set since `fit`."""
        super().check_ready()
        _check_stride(self.stride, self.min_image_size, "the patch_size of fit, ")

    def fit_regions(
        self,
        regions: Sequence[Image],
        rng: np.random.Generator,
        inside: Sequence[Mask] | None = None,
    ) -> None:
        """Learn the dictionary, and the density of indicators on other patches."""
        size, n_atoms, sparsity = int(self.patch_size), int(self.n_atoms), float(self.sparsity)
        eligible = _eligible(regions, inside, size, self.min_brightness)
        for_atoms, for_density = _divide(eligible, size, rng)
        patches = _draw(regions, for_atoms, self.n_training_patches, size, rng)
        dictionary = learn_atoms(patches, n_atoms, sparsity, rng)
        self.set_dictionary(dictionary, sparsity)
        patches = _draw(regions, for_density, self.n_density_patches, size, rng)
        self.set_indicators(self._coder.indicators(patches).astype(np.float32))
        self.n_patches_seen_ = sum(int(mask.sum()) for mask in eligible)

    def update_regions(
        self,
        regions: Sequence[Image],
        rng: np.random.Generator,
        inside: Sequence[Mask] | None = None,
    ) -> None:
        """Estimate the density on patches of earlier and of other good images.

        The dictionary stays as of `fit`. Old and new patches have shares of the density like the
        numbers of patches that they stand for.
        """
        fitted = self.fitted_parameters_
        size, n_patches = self.min_image_size, int(fitted["n_density_patches"])
        eligible = _eligible(regions, inside, size, fitted["min_brightness"])
        patches = _draw(regions, eligible, n_patches, size, rng)
        indicators = self._coder.indicators(patches).astype(np.float32)
        n_new = sum(int(mask.sum()) for mask in eligible)
        share = n_new / (self.n_patches_seen_ + n_new)
        self.set_indicators(_merge(self.indicators_, indicators, share, "random", n_patches, rng))
        self.n_patches_seen_ += n_new

    def set_dictionary(self, dictionary: NDArray[np.float32], sparsity: float) -> None:
        """Set the atoms (K, d), of `fit` or of a file."""
        self.dictionary_ = dictionary
        self._coder = SparseCoder(dictionary, sparsity)

    def set_indicators(self, indicators: NDArray[np.float32]) -> None:
        """Set the indicators (n, 2) of good patches, of `fit` or of a file."""
        self.indicators_ = indicators
        self._density = IndicatorDensity(indicators.astype(np.float64))

    def compute_residual(self, image: Image) -> NDArray[np.float32]:
        """Compute the vote (h, w) of the patches that cover a pixel."""
        shape = image.shape[0], image.shape[1]
        patches = Patches.of_image(shape, self.min_image_size, self.stride)
        return vote(self._scores(image, patches), patches, whole_area(shape))

    def compute_area_residual(self, image: SlicedImage, area: Area) -> NDArray[np.float32]:
        """Compute the residual of an area from the patches that cover it."""
        patches = Patches.of_image(image.shape, self.min_image_size, self.stride).over(area)
        return vote(self._scores(image.read(*patches.area), patches), patches, area)

    def residual_radius(self) -> int:
        """Return how many pixels around a pixel its residual depends on."""
        return self.min_image_size - 1

    def _scores(self, part: Image, patches: Patches) -> NDArray[np.float32]:
        """Return the score of each patch of the part of an image that they cover together."""
        rows, columns = (positions - positions[0] for positions in patches[:2])
        strips = (part[row : row + patches.patch_size] for row in rows)
        scores = Parallel(n_jobs=self.n_jobs, prefer="threads")(
            delayed(self._score_strip)(strip, columns) for strip in strips
        )
        return np.stack(scores)

    def _score_strip(self, strip: Image, columns: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the scores of patches of a strip (p, w, c)."""
        patches = _windows(as_unit_float(strip), len(strip))[0, columns]
        patches = patches.reshape(len(columns), -1).astype(np.float64)
        means = patches.mean(axis=1, keepdims=True)
        scores = self._density.improbability(self._coder.indicators(patches - means))
        is_dark = means[:, 0] < self.fitted_parameters_["min_brightness"]
        return np.where(is_dark, 0, scores).astype(np.float32)


def _check_stride(stride: int, patch_size: int, name: str) -> None:
    if stride > patch_size:
        raise ValueError(
            f"stride must be at most {name}{patch_size}, so that patches cover the image, got "
            f"{stride} instead."
        )


def _windows(image: Image, size: int) -> Image:
    """Return a view of all patches (h', w', p, p, c) of an image."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size), axis=(0, 1))
    return windows.transpose(0, 1, 3, 4, 2)


def _eligible(
    regions: Sequence[Image], inside: Sequence[Mask] | None, size: int, min_brightness: float
) -> list[Mask]:
    """Tell which patches of each region may be drawn, by their first pixels."""
    masks: Sequence[Mask | None] = inside or [None] * len(regions)
    eligible = []
    for region, mask in zip(regions, masks, strict=True):
        shape = region.shape[0] - size + 1, region.shape[1] - size + 1
        may_draw = np.ones(shape, dtype=bool) if mask is None else inner_patches(mask, size)
        if min_brightness > 0:
            may_draw = may_draw & (_means(region, size) >= min_brightness)
        eligible.append(may_draw)
    if not any(mask.any() for mask in eligible):
        raise ValueError(
            f"min_brightness must leave some patches of the good images, got {min_brightness}, "
            "and all are darker. Lower it, or check intensity_range."
        )
    return eligible


def _means(region: Image, size: int) -> NDArray[np.float64]:
    """Return the mean of each patch, by its first pixel."""
    grey = as_unit_float(region).mean(axis=2, dtype=np.float64)
    sums = np.pad(grey.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    totals = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    means: NDArray[np.float64] = totals / size**2
    return means


def _divide(
    eligible: Sequence[Mask], size: int, rng: np.random.Generator
) -> tuple[list[Mask], list[Mask]]:
    """Divide the patches of images, or of the halves of a single one, among dictionary and density.

    If either would have none, both have all.
    """
    if len(eligible) == 1:
        (mask,) = eligible
        axis = int(np.argmax(mask.shape))
        middle = (mask.shape[axis] + size - 1) // 2
        places = np.expand_dims(np.arange(mask.shape[axis]), 1 - axis)
        first, second = [mask & (places <= middle - size)], [mask & (places >= middle)]
    else:
        chosen = rng.permutation(len(eligible)) < len(eligible) // 2
        first = [mask & ~is_chosen for mask, is_chosen in zip(eligible, chosen, strict=True)]
        second = [mask & is_chosen for mask, is_chosen in zip(eligible, chosen, strict=True)]
    if all(any(mask.any() for mask in part) for part in (first, second)):
        return first, second
    return list(eligible), list(eligible)


def _draw(
    regions: Sequence[Image],
    eligible: Sequence[Mask],
    n_patches: int,
    size: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Draw patches (n, d) less their means, at most so many, uniformly from all regions."""
    counts = [int(mask.sum()) for mask in eligible]
    total = sum(counts)
    drawn = np.sort(rng.choice(total, min(int(n_patches), total), replace=False))
    firsts = np.cumsum([0, *counts])
    patches = []
    for region, mask, first, stop in zip(regions, eligible, firsts[:-1], firsts[1:], strict=True):
        numbers = drawn[(drawn >= first) & (drawn < stop)] - first
        rows, columns = np.divmod(np.flatnonzero(mask)[numbers], mask.shape[1])
        windows = _windows(as_unit_float(region), size)[rows, columns]
        patches.append(windows.astype(np.float64).reshape(len(numbers), size**2 * region.shape[2]))
    joined = np.concatenate(patches)
    return joined - joined.mean(axis=1, keepdims=True)
