"""The autoencoder that also matches the features of a pretrained network."""

import os
from numbers import Real
from typing import Any, ClassVar, Self, Unpack

from sklearn.utils._param_validation import Interval
from torch import nn

from sk_ssimae.estimators._autoencoder import BaseAutoencoderSegmenter
from sk_ssimae.estimators._autoencoder_parameters import AutoencoderParameters
from sk_ssimae.estimators._parameters import Parameter, Role
from sk_ssimae.estimators._pickling import for_pickling
from sk_ssimae.estimators._residuals import L2Residual
from sk_ssimae.losses import FeatureMatchingLoss, L2Loss
from sk_ssimae.losses._feature_matching import LARGEST_WEIGHT
from sk_ssimae.modules import load_feature_extractor


class FeatureMatchingAutoencoderSegmenter(BaseAutoencoderSegmenter):
    """Segment defects by the squared error of an autoencoder that also matches features.

    Training compares a patch with its reconstruction by their pixels and by the features that a
    pretrained network computes of them, which makes reconstructions sharper. The residual is the
    squared difference of pixels, as in :class:`L2AutoencoderSegmenter`.

    Parameters
    ----------
    feature_extractor : {"alexnet", "efficientnet-lite0"}, path or torch.nn.Module
        The network F; there is no default, since each has to be downloaded or chosen.

        - "alexnet": as in the paper, the first three convolutions of the AlexNet trained on
          ImageNet. Its weights (233 MB) are downloaded on first use into torch's hub cache.
        - A path: a file with AlexNet's weights.
        - "efficientnet-lite0": the first three stages of EfficientNet-Lite0; its weights come with
          the extra ``features``.
        - A module from patches (N, C, P, P) in [0, 1] to features (N, ...). It is copied and
          frozen. The others repeat grey to three channels and normalise as in their training.
    feature_weight : float, default=1
        Weight λ of the features, from 0 to 1e12. Squared differences are summed over features as
        over pixels, so that 1 weighs a feature like a pixel: equation 3 as printed. Networks differ
        in scale: features of EfficientNet-Lite0 differ about 1,000 times as much as pixels, and
        1e-3 weighs both alike.
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    L2AutoencoderSegmenter : Without features.

    References
    ----------
    P. Bergmann, S. Löwe, M. Fauser, D. Sattlegger, C. Steger, "Improving Unsupervised Defect
    Segmentation by Applying Structural Similarity to Autoencoders", arXiv:1807.02011, 2019,
    equation 3.

    Examples
    --------
    >>> import torch
    >>> from sk_ssimae import FeatureMatchingAutoencoderSegmenter
    >>> from sk_ssimae.datasets import make_woven_fabric
    >>> good = make_woven_fabric(2, shape=(48, 48), random_state=0)
    >>> segmenter = FeatureMatchingAutoencoderSegmenter(
    ...     feature_extractor=torch.nn.AvgPool2d(4),
    ...     patch_size=16, stride=16, n_patches=64, max_epochs=1, random_state=0
    ... )
    >>> segmenter.fit(good).decision_function(good).shape
    (2, 48, 48)
    """

    parameters: ClassVar[dict[str, Parameter]] = {
        "feature_extractor": Parameter(Role.TRAINING, str, os.PathLike, nn.Module),
        "feature_weight": Parameter(
            Role.TRAINING, Interval(Real, 0, LARGEST_WEIGHT, closed="both")
        ),
    }

    def __init__(
        self,
        *,
        feature_extractor: str | os.PathLike[str] | nn.Module,
        feature_weight: float = 1,
        **shared: Unpack[AutoencoderParameters],
    ) -> None:
        super().__init__(**shared)
        self.feature_extractor = feature_extractor
        self.feature_weight = feature_weight

    def check_sources(self) -> None:
        """Check that the feature extractor can be loaded."""
        load_feature_extractor(self.feature_extractor)

    def learning_inputs(self) -> dict[str, Any]:
        """Return parameters, with the extractor itself, which its name does not determine."""
        extractor = for_pickling(load_feature_extractor(self.feature_extractor))
        return super().learning_inputs() | {"feature_extractor": extractor}

    def make_loss(self) -> FeatureMatchingLoss:
        """Load the feature extractor and return the loss."""
        return FeatureMatchingLoss(
            load_feature_extractor(self.feature_extractor), self.feature_weight
        )

    def make_residual_loss(self) -> L2Loss:
        """Return the squared error: residuals need no features."""
        return L2Loss()

    def residual_range(self) -> tuple[float, float]:
        """Return the smallest and largest squared difference of two intensities."""
        return 0.0, 1.0

    def numpy_residual(self) -> L2Residual:
        """Return the squared error as NumPy computes it."""
        return L2Residual()

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())  # A copy: it may be the attributes themselves.
        if isinstance(self.feature_extractor, nn.Module):
            # Like the network: a pickle opens without the device that its module was on.
            state["feature_extractor"] = for_pickling(self.feature_extractor)
        return state

    def __copy__(self) -> Self:
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)  # The state is for pickles.
        return copied
