"""Checks of documents from untrusted sources."""

import json
import math
from collections.abc import Iterable
from typing import Any

from sk_ssimae._intensity import IntensityRange


def parse_object(text: Any, what: str) -> dict[str, Any]:
    """Parse a JSON object."""
    try:
        parsed = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{what} is not JSON ({error!s:.200}).") from error
    if type(parsed) is not dict:
        raise ValueError(f"{what} is not a JSON object.")
    return parsed


def check_format(document: dict[str, Any], name: str, newest: int) -> None:
    """Check that a document has the format of that name, in a version known here."""
    version = document.get("version")
    if document.get("format") != name or type(version) is not int or version < 1:
        raise ValueError(
            f"its document must be of format {name!r} and have a version, got "
            f"{document.get('format')!r:.80} and {version!r:.80} instead."
        )
    if version > newest:
        raise ValueError(
            f"it was written by a newer sk_ssimae (format {version!r:.80}; this version reads up "
            f"to {newest}): upgrade."
        )


def check_keys(found: dict[str, Any], expected: Iterable[str], what: str) -> None:
    """Check that nothing is missing and nothing unknown."""
    missing, unknown = sorted({*expected} - {*found}), sorted({*found} - {*expected})
    if missing:
        raise ValueError(f"{what} must have {', '.join(missing)}, which is missing.")
    if unknown:
        raise ValueError(f"{what} must not have {', '.join(unknown):.200}, which is unknown.")


def check_count(value: Any, name: str, *, least: int = 0, below: int = 2**31) -> int:
    """Check an integer."""
    if type(value) is not int or not least <= value < below:
        raise ValueError(
            f"its {name} must be an integer in [{least}, {below}), got {value!r:.80} instead."
        )
    return value


def check_number(value: Any, name: str, *, least: float = -math.inf) -> float:
    """Check a finite number."""
    if type(value) not in (int, float) or not least <= value < math.inf or value == -math.inf:
        raise ValueError(
            f"its {name} must be a finite number of at least {least:g}, got {value!r:.80} instead."
        )
    return float(value)


def read_intensity_range(stored: Any) -> IntensityRange | None:
    """Read an intensity range, a list of two numbers in ascending order or null."""
    if stored is None:
        return None
    if type(stored) is not list or len(stored) != 2:
        raise ValueError(
            f"its intensity_range must be two numbers or null, got {stored!r:.80} instead."
        )
    low, high = (check_number(end, "intensity_range") for end in stored)
    if not low < high:
        raise ValueError(f"its intensity_range must ascend, got {stored!r:.80} instead.")
    return IntensityRange(low, high)
