"""HTML report of the defects that a model finds in images."""

import html
from datetime import datetime
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import sk_ssimae
from sk_ssimae._atomic import replace_file
from sk_ssimae.cli._files import check_output_file, collect_images, identity, name_images
from sk_ssimae.cli._model import load_model, naming_too_large_images, promise, segment
from sk_ssimae.cli._pictures import LONGEST_SIDE, ColourScale, Pictures, draw
from sk_ssimae.cli._predict import IMAGE_ERRORS
from sk_ssimae.cli._roi import RegionsOption
from sk_ssimae.cli._terminal import SOME_IMAGES_FAILED, Terminal
from sk_ssimae.cli._text import count, one_line, printable
from sk_ssimae.estimators import BaseSegmenter


class Entry(NamedTuple):
    """A row of the report, with either pictures or an error.

    Attributes
    ----------
    path : path
        Image file.
    name : str
        Unique name of the image.
    score : float
        Score of the image.
    marked_share : float
        Share of marked pixels.
    largest_region : int
        Number of pixels in the largest marked region.
    defective : bool
        Whether a pixel is marked.
    pictures : Pictures or None
        Pictures of the image; None if it failed.
    error : str
        Error that the image caused; empty if none.
    """

    path: Path
    name: str
    score: float = float("-inf")
    marked_share: float = 0.0
    largest_region: int = 0
    defective: bool = False
    pictures: Pictures | None = None
    error: str = ""


def report(
    model: Path,
    sources: list[Path],
    output: Path,
    *,
    device: str,
    skip_bad: bool,
    roi: str | None,
    recursive: bool,
    mask_suffix: str | None,
    terminal: Terminal,
) -> int:
    """Segment images, write a report of the results and return the exit code.

    Parameters
    ----------
    model : path
        Model file written by `fit`.
    sources : list of path
        Images and folders of images.
    output : path
        HTML file to write.
    device : str
        Device to compute on.
    skip_bad : bool
        Show the error of an image that fails and continue, instead of stopping.
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
    regions = RegionsOption(roi, images, mask_suffix)
    check_output_file(
        output, "--output", [model, *images, *regions.inputs()], begins=b"<!DOCTYPE html>"
    )
    segmenter = load_model(model, device).segmenter
    names = name_images(images, {})
    colours = ColourScale.of(segmenter)
    entries = []
    with terminal.progress() as progress:
        for image in progress.track(images, description="Images"):
            name = names[identity(image)]
            entry = _look_at(segmenter, image, name, regions, colours, skip_bad=skip_bad)
            if entry.error:
                terminal.complain(entry.error)
            entries.append(entry)
    page = render(segmenter, model.name, entries, colours)
    replace_file(output, page.encode())
    size = f"{len(page) / 1e6:.1f} MB"
    terminal.say(f"{_tally(entries)}. Report: {str(output)!r} ({size}).")
    return SOME_IMAGES_FAILED if any(entry.error for entry in entries) else 0


def _look_at(
    segmenter: BaseSegmenter,
    image: Path,
    name: str,
    regions: RegionsOption,
    colours: ColourScale,
    *,
    skip_bad: bool,
) -> Entry:
    try:
        found = segment(segmenter, image, regions.mask(image))
        with naming_too_large_images(image):
            pictures = draw(image, found.residual_map, found.mask, colours, segmenter.conversion)
    except IMAGE_ERRORS as error:
        if not skip_bad:
            raise
        return Entry(image, name, error=one_line(error))
    return Entry(
        image,
        name,
        found.score,
        found.marked_share,
        found.largest_region,
        found.defective,
        pictures,
    )


def render(segmenter: BaseSegmenter, model: str, entries: list[Entry], colours: ColourScale) -> str:
    """Render the page, highest scores first."""
    template = resources.files("sk_ssimae.cli").joinpath("report.html").read_text("utf-8")
    ordered = sorted(entries, key=lambda entry: entry.score, reverse=True)
    threshold = segmenter.threshold_
    return Template(template).substitute(
        model=_escape(model),
        segmenter=type(segmenter).__name__,
        tally=_tally(entries),
        created=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        version=sk_ssimae.__version__,
        threshold=f"{threshold:.4g}",
        promise=_escape(promise(segmenter)),
        low=f"{colours.low:.3g}",
        high=f"{colours.high:.3g}",
        position=f"{100 * float(colours.position(threshold)):.1f}",
        gradient=colours.css(),
        longest_side=LONGEST_SIDE,
        rows="\n".join(_row(entry) for entry in ordered),
    )


def _row(entry: Entry) -> str:
    name, path = _escape(entry.name), _escape(str(entry.path))
    values: dict[str, Any] = {
        "name": name,
        "score": "" if entry.error else f"{entry.score:.9g}",
        "share": f"{entry.marked_share:.6g}",
        "region": entry.largest_region,
        "defective": int(entry.defective),
    }
    data = " ".join(f'data-{key}="{value}"' for key, value in values.items())
    title = f'<th scope="row"><b>{name}</b><small>{path}</small></th>'
    if entry.pictures is None:
        error = _escape(entry.error)
        return f'<tr {data} class="bad">{title}<td colspan="6">{error}</td></tr>'
    verdict = "defective" if entry.defective else "good"
    # Map and mask are overlays, so that the file contains the image only once.
    pictures = entry.pictures
    style = f"--image: url({pictures.image}); --shape: {pictures.width} / {pictures.height}"
    return (
        f'<tr {data} style="{style}">{title}'
        f'<td><b>{entry.score:.4g}</b><span class="{verdict}">{verdict}</span></td>'
        f"<td>{100 * entry.marked_share:.3g} %</td><td>{entry.largest_region} px</td>"
        f"{_panel('input')}{_panel('residual map', pictures.residual_map)}"
        f"{_panel('mask', pictures.mask)}</tr>"
    )


def _escape(text: str) -> str:
    return html.escape(printable(text))


def _panel(label: str, overlay: str = "") -> str:
    picture = f'<img src="{overlay}" alt="">' if overlay else ""
    return f'<td class="picture"><div role="img" aria-label="{label}">{picture}</div></td>'


def _tally(entries: list[Entry]) -> str:
    failed = sum(bool(entry.error) for entry in entries)
    defective = sum(entry.defective for entry in entries)
    text = f"{count(len(entries), 'image')}, {defective} defective"
    return f"{text}, {failed} failed" if failed else text
