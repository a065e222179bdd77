"""Scores of a segmenter on a data set, for figures 6 and 7 and table 2."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from _data import Dataset
from numpy.typing import NDArray

from sk_ssimae import SSIMAutoencoderSegmenter, paper_protocol
from sk_ssimae.estimators import BaseAutoencoderSegmenter, BaseSegmenter, Role
from sk_ssimae.metrics import (
    pixel_roc_auc_score,
    pixel_roc_curve,
    pro_auc_score,
    region_overlap_quantiles,
)
from sk_ssimae.metrics._regions import region_overlaps

# The paper's residual maps, and the default ones; both have the stride of the segmenter.
PUBLISHED_MAPS: dict[str, Any] = {
    name: value
    for name, value in paper_protocol("nanotwice").items()
    if name in BaseAutoencoderSegmenter.parameter_names(Role.INFERENCE) and name != "stride"
}
BY_DEFAULT = SSIMAutoencoderSegmenter().get_params()
MAPS = {"published": PUBLISHED_MAPS, "default": {name: BY_DEFAULT[name] for name in PUBLISHED_MAPS}}
RATES = np.linspace(0, 0.3, 61)
QUANTILES = (0.25, 0.5, 0.75)
PUBLISHED_RATE, PUBLISHED_OVERLAP = 0.05, 0.91
SHARE = f"share of regions above {PUBLISHED_OVERLAP:.0%} at {PUBLISHED_RATE:.0%} FPR"


def score(
    segmenter: BaseSegmenter, dataset: Dataset, training_seconds: float | None = None
) -> dict[str, Any]:
    """Score both kinds of residual maps of the defective images.

    Of the parameters of maps, those count that the segmenter has. Without `training_seconds`, they
    are those of the epochs of a network.
    """
    scores = {}
    known = segmenter.get_params()
    for name, params in MAPS.items():
        segmenter.set_params(**{key: value for key, value in params.items() if key in known})
        residual_maps = segmenter.decision_function(dataset.defective)
        scores[name] = score_maps(dataset.masks, residual_maps)
    if training_seconds is None:
        training_seconds = float(sum(segmenter.history_[:, "dur"]))
    return {"scores": scores, "training_seconds": training_seconds}


def score_maps(masks: Sequence, residual_maps: Sequence) -> dict[str, Any]:
    """Compute areas, the ROC curve, and the overlap of regions at false positive rates."""
    fpr, tpr, _ = pixel_roc_curve(masks, residual_maps, area_tolerance=1e-4)
    at_rate = overlaps_at_published_rate(masks, residual_maps)
    return {
        "pixel_roc_auc": pixel_roc_auc_score(masks, residual_maps),
        "pro_auc": pro_auc_score(masks, residual_maps),
        "fpr": fpr.tolist(),
        "tpr": tpr.tolist(),
        "overlaps": region_overlap_quantiles(
            masks, residual_maps, RATES, quantiles=QUANTILES
        ).tolist(),
        "share_above": share_above(at_rate),
        "minimal_overlap": float(at_rate.min()),
    }


def share_above(overlaps: NDArray[np.float64]) -> float:
    """Return the share of overlaps above the paper's."""
    return float((overlaps > PUBLISHED_OVERLAP).mean())


def overlaps_at_published_rate(masks: Sequence, residual_maps: Sequence) -> NDArray[np.float64]:
    """Compute the overlap of each region at the paper's false positive rate."""
    return region_overlaps(masks, residual_maps, np.array(PUBLISHED_RATE))
