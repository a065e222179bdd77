"""The segmenters."""

from sk_ssimae.estimators._base import BaseSegmenter, Calibration
from sk_ssimae.estimators._l2 import L2AutoencoderSegmenter
from sk_ssimae.estimators._protocol import paper_protocol
from sk_ssimae.estimators._ssim import SSIMAutoencoderSegmenter

__all__ = [
    "BaseSegmenter",
    "Calibration",
    "L2AutoencoderSegmenter",
    "SSIMAutoencoderSegmenter",
    "paper_protocol",
]
