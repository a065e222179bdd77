"""Cross-validation that trains on good images only, and thresholds from good images."""

from sk_ssimae.model_selection._split import DefectFreeKFold
from sk_ssimae.model_selection._threshold import image_fpr_threshold, pixel_fpr_threshold

__all__ = ["DefectFreeKFold", "image_fpr_threshold", "pixel_fpr_threshold"]
