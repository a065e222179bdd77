"""The verdict on an image as JSON, for programs that ask for one image at a time."""

from typing import Any

from sk_ssimae.cli._model import Inspection
from sk_ssimae.cli._regions import list_regions


def describe_verdict(found: Inspection) -> dict[str, Any]:
    """Return the verdict, the score, the level that it was compared with, and the regions."""
    return {
        "verdict": "NG" if found.defective else "OK",
        "score": found.score,
        "threshold": found.threshold,
        "regions": list_regions(found),
    }
