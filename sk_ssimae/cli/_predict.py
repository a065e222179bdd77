"""Masks, regions, 16-bit residual maps and scores of many images, completed one by one."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import sk_ssimae
from sk_ssimae._atomic import resolve
from sk_ssimae._lock import lock_folder
from sk_ssimae.cli._files import collect_images, folders_of, identity, name_images
from sk_ssimae.cli._ledger import Ledger
from sk_ssimae.cli._model import (
    Inspection,
    load_model,
    naming_too_large_images,
    promise,
    segment,
)
from sk_ssimae.cli._overlay import draw_overlay, encode_mask
from sk_ssimae.cli._regions import describe_regions
from sk_ssimae.cli._roi import RegionsOption
from sk_ssimae.cli._rows import ImageState, Row
from sk_ssimae.cli._scale import ResidualScale
from sk_ssimae.cli._terminal import SOME_IMAGES_FAILED, Terminal
from sk_ssimae.cli._text import count, one_line
from sk_ssimae.estimators import BaseSegmenter
from sk_ssimae.persistence._segmenter import Loaded

# Raised for an image that cannot be processed.
IMAGE_ERRORS = (OSError, TypeError, ValueError)
_N_NAMED = 5


def predict(
    model: Path,
    sources: list[Path],
    out: Path,
    *,
    threshold: float | None,
    overlays: bool,
    device: str,
    skip_bad: bool,
    overwrite: bool,
    roi: str | None,
    recursive: bool,
    mask_suffix: str | None,
    terminal: Terminal,
) -> int:
    """Segment images, write the results and return the exit code.

    Parameters
    ----------
    model : path
        Model file written by `fit`.
    sources : list of path
        Images and folders of images.
    out : path
        Output folder. Images with complete outputs are not computed again.
    threshold : float or None
        Level of the verdict; None for that of the model.
    overlays : bool
        Also write pictures of the images with their regions outlined.
    device : str
        Device to compute on.
    skip_bad : bool
        Record an image that fails and continue, instead of stopping.
    overwrite : bool
        Delete the outputs of earlier runs and start again.
    roi : str or None
        Region of interest: a mask image, a folder of masks or a rectangle; None for all pixels.
    recursive : bool
        Include images in subfolders.
    mask_suffix : str or None
        Ending of the names of masks between the images, which are left out.
    terminal : Terminal
        Output of the command.
    """
    images = collect_images(sources, recursive=recursive, mask_suffix=mask_suffix)
    check_sources(folders_of(images), out)
    regions = RegionsOption(roi, images, mask_suffix)
    loaded = load_model(model, device, threshold)
    scale = ResidualScale.of(loaded.segmenter)
    run = describe_run(model, loaded, scale, regions)
    with lock_folder(out):
        ledger = Ledger(out, run, overlays=overlays, overwrite=overwrite)
        try:
            code = _predict_all(
                loaded.segmenter,
                images,
                regions,
                ledger,
                scale,
                overlays=overlays,
                skip_bad=skip_bad,
                terminal=terminal,
            )
        finally:  # Also of the images that are complete if the run ends early.
            merge_regions(ledger, terminal)
        return code


def check_sources(folders: Iterable[Path], out: Path) -> None:
    """Refuse folders of images that the run would add images to."""
    for folder in folders:
        if resolve(folder) == resolve(out):
            raise ValueError(
                f"--out must be another folder than that of the images, got {str(out)!r} instead: "
                "--recursive would read its masks and residual maps as images."
            )


def merge_regions(ledger: Ledger, terminal: Terminal) -> None:
    """Write the regions of all complete images, and say which are missing."""
    missing = ledger.merge_regions()
    if missing:
        terminal.note(
            f"regions.csv and coco.json lack {count(len(missing), 'image')} of earlier runs, whose "
            "files in the folder regions are missing or were changed: "
            f"{', '.join(missing[:_N_NAMED])}{', ...' if len(missing) > _N_NAMED else ''}. Delete "
            "those that are left and run predict with these images again."
        )


def _predict_all(
    segmenter: BaseSegmenter,
    images: list[Path],
    regions: RegionsOption,
    ledger: Ledger,
    scale: ResidualScale,
    *,
    overlays: bool,
    skip_bad: bool,
    terminal: Terminal,
) -> int:
    names = name_images(images, ledger.names)
    rows = [row for image in images if (row := ledger.complete(image))]
    done = {row.file for row in rows}
    todo = [image for image in images if identity(image) not in done]
    ledger.begin({identity(image): names[identity(image)] for image in todo})
    try:
        with terminal.progress() as progress:
            task = progress.add_task("Images", total=len(images), completed=len(rows))
            for image in todo:
                row = _predict_one(
                    segmenter,
                    image,
                    regions,
                    names,
                    ledger,
                    scale,
                    overlays=overlays,
                    skip_bad=skip_bad,
                )
                if row.error:
                    terminal.complain(row.error)
                rows.append(row)
                progress.advance(task)
    except KeyboardInterrupt:
        complete = sum(not row.error for row in rows)
        terminal.note(
            f"{complete} of {count(len(images), 'image')} complete. Run the same command again to "
            "resume."
        )
        raise
    _summarize(rows, len(done), ledger.folder, terminal)
    return SOME_IMAGES_FAILED if any(row.error for row in rows) else 0


def describe_run(
    model: Path, loaded: Loaded, scale: ResidualScale, regions: RegionsOption
) -> dict[str, Any]:
    """Describe everything that outputs depend on, for `Ledger`."""
    return {
        "model": str(model),
        "sha256": loaded.sha256,
        "segmenter": type(loaded.segmenter).__name__,
        "threshold": loaded.segmenter.threshold_,
        "promise": promise(loaded.segmenter),
        "residual_maps": scale.description,
        "sk_ssimae": sk_ssimae.__version__,
        **regions.describe(),
    }


def _predict_one(
    segmenter: BaseSegmenter,
    image: Path,
    regions: RegionsOption,
    names: dict[str, str],
    ledger: Ledger,
    scale: ResidualScale,
    *,
    overlays: bool,
    skip_bad: bool,
) -> Row:
    """Segment an image and write its files, then its row: a row implies that the files exist."""
    name = names[identity(image)]
    try:
        outputs = compute(segmenter, image, regions, name, scale, overlays=overlays)
    except IMAGE_ERRORS as error:
        row = Row(identity(image), name, error=one_line(error))
        ledger.append(row)
        if not skip_bad:
            raise
        return row
    ledger.write(name, outputs.contents)
    ledger.append(outputs.row)
    return outputs.row


class Outputs(NamedTuple):
    """Results for an image, its row, and the contents of its files by their subfolders."""

    found: Inspection
    row: Row
    contents: dict[str, bytes]


def compute(
    segmenter: BaseSegmenter,
    image: Path,
    regions: RegionsOption,
    name: str,
    scale: ResidualScale,
    *,
    overlays: bool,
) -> Outputs:
    """Segment an image, and return all that is written about it.

    Parameters
    ----------
    segmenter : BaseSegmenter
        The model.
    image : path
        Image file.
    regions : RegionsOption
        Inspected pixels of the images.
    name : str
        Name of its outputs.
    scale : ResidualScale
        Scale of the residual maps.
    overlays : bool
        Also draw the image with its regions outlined.

    Raises
    ------
    OSError, TypeError, ValueError
        If the image cannot be read, does not suit the model, or is too large.
    """
    file = identity(image)
    # Before the image is read, so that a change meanwhile makes the next run compute it again.
    state = ImageState.of(image)
    found = segment(segmenter, image, regions.mask(image))
    with naming_too_large_images(image):
        contents = {
            "masks": encode_mask(found.mask),
            "residual_maps": scale.to_tiff(found.residual_map),
            "regions": describe_regions(file, name, found),
        }
        if overlays:
            contents["overlays"] = draw_overlay(image, found, segmenter.conversion)
        return Outputs(found, _row(file, name, found, scale, state), contents)


def _row(file: str, name: str, found: Inspection, scale: ResidualScale, state: ImageState) -> Row:
    return Row(
        file,
        name,
        score=f"{found.score:.9g}",  # All digits of a float32.
        defective="yes" if found.defective else "no",
        marked_share=f"{found.marked_share:.6g}",
        largest_region=str(found.largest_region),
        clipped=str(scale.n_clipped(found.residual_map)),
        **state._asdict(),
    )


def _summarize(rows: list[Row], n_complete_before: int, out: Path, terminal: Terminal) -> None:
    defective = sum(row.defective == "yes" for row in rows)
    failed = sum(bool(row.error) for row in rows)
    clipped = [int(row.clipped) for row in rows if row.clipped]
    images = count(len(rows), "image")
    and_failed = f", {failed} failed" if failed else ""
    terminal.say(f"{images}, {defective} defective{and_failed}. Results are in {str(out)!r}.")
    if n_complete_before:
        terminal.say(f"{count(n_complete_before, 'image')} already complete, not computed again.")
    if any(clipped):
        pixels = count(sum(clipped), "pixel")
        maps = count(sum(map(bool, clipped)), "residual map")
        terminal.say(
            f"Clipped {pixels} beyond the 16-bit scale in {maps}; masks and scores are unaffected."
        )
    if failed:
        terminal.note(f"{failed} of {images} failed; the error column of scores.csv says why.")
