"""Losses, each with its residual map."""

from sk_ssimae.losses._adversarial import gradient_penalty
from sk_ssimae.losses._feature_matching import FeatureMatchingLoss
from sk_ssimae.losses._multi_scale import MultiScaleSSIMLoss
from sk_ssimae.losses._reconstruction import L1Loss, L2Loss
from sk_ssimae.losses._ssim import SSIMComponents, SSIMLoss, ssim_components, ssim_map
from sk_ssimae.losses._variational import EvidenceLowerBound, kl_divergence
from sk_ssimae.losses._variational_l1 import VariationalL1Loss

__all__ = [
    "ssim_map",
    "ssim_components",
    "SSIMComponents",
    "SSIMLoss",
    "MultiScaleSSIMLoss",
    "L2Loss",
    "L1Loss",
    "EvidenceLowerBound",
    "kl_divergence",
    "VariationalL1Loss",
    "gradient_penalty",
    "FeatureMatchingLoss",
]
