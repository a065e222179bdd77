"""Masks, 16-bit residual maps and scores of many images, one complete after the other."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sk_ssimae
from sk_ssimae._atomic import replace_file, resolve
from sk_ssimae.cli._files import collect_images, identity, name_images
from sk_ssimae.cli._ledger import PARTS, ImageState, Ledger, Row
from sk_ssimae.cli._lock import hold_folder
from sk_ssimae.cli._model import (
    Inspection,
    load_model,
    naming_too_large_images,
    promise,
    segment,
)
from sk_ssimae.cli._scale import ResidualScale
from sk_ssimae.cli._terminal import SOME_IMAGES_FAILED, Terminal, one_line
from sk_ssimae.estimators import BaseSegmenter

# What a bad image raises.
IMAGE_ERRORS = (OSError, TypeError, ValueError)


def predict(
    model: Path,
    sources: list[Path],
    out: Path,
    *,
    device: str,
    skip_bad: bool,
    overwrite: bool,
    terminal: Terminal,
) -> int:
    """Segment images and write what comes of them; give the exit code.

    Parameters
    ----------
    model : path
        File that `fit` has written.
    sources : list of path
        Images and folders of images.
    out : path
        Folder of the outputs. Images that are complete in it are not computed again.
    device : str
        Where to compute.
    skip_bad : bool
        Note a bad image and go on, instead of stopping.
    overwrite : bool
        Begin anew.
    terminal : Terminal
        Where to print.
    """
    images = collect_images(sources)
    _check_sources(images, out)
    loaded = load_model(model, device)
    scale = ResidualScale.of(loaded.segmenter)
    run = {"model": str(model), "sha256": loaded.sha256, **_describe(loaded.segmenter, scale)}
    with hold_folder(out):
        ledger = Ledger(out, run, overwrite=overwrite)
        content = json.dumps(scale.description, indent=2) + "\n"
        replace_file(out / "residual_maps" / "scale.json", content.encode())
        return _predict_all(
            loaded.segmenter, images, ledger, scale, skip_bad=skip_bad, terminal=terminal
        )


def _check_sources(images: list[Path], out: Path) -> None:
    """Refuse images that the run might remove or replace."""
    outputs = {resolve(out / part) for part in PARTS}
    for folder in {Path(identity(image)).parent for image in images}:
        if resolve(folder) in outputs:
            raise ValueError(
                f"IMAGES: {str(folder)!r} holds outputs of this --out. Give images that are "
                "elsewhere."
            )


def _predict_all(
    segmenter: BaseSegmenter,
    images: list[Path],
    ledger: Ledger,
    scale: ResidualScale,
    *,
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
                row = _predict_one(segmenter, image, names, ledger, scale, skip_bad=skip_bad)
                if row.error:
                    terminal.complain(row.error)
                rows.append(row)
                progress.advance(task)
    except KeyboardInterrupt:
        complete = sum(not row.error for row in rows)
        terminal.note(
            f"{complete} of {len(images)} images are complete. The same command goes on from there."
        )
        raise
    _summarize(rows, len(done), ledger.folder, terminal)
    return SOME_IMAGES_FAILED if any(row.error for row in rows) else 0


def _describe(segmenter: BaseSegmenter, scale: ResidualScale) -> dict[str, Any]:
    return {
        "segmenter": type(segmenter).__name__,
        "threshold": segmenter.threshold_,
        "promise": promise(segmenter),
        "residual_maps": scale.description,
        "sk_ssimae": sk_ssimae.__version__,
    }


def _predict_one(
    segmenter: BaseSegmenter,
    image: Path,
    names: dict[str, str],
    ledger: Ledger,
    scale: ResidualScale,
    *,
    skip_bad: bool,
) -> Row:
    """Compute an image and write its files, then its row: a row means that they are there."""
    file = identity(image)
    name = names[file]
    try:
        # Before it is read: what changes meanwhile is computed again.
        state = ImageState.of(image)
        found = segment(segmenter, image)
        with naming_too_large_images(image):
            mask, residual_map = _png(found.mask), scale.to_tiff(found.residual_map)
            row = _row(file, name, found, scale, state)
    except IMAGE_ERRORS as error:
        row = Row(file, name, error=one_line(error))
        ledger.append(row)
        if not skip_bad:
            raise
        return row
    replace_file(ledger.mask_file(name), mask)
    replace_file(ledger.residual_map_file(name), residual_map)
    ledger.append(row)
    return row


def _row(file: str, name: str, found: Inspection, scale: ResidualScale, state: ImageState) -> Row:
    return Row(
        file,
        name,
        score=f"{found.score:.9g}",  # All digits that a float32 has.
        defective="yes" if found.defective else "no",
        marked_share=f"{found.marked_share:.6g}",
        largest_region=str(found.largest_region),
        clipped=str(scale.n_clipped(found.residual_map)),
        **state._asdict(),
    )


def _png(mask: NDArray[np.bool_]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def _summarize(rows: list[Row], n_complete_before: int, out: Path, terminal: Terminal) -> None:
    defective = sum(row.defective == "yes" for row in rows)
    failed = sum(bool(row.error) for row in rows)
    clipped = [int(row.clipped) for row in rows if row.clipped]
    terminal.say(f"{len(rows)} images, {defective} of them defective, in {str(out)!r}.")
    if n_complete_before:
        terminal.say(f"{n_complete_before} were complete before and were not computed again.")
    if any(clipped):
        terminal.say(
            f"{sum(clipped)} pixels in {sum(map(bool, clipped))} residual maps are beyond the "
            "16-bit scale and were clipped; masks and scores are not affected."
        )
    if failed:
        terminal.note(f"{failed} of {len(rows)} images failed; scores.csv says why.")
