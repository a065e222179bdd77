"""Scores of residual maps against masks, and scorers for model selection, without torch."""

from sk_ssimae.metrics._precision_recall import (
    PixelF1Max,
    pixel_average_precision_score,
    pixel_f1_max_score,
)
from sk_ssimae.metrics._regions import (
    per_region_overlap_curve,
    pro_auc_score,
    region_overlap_quantiles,
)
from sk_ssimae.metrics._roc import image_roc_auc_score, pixel_roc_auc_score, pixel_roc_curve
from sk_ssimae.metrics._scorers import (
    SegmentationScorer,
    image_roc_auc_scorer,
    pixel_average_precision_scorer,
    pixel_f1_max_scorer,
    pixel_roc_auc_scorer,
    pro_auc_scorer,
)

__all__ = [
    "pixel_roc_auc_score",
    "pixel_roc_curve",
    "pixel_average_precision_score",
    "pixel_f1_max_score",
    "PixelF1Max",
    "image_roc_auc_score",
    "per_region_overlap_curve",
    "pro_auc_score",
    "region_overlap_quantiles",
    "SegmentationScorer",
    "pixel_roc_auc_scorer",
    "pixel_average_precision_scorer",
    "pixel_f1_max_scorer",
    "pro_auc_scorer",
    "image_roc_auc_scorer",
]
