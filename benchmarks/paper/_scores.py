"""Scores of a data set under a segmenter: all that figures 6 and 7 and table 2 need."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from _data import Dataset

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae.estimators import BaseSegmenter
from sk_ssimae.metrics import (
    pixel_roc_auc_score,
    pixel_roc_curve,
    pro_auc_score,
    region_overlap_quantiles,
)

# The publication's residual maps, and those that segmenters give by default.
PUBLISHED_MAPS: dict[str, Any] = {"taper": 0, "smoothing": 0}
BY_DEFAULT = SSIMAutoencoderSegmenter().get_params()
MAPS = {"published": PUBLISHED_MAPS, "default": {name: BY_DEFAULT[name] for name in PUBLISHED_MAPS}}
RATES = np.linspace(0, 0.3, 61)
QUANTILES = (0.25, 0.5, 0.75)
PUBLISHED_RATE, PUBLISHED_OVERLAP = 0.05, 0.91


def score(segmenter: BaseSegmenter, dataset: Dataset) -> dict[str, Any]:
    """Score the defective images by both kinds of residual maps."""
    scores = {}
    for name, params in MAPS.items():
        residual_maps = segmenter.set_params(**params).decision_function(dataset.defective)
        scores[name] = score_maps(dataset.masks, residual_maps)
    seconds = float(sum(segmenter.history_[:, "dur"]))
    return {"scores": scores, "training_seconds": seconds}


def score_maps(masks: Sequence, residual_maps: Sequence) -> dict[str, Any]:
    """Compute areas, the ROC curve, and the overlap of regions at false positive rates."""
    fpr, tpr, _ = pixel_roc_curve(masks, residual_maps, area_tolerance=1e-4)
    # The share of regions above an overlap is where its quantile function passes it.
    shares = np.linspace(0, 1, 1001)
    at_rate = region_overlap_quantiles(masks, residual_maps, PUBLISHED_RATE, quantiles=shares)
    return {
        "pixel_roc_auc": pixel_roc_auc_score(masks, residual_maps),
        "pro_auc": pro_auc_score(masks, residual_maps),
        "fpr": fpr.tolist(),
        "tpr": tpr.tolist(),
        "overlaps": region_overlap_quantiles(
            masks, residual_maps, RATES, quantiles=QUANTILES
        ).tolist(),
        "share_above": float((at_rate > PUBLISHED_OVERLAP).mean()),
        "minimal_overlap": float(at_rate[0]),
    }
