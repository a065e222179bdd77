"""Losses, each with the residual map that belongs to it."""

from sk_ssimae.losses._reconstruction import L2Loss
from sk_ssimae.losses._ssim import SSIMComponents, SSIMLoss, ssim_components, ssim_map

__all__ = ["L2Loss", "SSIMComponents", "SSIMLoss", "ssim_components", "ssim_map"]
