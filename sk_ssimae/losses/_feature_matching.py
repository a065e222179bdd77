"""Squared error of pixels and of features computed by a frozen network."""

import copy
from typing import Any, Self

import torch
from torch import Tensor, nn

from sk_ssimae._formulas._squared_error import squared_error
from sk_ssimae._validation import check_number
from sk_ssimae.losses._reconstruction import L2Loss

# A larger weight overflows the loss in float32.
LARGEST_WEIGHT = 1e12


class FeatureMatchingLoss(L2Loss):
    """Squared error of pixels and features, L2(x, x̂) + λ ‖F(x) - F(x̂)‖² (equation 3).

    Both terms are summed over the pixels or features of each image and averaged over the batch. The
    residual is that of :class:`L2Loss`. It does not need the extractor, so copies and pickles leave
    the extractor out.

    Parameters
    ----------
    feature_extractor : Module
        The network F, from patches (N, C, P, P) to features of any shape (N, ...). The loss keeps a
        frozen copy in evaluation mode.
    feature_weight : float, default=1
        Weight λ of the feature term, from 0 to 1e12.

    Raises
    ------
    TypeError
        If `feature_extractor` is not a module.
    ValueError
        If `feature_weight` is out of range, or, when called, if the extractor does not accept the
        patches.

    References
    ----------
    Bergmann et al., arXiv:1807.02011, equation 3.

    Examples
    --------
    >>> import torch
    >>> from sk_ssimae.losses import FeatureMatchingLoss
    >>> loss = FeatureMatchingLoss(torch.nn.AvgPool2d(2), feature_weight=10)
    >>> float(loss(torch.zeros(2, 1, 4, 4), torch.full((2, 1, 4, 4), 0.5)))  # 16/4 + 10 * 4/4
    14.0
    """

    feature_extractor: nn.Module | None

    def __init__(self, feature_extractor: nn.Module, feature_weight: float = 1) -> None:
        super().__init__()
        check_number(feature_weight, "feature_weight", 0, LARGEST_WEIGHT)
        if not isinstance(feature_extractor, nn.Module):
            raise TypeError(
                f"feature_extractor must be a torch module, got {feature_extractor!r} instead. "
                "sk_ssimae.modules.load_feature_extractor loads one by name."
            )
        self.feature_extractor = copy.deepcopy(feature_extractor).requires_grad_(False).eval()
        self.feature_weight = feature_weight

    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of two batches (N, C, P, P), a non-negative scalar."""
        if self.feature_extractor is None:
            raise RuntimeError(
                "A copy of the loss has no feature_extractor: it computes residuals only."
            )
        with torch.no_grad():
            expected = _extract(self.feature_extractor, target)
        features = self.feature_extractor(reconstruction.clone())
        errors = squared_error(features, expected)
        feature_error = errors.reshape(len(target), -1).sum(dim=1).mean()
        pixel_error: Tensor = super().forward(reconstruction, target)
        loss: Tensor = pixel_error + self.feature_weight * feature_error
        return loss

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the loss, and keep the extractor in evaluation mode."""
        super().train(mode)
        if self.feature_extractor is not None:
            self.feature_extractor.eval()
        return self

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call]
        state["_modules"] = {**self._modules, "feature_extractor": None}
        return state


def _extract(feature_extractor: nn.Module, patches: Tensor) -> Tensor:
    """Extract features, or explain why the extractor does not fit the patches."""
    try:
        # A clone, because the first layer may work in place.
        features = feature_extractor(patches.clone())
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError, IndexError) as error:
        raise ValueError(
            f"feature_extractor does not accept patches of shape {tuple(patches.shape)}: {error}"
        ) from error
    if not isinstance(features, Tensor) or features.shape[:1] != patches.shape[:1]:
        raise ValueError(
            f"feature_extractor must return a tensor (N, ...) for N={len(patches)} patches, got "
            f"{getattr(features, 'shape', type(features).__name__)} instead."
        )
    return features
