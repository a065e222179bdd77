"""Scores of a model on images whose defects are known from masks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

from sk_ssimae.cli._files import check_output_file, write_json
from sk_ssimae.cli._model import Inspection, load_model, segment
from sk_ssimae.cli._terminal import Terminal
from sk_ssimae.cli._text import count
from sk_ssimae.datasets._folders import as_bunch
from sk_ssimae.datasets._listing import list_images, pair
from sk_ssimae.estimators import BaseSegmenter
from sk_ssimae.metrics import (
    image_roc_auc_score,
    pixel_average_precision_score,
    pixel_f1_max_score,
    pixel_roc_auc_score,
    pro_auc_score,
)

_TITLES = {
    "pixel_roc_auc": "pixel ROC AUC",
    "pro_auc": "PRO AUC (up to a false positive rate of 0.3)",
    "pixel_average_precision": "pixel average precision",
    "pixel_f1_max": "maximum pixel F1",
    "pixel_f1_max_threshold": "  at threshold (chosen on these images)",
    "image_roc_auc": "image ROC AUC",
    "threshold": "threshold of the model",
    "pixel_precision": "  pixel precision",
    "pixel_recall": "  pixel recall",
    "pixel_fpr": "  pixel false positive rate",
    "defective_images_found": "  defective images found",
    "good_images_flagged": "  good images flagged",
}


class _Counts(NamedTuple):
    """Numbers of pixels, by truth and by the model's mask."""

    true_positive: int
    false_positive: int
    defective: int
    good: int


def evaluate(
    model: Path,
    images: Path,
    masks: Path,
    *,
    good: Path | None,
    json_file: Path | None,
    device: str,
    terminal: Terminal,
) -> None:
    """Score a model on images with masks, and print a table.

    Parameters
    ----------
    model : path
        Model file written by `fit`.
    images, masks : path
        Folders of images and their masks, paired by file name.
    good : path or None
        Folder of good images that were not used in training.
    json_file : path or None
        File to write the scores to.
    device : str
        Device to compute on.
    terminal : Terminal
        Output of the command.
    """
    image_files = list_images(images, "IMAGES")
    mask_files = pair(image_files, list_images(masks, "MASKS"))
    good_files = [] if good is None else list_images(good, "--good")
    if json_file is not None:
        inputs = [model, *image_files, *mask_files, *good_files]
        check_output_file(json_file, "--json", inputs, begins=b"{")
    data = as_bunch(good_files, image_files, mask_files)
    segmenter = load_model(model, device).segmenter
    truth, found = [], []
    with terminal.progress() as progress:
        for index, image in enumerate(progress.track(data.data, description="Images")):
            mask = data.target[index]
            found.append(segment(segmenter, image))
            _check_size(mask, found[-1], image)
            truth.append(mask)
    scores = _score(segmenter, truth, found)
    # Print first: a full disk must not lose minutes of work.
    terminal.show(_table(scores, len(truth)))
    if json_file is not None:
        write_json(json_file, scores)


def _check_size(mask: Any, found: Inspection, image: Path) -> None:
    if mask.shape != found.mask.shape:
        raise ValueError(
            f"MASKS: the mask of {str(image)!r} must have the image's height and width, "
            f"{found.mask.shape}, got {mask.shape} instead."
        )


def _score(
    segmenter: BaseSegmenter, truth: Sequence[Any], found: Sequence[Inspection]
) -> dict[str, Any]:
    maps = [one.residual_map for one in found]
    best = pixel_f1_max_score(truth, maps)
    counts = _count(truth, found)
    n_marked = counts.true_positive + counts.false_positive
    scores: dict[str, Any] = {
        "pixel_roc_auc": pixel_roc_auc_score(truth, maps),
        "pro_auc": pro_auc_score(truth, maps),
        "pixel_average_precision": pixel_average_precision_score(truth, maps),
        "pixel_f1_max": best.f1,
        "pixel_f1_max_threshold": best.threshold,
        "image_roc_auc": None,
        "threshold": segmenter.threshold_,
        # Precision is undefined if no pixel is marked.
        "pixel_precision": counts.true_positive / n_marked if n_marked else None,
        "pixel_recall": counts.true_positive / counts.defective,
        "pixel_fpr": counts.false_positive / counts.good,
    }
    defective = np.array([mask.any() for mask in truth])
    flagged = np.array([one.defective for one in found])
    scores["defective_images_found"] = [int(flagged[defective].sum()), int(defective.sum())]
    if not defective.all():
        scores["image_roc_auc"] = image_roc_auc_score(
            defective.astype(int), [one.score for one in found]
        )
        scores["good_images_flagged"] = [int(flagged[~defective].sum()), int((~defective).sum())]
    return scores


def _count(truth: Sequence[Any], found: Sequence[Inspection]) -> _Counts:
    per_image = [
        (
            np.count_nonzero(one.mask & mask),
            np.count_nonzero(one.mask & ~mask),
            np.count_nonzero(mask),
            np.count_nonzero(~mask),
        )
        for mask, one in zip(truth, found, strict=True)
    ]
    return _Counts(*(sum(column) for column in zip(*per_image, strict=True)))


def _table(scores: dict[str, Any], n_images: int) -> Table:
    table = Table("score", title=count(n_images, "image"), title_justify="left")
    table.add_column("value", justify="right")
    for name, title in _TITLES.items():
        match scores.get(name):
            case None:
                if name in scores:
                    table.add_row(title, "-")
            case [int(part), int(whole)]:
                table.add_row(title, f"{part} of {whole}")
            case value:
                table.add_row(title, f"{value:.4f}")
    return table
