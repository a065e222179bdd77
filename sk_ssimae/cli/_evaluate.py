"""Scores of a model on images whose defects are known from masks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

from sk_ssimae.cli._files import check_output_file, write_json
from sk_ssimae.cli._model import Inspection, load_model, segment
from sk_ssimae.cli._predict import IMAGE_ERRORS
from sk_ssimae.cli._roi import RegionsOption
from sk_ssimae.cli._terminal import SOME_IMAGES_FAILED, Terminal
from sk_ssimae.cli._test_set import load_test_set
from sk_ssimae.cli._text import count, one_line
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
    masks: Path | None,
    *,
    good: Path | None,
    json_file: Path | None,
    device: str,
    skip_bad: bool,
    roi: str | None,
    recursive: bool,
    mask_suffix: str | None,
    terminal: Terminal,
) -> int:
    """Score a model on images with masks, print a table and return the exit code.

    Parameters
    ----------
    model : path
        Model file written by `fit`.
    images : path
        Folder of images, or of a category of MVTec AD.
    masks : path or None
        Folder of their masks, paired by file name; None if they lie with the images.
    good : path or None
        Folder of good images that were not used in training.
    json_file : path or None
        File to write the scores to.
    device : str
        Device to compute on.
    skip_bad : bool
        Leave out an image that fails or has no mask, instead of stopping.
    roi : str or None
        Region of interest: a mask image, a folder of masks or a rectangle; None for all pixels.
    recursive : bool
        Include images in subfolders.
    mask_suffix : str or None
        Ending of the names of masks, if it is not a usual one.
    terminal : Terminal
        Output of the command.
    """
    data, left_out = load_test_set(
        images, masks, good, skip_bad=skip_bad, recursive=recursive, mask_suffix=mask_suffix
    )
    regions = RegionsOption(roi, data.data, mask_suffix)
    if json_file is not None:
        inputs = [model, *data.target.paths(), *regions.inputs()]
        check_output_file(json_file, "--json", inputs, begins=b"{")
    for text in left_out:
        terminal.complain(text)
    segmenter = load_model(model, device).segmenter
    truth, found, insides, failed = _segment_all(
        segmenter, data, regions, skip_bad=skip_bad, terminal=terminal
    )
    left_out += failed
    if not truth:
        raise ValueError("IMAGES: no image is left to evaluate. Fix the errors above.")
    scores = _score(segmenter, truth, found, insides) | {"images": len(truth), "left_out": left_out}
    # Print first: a full disk must not lose minutes of work.
    terminal.show(_table(scores, len(truth)))
    if left_out:
        terminal.note(
            f"{count(len(left_out), 'file')} left out: the scores are those of the other "
            f"{count(len(truth), 'image')}."
        )
    if json_file is not None:
        write_json(json_file, scores)
    return SOME_IMAGES_FAILED if left_out else 0


def _segment_all(
    segmenter: BaseSegmenter,
    data: Any,
    regions: RegionsOption,
    *,
    skip_bad: bool,
    terminal: Terminal,
) -> tuple[list[Any], list[Inspection], list[Any], list[str]]:
    """Return masks, results, inspected pixels and, for each image that failed, the error."""
    truth: list[Any] = []
    found: list[Inspection] = []
    insides: list[Any] = []
    failed: list[str] = []
    with terminal.progress() as progress:
        for index, image in enumerate(progress.track(data.data, description="Images")):
            try:
                mask = data.target[index]
                inside = regions.mask(image)
                inspection = segment(segmenter, image, inside)
                _check_size(mask, inspection, image)
            except IMAGE_ERRORS as error:
                if not skip_bad:
                    raise
                failed.append(one_line(error))
                terminal.complain(error)
            else:
                if inside is not None:
                    insides.append(inside)
                    mask = mask & inside  # A defect outside does not count.
                truth.append(mask)
                found.append(inspection)
    return truth, found, insides, failed


def _check_size(mask: Any, found: Inspection, image: Path) -> None:
    if mask.shape != found.mask.shape:
        raise ValueError(
            f"MASKS: the mask of {str(image)!r} must have the image's height and width, "
            f"{found.mask.shape}, got {mask.shape} instead."
        )


def _score(
    segmenter: BaseSegmenter,
    truth: Sequence[Any],
    found: Sequence[Inspection],
    insides: Sequence[Any],
) -> dict[str, Any]:
    maps = [one.residual_map for one in found]
    roi = insides or None
    best = pixel_f1_max_score(truth, maps, roi=roi)
    n_inspected = sum(map(np.count_nonzero, insides)) if insides else sum(m.size for m in maps)
    counts = _count(truth, found, n_inspected)
    n_marked = counts.true_positive + counts.false_positive
    scores: dict[str, Any] = {
        "pixel_roc_auc": pixel_roc_auc_score(truth, maps, roi=roi),
        "pro_auc": pro_auc_score(truth, maps, roi=roi),
        "pixel_average_precision": pixel_average_precision_score(truth, maps, roi=roi),
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


def _count(truth: Sequence[Any], found: Sequence[Inspection], n_inspected: int) -> _Counts:
    per_image = [
        (
            np.count_nonzero(one.mask & mask),
            np.count_nonzero(one.mask & ~mask),
            np.count_nonzero(mask),
        )
        for mask, one in zip(truth, found, strict=True)
    ]
    counts = [sum(column) for column in zip(*per_image, strict=True)]
    return _Counts(*counts, good=n_inspected - counts[-1])


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
