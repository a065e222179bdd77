"""The segmenters."""

from sk_ssimae.estimators._base import BaseSegmenter, Calibration
from sk_ssimae.estimators._blocks import SegmentedBlock
from sk_ssimae.estimators._feature_matching import FeatureMatchingAutoencoderSegmenter
from sk_ssimae.estimators._l2 import L2AutoencoderSegmenter
from sk_ssimae.estimators._protocol import paper_protocol
from sk_ssimae.estimators._ssim import SSIMAutoencoderSegmenter
from sk_ssimae.estimators._variational import VariationalAutoencoderSegmenter

__all__ = [
    "SSIMAutoencoderSegmenter",
    "L2AutoencoderSegmenter",
    "VariationalAutoencoderSegmenter",
    "FeatureMatchingAutoencoderSegmenter",
    "paper_protocol",
    "BaseSegmenter",
    "Calibration",
    "SegmentedBlock",
]
