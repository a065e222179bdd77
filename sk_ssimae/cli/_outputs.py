"""How the outputs of `predict` are recognised."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sk_ssimae._atomic import resolve

# Subfolders of the files of each image, and their suffixes.
SUFFIXES_OF_PARTS = {
    "masks": ".png",
    "residual_maps": ".tif",
    "regions": ".json",
    "overlays": ".png",
}
PARTS = tuple(SUFFIXES_OF_PARTS)
RUN = "run.json"
# These identify our own run.json, in any version.
RUN_KEYS = {"sha256", "threshold", "sk_ssimae"}


def refuse_outputs(folders: Iterable[Path], name: str) -> None:
    """Refuse masks, maps and overlays of any run of `predict` where images are expected.

    Parameters
    ----------
    folders : iterable of path
        Folders of images.
    name : str
        Argument to name in the message.

    Raises
    ------
    ValueError
        If one is a folder of outputs.
    """
    for folder in folders:
        if _is_of_a_run(resolve(folder)):
            raise ValueError(
                f"{name}: {str(folder)!r} contains outputs of predict (--out), not "
                "images. Choose another folder, or move the outputs out of it."
            )


def is_run(document: Any) -> bool:
    """Return whether the content of a run.json is ours."""
    return isinstance(document, dict) and document.keys() >= RUN_KEYS


def _is_of_a_run(folder: Path) -> bool:
    if folder.name not in PARTS:
        return False
    try:
        return is_run(json.loads((folder.parent / RUN).read_bytes()))
    except (OSError, ValueError, RecursionError):
        return False
