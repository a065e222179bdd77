"""Scores of residual maps against masks; needs no torch."""

from sk_ssimae.metrics._roc import pixel_roc_auc_score

__all__ = ["pixel_roc_auc_score"]
