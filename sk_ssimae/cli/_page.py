"""The page of a report: HTML, style, script and data in one file that loads nothing."""

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import sk_ssimae
from sk_ssimae.cli._candidates import Candidate
from sk_ssimae.cli._colours import ColourScale
from sk_ssimae.cli._model import promise
from sk_ssimae.cli._pictures import Pictures
from sk_ssimae.cli._text import printable
from sk_ssimae.estimators import BaseSegmenter

_SCRIPTS = ("decide.js", "pictures.js", "rows.js", "review.js", "level.js", "page.js")


class Entry(NamedTuple):
    """An image of the report, with either results or an error.

    Attributes
    ----------
    path : path
        Image file.
    name : str
        Unique name of the image.
    score : float or None
        Score of the image; None if it failed.
    shape : tuple of two int
        Height and width.
    candidates : list of Candidate
        Regions that are defective if their peaks exceed the verdict's level.
    pictures : Pictures or None
        Pictures of the image; None if it failed.
    truth : list of int or None
        Runs of the given mask, see `runs_of_mask`; None if there is none.
    error : str
        Error that the image caused; empty if none.
    """

    path: Path
    name: str
    score: float | None = None
    shape: tuple[int, int] = (0, 0)
    candidates: Sequence[Candidate] = ()
    pictures: Pictures | None = None
    truth: list[int] | None = None
    error: str = ""

    @property
    def sort_key(self) -> float:
        """The score; infinite if the image failed, which must not be overlooked."""
        return float("inf") if self.score is None else self.score


def render(
    segmenter: BaseSegmenter,
    model: str,
    entries: Sequence[Entry],
    colours: ColourScale,
    longest_side: int,
) -> str:
    """Render the page, failed images and highest scores first."""
    ordered = sorted(entries, key=lambda entry: -entry.sort_key)
    style, script = read_part("page.css"), "\n".join(read_part(name) for name in _SCRIPTS)
    overview = {
        "model": printable(model),
        "threshold": colours.threshold,
        "extent": colours.extent,
        "scale": {"origin": colours.origin, "low": colours.low, "high": colours.high},
        "palette": colours.palette().tolist(),
        "images": [_summary(entry) for entry in ordered],
    }
    return Template(read_part("page.html")).substitute(
        model=html.escape(printable(model)),
        segmenter=type(segmenter).__name__,
        created=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        version=sk_ssimae.__version__,
        promise=html.escape(promise(segmenter)),
        threshold=f"{colours.threshold:.4g}",
        extent=f"{colours.extent:.4g}",
        step=f"{100 * (colours.step - 1):.2g}",
        first=f"{colours.origin + colours.low:.4g}",
        last=f"{colours.origin + colours.high:.4g}",
        longest_side=longest_side,
        style=style,
        script=script,
        style_hash=digest(style),
        script_hash=digest(script),
        overview=_as_json(overview),
        data="\n".join(_data_block(index, entry) for index, entry in enumerate(ordered)),
    )


def _summary(entry: Entry) -> dict[str, Any]:
    """Return the part of an image's data that counts and verdicts need."""
    return {
        "name": printable(entry.name),
        "file": printable(str(entry.path)),
        "score": entry.score,
        "shape": entry.shape,
        "picture": entry.pictures and (entry.pictures.height, entry.pictures.width),
        "regions": [candidate[:-1] for candidate in entry.candidates],
        "truth": None if entry.truth is None else bool(entry.truth),
        "error": entry.error,
    }


def _data_block(index: int, entry: Entry) -> str:
    """Return the part that is read when an image comes into view."""
    if entry.pictures is None:
        return ""
    data = {
        "image": entry.pictures.image,
        "map": entry.pictures.residual_map,
        "runs": [candidate.runs for candidate in entry.candidates],
        "truth": entry.truth,
    }
    return f'<script type="application/json" id="data-{index}">{_as_json(data)}</script>'


def _as_json(data: Any) -> str:
    # A file may be named </script>.
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def read_part(name: str) -> str:
    """Return a file of which pages consist."""
    return resources.files("sk_ssimae.cli").joinpath("page", name).read_text("utf-8")


def digest(text: str) -> str:
    """Return the source expression by which the security policy allows a text."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
