"""Cross-validation that trains on good images only, and thresholds from good images."""

from sk_ssimae.model_selection._extremes import extreme_value_threshold
from sk_ssimae.model_selection._split import DefectFreeKFold
from sk_ssimae.model_selection._threshold import image_fpr_threshold, pixel_fpr_threshold

__all__ = [
    "DefectFreeKFold",
    "extreme_value_threshold",
    "image_fpr_threshold",
    "pixel_fpr_threshold",
]
