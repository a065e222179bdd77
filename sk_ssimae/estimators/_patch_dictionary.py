"""Filters learned from good images, and a dictionary of their pooled responses."""

from collections.abc import Sequence
from numbers import Integral
from typing import ClassVar, Unpack

import numpy as np

from sk_ssimae._intensity import Image
from sk_ssimae.estimators._dictionary import (
    AT_LEAST_1,
    BaseDictionarySegmenter,
    DictionaryParameters,
    Features,
)
from sk_ssimae.estimators._filter_bank import FilterBank
from sk_ssimae.estimators._parameters import Parameter, Role
from sk_ssimae.estimators._results import Mask


class PatchDictionarySegmenter(BaseDictionarySegmenter):
    """Segment by the distance to filter responses of good images, without a pretrained network.

    Filters are the principal components of small windows of the good images, at several scales.
    Their responses are split into positive and negative parts, which are averaged over cells of a
    grid: the features of a cell. It needs no torch, and trains in seconds.

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
    }

    def __init__(
        self,
        *,
        filter_size: int = 5,
        n_filters: int = 12,
        scales: tuple[int, ...] = (1, 2),
        stride: int = 4,
        **shared: Unpack[DictionaryParameters],
    ) -> None:
        super().__init__(**shared)
        self.filter_size = filter_size
        self.n_filters = n_filters
        self.scales = scales
        self.stride = stride

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
            rng=rng,
        )

    def compute_features(self, image: Image) -> Features:
        """Compute the averages (h', w', d) of rectified responses over the cells of the grid."""
        return self.filter_bank_.compute(image)
