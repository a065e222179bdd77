"""One or several models on images whose defects are known from masks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from sk_ssimae.cli._files import check_output_file, write_json
from sk_ssimae.cli._judgement import Found, Truth, judge
from sk_ssimae.cli._model import Inspection, load_model, segment
from sk_ssimae.cli._predict import IMAGE_ERRORS
from sk_ssimae.cli._roi import Mask, RegionsOption
from sk_ssimae.cli._terminal import SOME_IMAGES_FAILED, Terminal
from sk_ssimae.cli._test_set import Dataset, load_test_set
from sk_ssimae.cli._text import count, one_line, printable
from sk_ssimae.estimators import BaseSegmenter

_TITLES = {
    "pixel_roc_auc": "pixel ROC AUC",
    "pro_auc": "PRO AUC (up to a false positive rate of 0.3)",
    "pixel_average_precision": "pixel average precision",
    "pixel_f1_max": "maximum pixel F1",
    "pixel_f1_max_threshold": "  at threshold (chosen on these images)",
    "image_roc_auc": "image ROC AUC",
    "threshold": "threshold",
    "pixel_precision": "  pixel precision",
    "pixel_recall": "  pixel recall",
    "pixel_fpr": "  pixel false positive rate",
    "defective_images_found": "  defective images found",
    "good_images_flagged": "  good images flagged",
}
_LISTS = {"missed": "Missed", "falsely_flagged": "Falsely flagged"}
_N_LISTED = 20


def evaluate(
    model: Path,
    images: Path,
    masks: Path | None,
    *,
    good: Path | None,
    compared: list[Path],
    threshold: float | None,
    json_file: Path | None,
    device: str,
    skip_bad: bool,
    roi: str | None,
    recursive: bool,
    mask_suffix: str | None,
    terminal: Terminal,
) -> int:
    """Score models on images with masks, print tables and return the exit code.

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
    compared : list of path
        Other models.
    threshold : float or None
        Level of the verdict; None for that of each model.
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
    dataset = load_test_set(
        images, masks, good, skip_bad=skip_bad, recursive=recursive, mask_suffix=mask_suffix
    )
    paths = [model, *compared]
    regions = RegionsOption(roi, dataset.data.data, mask_suffix)
    if json_file is not None:
        inputs = [*paths, *dataset.data.target.paths(), *regions.inputs()]
        check_output_file(json_file, "--json", inputs, begins=b"{")
    left_out = dataset.left_out
    for text in left_out:
        terminal.complain(text)
    segmenters = [load_model(path, device, threshold).segmenter for path in paths]
    truth, found, failed = _segment_all(
        segmenters, dataset, regions, skip_bad=skip_bad, terminal=terminal
    )
    left_out += failed
    if not truth:
        raise ValueError("IMAGES: no image is left to evaluate. Fix the errors above.")
    scores = [
        judge(truth, own, segmenter.threshold_)
        for segmenter, own in zip(segmenters, found, strict=True)
    ]
    # Print first: a full disk must not lose minutes of work.
    _show(dict(zip(_name_models(paths), scores, strict=True)), len(truth), terminal)
    if left_out:
        terminal.note(
            f"{count(len(left_out), 'file')} left out: the scores are those of the other "
            f"{count(len(truth), 'image')}."
        )
    if json_file is not None:
        others = [
            {"model": str(path), **one} for path, one in zip(compared, scores[1:], strict=True)
        ]
        about = {"model": str(model), "images": len(truth), "left_out": left_out}
        write_json(json_file, {**scores[0], **about, "compared": others})
    return SOME_IMAGES_FAILED if left_out else 0


def _segment_all(
    segmenters: Sequence[BaseSegmenter],
    dataset: Dataset,
    regions: RegionsOption,
    *,
    skip_bad: bool,
    terminal: Terminal,
) -> tuple[list[Truth], list[list[Found]], list[str]]:
    """Return masks, results of each model and, for each image that failed, the error."""
    truth: list[Truth] = []
    found: list[list[Found]] = [[] for _ in segmenters]
    failed = []
    data = dataset.data
    with terminal.progress() as progress:
        for index, image in enumerate(progress.track(data.data, description="Images")):
            try:
                mask = data.target[index]
                inside = regions.mask(image)
                results = [_find(segmenter, image, mask, inside) for segmenter in segmenters]
            # One that fails for any of the models is left out for all.
            except IMAGE_ERRORS as error:
                if not skip_bad:
                    raise
                failed.append(one_line(error))
                terminal.complain(error)
            else:
                if inside is not None:
                    mask = mask & inside  # A defect outside does not count.
                truth.append(Truth(image, dataset.kinds[index], mask, inside))
                for own, result in zip(found, results, strict=True):
                    own.append(result)
    return truth, found, failed


def _find(segmenter: BaseSegmenter, image: Path, mask: Any, inside: Mask | None) -> Found:
    inspection = segment(segmenter, image, inside)
    _check_size(mask, inspection, image)
    return Found(inspection.residual_map, inspection.mask, inspection.score)


def _check_size(mask: Any, found: Inspection, image: Path) -> None:
    if mask.shape != found.mask.shape:
        raise ValueError(
            f"MASKS: the mask of {str(image)!r} must have the image's height and width, "
            f"{found.mask.shape}, got {mask.shape} instead."
        )


def _name_models(paths: Sequence[Path]) -> list[str]:
    """Name models by their stems, or by their paths and numbers where those are equal."""
    stems = [path.stem for path in paths]
    if len({*stems}) == len(stems):
        return stems
    return [f"{number}: {path}" for number, path in enumerate(paths, start=1)]


def _show(scores: Mapping[str, dict[str, Any]], n_images: int, terminal: Terminal) -> None:
    """Print the scores of all models side by side, then the images that each judged wrongly."""
    terminal.show(_table("score", _TITLES, scores, title=count(n_images, "image")))
    first = next(iter(scores.values()))
    if first["kinds"]:
        of_kinds = {
            name: {
                f"{kind} {score}": value
                for kind, results in one["kinds"].items()
                for score, value in results.items()
            }
            for name, one in scores.items()
        }
        titles = {}
        for kind in first["kinds"]:
            titles[f"{kind} defective_images_found"] = f"{printable(kind)}: images found"
            titles[f"{kind} pixel_recall"] = "  pixel recall"
        terminal.show(_table("kind of defect", titles, of_kinds))
    for name, one in scores.items():
        for key, title in _LISTS.items():
            _list_files(title if len(scores) == 1 else f"{title} by {name}", one[key], terminal)


def _table(
    heading: str,
    titles: Mapping[str, str],
    scores: Mapping[str, dict[str, Any]],
    title: str | None = None,
) -> Table:
    table = Table(heading, title=title, title_justify="left")
    for name in scores:
        column = "value" if len(scores) == 1 else printable(name)
        table.add_column(column, justify="right", overflow="fold")
    for key, text in titles.items():
        if any(key in one for one in scores.values()):
            table.add_row(text, *(_cell(one.get(key)) for one in scores.values()))
    return table


def _cell(value: Any) -> str:
    match value:
        case None:
            return "-"
        case [int(part), int(whole)]:
            return f"{part} of {whole}"
        case _:
            return f"{value:.4f}"


def _list_files(title: str, files: Sequence[str], terminal: Terminal) -> None:
    if not files:
        return
    terminal.say(f"{title}:")
    for file in files[:_N_LISTED]:
        terminal.say(f"  {file}")
    if len(files) > _N_LISTED:
        terminal.say(f"  and {len(files) - _N_LISTED} more; --json lists all.")
