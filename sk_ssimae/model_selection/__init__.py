"""Thresholds from good images (the user guide's "decision" rules)."""

from sk_ssimae.model_selection._threshold import image_fpr_threshold, pixel_fpr_threshold

__all__ = ["image_fpr_threshold", "pixel_fpr_threshold"]
