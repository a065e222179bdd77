"""Filters learned from good images, and a dictionary of their pooled responses."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import ClassVar, Unpack

import numpy as np
from sklearn.utils._param_validation import Interval

from sk_ssimae._areas import Area, with_halo, within
from sk_ssimae._intensity import Image
from sk_ssimae.estimators._dictionary import (
    AT_LEAST_1,
    BaseDictionarySegmenter,
    DictionaryParameters,
    Features,
)
from sk_ssimae.estimators._extension import Readable
from sk_ssimae.estimators._filter_bank import FilterBank
from sk_ssimae.estimators._parameters import Parameter, Role
from sk_ssimae.estimators._results import Mask


class PatchDictionarySegmenter(BaseDictionarySegmenter):
    """Segment by the distance to filter responses of good images, without a pretrained network.

    Filters are the principal components of small windows of the good images, at several scales, as
    they are and after their local contrast was normalized. Their responses are split into positive
    and negative parts, which are averaged over cells of a grid; the square roots are the features
    of a cell. It needs no torch, and trains in seconds.

    Parameters
    ----------
    filter_size : int, default=5
        Side of the filters in pixels, an odd number.
    n_filters : int, default=12
        Number of filters at each scale, fewer if windows have fewer values.
    scales : tuple of int, default=(1, 2)
        Factors by which images are shrunk before they are filtered; each divides `stride`.
    stride : int, default=4
        Side of a cell of the grid in pixels.
    contrast_sigma : float, default=8
        Sigma in pixels of the neighbourhood of which contrast is normalized, at most 1000. Without
        it, differences in brightness and contrast between good images hide faint defects; with it
        alone, dark or bright defects would be lost. 0 for the images as they are.
    {parameters}

    Attributes
    ----------
    filter_bank_ : FilterBank
        Filters of each scale.
    {attributes}

    References
    ----------
    P. Napoletano, F. Piccoli, R. Schettini, "Anomaly Detection in Nanofibrous Materials by
    CNN-Based Self-Similarity", Sensors 18(1), 2018: the dictionary, with features of a network.
    K. Jarrett, K. Kavukcuoglu, M. Ranzato, Y. LeCun, "What is the Best Multi-Stage Architecture for
    Object Recognition?", ICCV 2009: rectified responses, averages, normalized contrast.

    Examples
    --------
    >>> from sk_ssimae import PatchDictionarySegmenter
    >>> from sk_ssimae.datasets import draw_defects, make_woven_fabric
    >>> good = make_woven_fabric(4, shape=(96, 96), random_state=0)
    >>> test = draw_defects(make_woven_fabric(2, shape=(96, 96), random_state=1), random_state=0)
    >>> segmenter = PatchDictionarySegmenter(random_state=0).fit(good)
    >>> segmenter.score(test.images, test.masks) > 0.8
    True
    """

    parameters: ClassVar[dict[str, Parameter]] = {
        "filter_size": Parameter(Role.NETWORK, AT_LEAST_1),
        "n_filters": Parameter(Role.NETWORK, AT_LEAST_1),
        "scales": Parameter(Role.NETWORK, tuple),
        "stride": Parameter(Role.NETWORK, AT_LEAST_1),
        "contrast_sigma": Parameter(Role.NETWORK, Interval(Real, 0, 1000, closed="both")),
    }

    method_name = "patch-dictionary"

    def __init__(
        self,
        *,
        filter_size: int = 5,
        n_filters: int = 12,
        scales: tuple[int, ...] = (1, 2),
        stride: int = 4,
        contrast_sigma: float = 8,
        **shared: Unpack[DictionaryParameters],
    ) -> None:
        super().__init__(**shared)
        self.filter_size = filter_size
        self.n_filters = n_filters
        self.scales = scales
        self.stride = stride
        self.contrast_sigma = contrast_sigma

    def check_parameters(self) -> None:
        """Check each parameter, and that scales divide the stride."""
        super().check_parameters()
        if self.filter_size % 2 == 0:
            raise ValueError(f"filter_size must be odd, got {self.filter_size} instead.")
        are_factors = [
            isinstance(scale, Integral) and scale >= 1 and self.stride % scale == 0
            for scale in self.scales
        ]
        if not are_factors or not all(are_factors):
            raise ValueError(
                f"scales must be factors of stride={self.stride}, got {self.scales!r} instead."
            )

    def fit_features(
        self,
        regions: Sequence[Image],
        rng: np.random.Generator,
        inside: Sequence[Mask] | None = None,
    ) -> None:
        """Learn the filters of each scale."""
        self.filter_bank_ = FilterBank.learn(
            regions,
            inside,
            size=int(self.filter_size),
            n_filters=int(self.n_filters),
            scales=tuple(int(scale) for scale in self.scales),
            stride=int(self.stride),
            contrast_sigma=float(self.contrast_sigma),
            rng=rng,
        )

    def compute_features(self, image: Image) -> Features:
        """Compute the features (h', w', d) of the cells of the grid."""
        return self.filter_bank_.compute(image)

    def grid_shape(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return rows and columns of the grid of an image of that height and width."""
        return -(-shape[0] // self.filter_bank_.stride), -(-shape[1] // self.filter_bank_.stride)

    def compute_area_features(self, image: Readable, cells: Area) -> Features:
        """Compute the features of the cells of an area of the grid, from the pixels they need."""
        stride, margin = self.filter_bank_.stride, self.filter_bank_.margin
        wider = with_halo(cells, margin, self.grid_shape(image.shape))
        rows, columns = (
            slice(part.start * stride, min(part.stop * stride, length))
            for part, length in zip(wider, image.shape, strict=True)
        )
        return self.compute_features(image.read(rows, columns))[within(cells, wider)]

    def residual_radius(self) -> int:
        """Return how many pixels around a pixel its residual depends on."""
        # A pixel lies between the centres of two cells, of a grid stretched by less than a cell.
        return (self.filter_bank_.margin + 3) * self.filter_bank_.stride

    def _smoothing_sigma(self, image_shape: tuple[int, int]) -> float:
        """Return the larger of the smoothing and the standard deviation of the widest filter."""
        fitted = self.fitted_parameters_
        width = fitted["filter_size"] * max(fitted["scales"])
        return max(super()._smoothing_sigma(image_shape), width / math.sqrt(12))
