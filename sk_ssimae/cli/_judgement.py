"""Scores of a model on images whose defects are known from masks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_ssimae.metrics import (
    image_roc_auc_score,
    pixel_average_precision_score,
    pixel_f1_max_score,
    pixel_roc_auc_score,
    pro_auc_score,
)


class Found(NamedTuple):
    """Results of a model for an image that scores depend on."""

    residual_map: NDArray[np.float32]
    mask: NDArray[np.bool_]
    score: float


class Truth(NamedTuple):
    """Image file, its kind of defect, empty if unknown, its mask and its inspected pixels.

    The mask marks no pixel that is not inspected; None inspects all.
    """

    path: Path
    kind: str
    mask: NDArray[np.bool_]
    inside: NDArray[np.bool_] | None = None


class _Counts(NamedTuple):
    """Numbers of pixels, by truth and by the model's mask."""

    true_positive: int
    false_positive: int
    defective: int
    good: int


def judge(truth: Sequence[Truth], found: Sequence[Found], threshold: float) -> dict[str, Any]:
    """Score the results of a model.

    Parameters
    ----------
    truth : sequence of Truth
        Images and masks, at least one with a defect.
    found : sequence of Found
        Results for each.
    threshold : float
        The model's threshold.

    Returns
    -------
    dict
        For JSON: scores by name; under ``kinds`` the results for each kind of defect; under
        ``missed`` and ``falsely_flagged`` the files of defective images without a mark and of good
        images with one.
    """
    masks, maps = [one.mask for one in truth], [one.residual_map for one in found]
    insides = [one.inside for one in truth if one.inside is not None]
    roi = insides or None  # Of all images or of none.
    best = pixel_f1_max_score(masks, maps, roi=roi)
    counts = _count(truth, found)
    n_marked = counts.true_positive + counts.false_positive
    scores: dict[str, Any] = {
        "pixel_roc_auc": pixel_roc_auc_score(masks, maps, roi=roi),
        "pro_auc": pro_auc_score(masks, maps, roi=roi),
        "pixel_average_precision": pixel_average_precision_score(masks, maps, roi=roi),
        "pixel_f1_max": best.f1,
        "pixel_f1_max_threshold": best.threshold,
        "image_roc_auc": None,
        "threshold": threshold,
        # Precision is undefined if no pixel is marked.
        "pixel_precision": counts.true_positive / n_marked if n_marked else None,
        "pixel_recall": counts.true_positive / counts.defective,
        "pixel_fpr": counts.false_positive / counts.good,
    }
    defective = np.array([mask.any() for mask in masks])
    flagged = np.array([one.mask.any() for one in found])
    scores["defective_images_found"] = _tally(flagged[defective])
    if not defective.all():
        scores["image_roc_auc"] = image_roc_auc_score(
            defective.astype(int), [one.score for one in found]
        )
        scores["good_images_flagged"] = _tally(flagged[~defective])
    scores["kinds"] = _by_kind(truth, found)
    files = [str(one.path) for one in truth]
    scores["missed"] = [files[i] for i in np.flatnonzero(defective & ~flagged)]
    scores["falsely_flagged"] = [files[i] for i in np.flatnonzero(~defective & flagged)]
    return scores


def _by_kind(truth: Sequence[Truth], found: Sequence[Found]) -> dict[str, dict[str, Any]]:
    """Return the results for each kind of defect; none if no image is in a subfolder."""
    results = {}
    for kind in sorted({one.kind for one in truth if one.kind}):
        own = [
            (one, result)
            for one, result in zip(truth, found, strict=True)
            if one.kind == kind and one.mask.any()
        ]
        if own:  # A mask may mark nothing.
            counts = _count(*zip(*own, strict=True))
            results[kind] = {
                "defective_images_found": _tally([result.mask.any() for _, result in own]),
                "pixel_recall": counts.true_positive / counts.defective,
            }
    return results


def _tally(flags: Any) -> list[int]:
    return [int(np.count_nonzero(flags)), len(flags)]


def _count(truth: Sequence[Truth], found: Sequence[Found]) -> _Counts:
    per_image = [
        (
            np.count_nonzero(result.mask & one.mask),
            np.count_nonzero(result.mask & ~one.mask),
            np.count_nonzero(one.mask),
            np.count_nonzero(~one.mask if one.inside is None else one.inside & ~one.mask),
        )
        for one, result in zip(truth, found, strict=True)
    ]
    return _Counts(*(sum(column) for column in zip(*per_image, strict=True)))
