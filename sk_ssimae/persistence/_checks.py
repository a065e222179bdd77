"""Checks of documents from untrusted sources."""

import json
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from sk_ssimae._intensity import IntensityRange

#: Largest number of characters of a text or name, as many as a path has on Linux.
LONGEST_TEXT = 4096
# Some hundred thousand epochs. Memory for a value, a name included, is about 200 bytes.
_MOST_VALUES = 1_000_000
# Files of this package have six levels.
_DEEPEST = 20
_LONGEST_QUOTE, _LONGEST_REASON = 200, 600


def quote(value: Any) -> str:
    """Return the representation of a value, cut to 200 characters."""
    return _cut(repr(value), _LONGEST_QUOTE)


def refuse(source: Path, error: Exception) -> NoReturn:
    """Raise the error that a file cannot be loaded, with a short reason.

    Raises
    ------
    ValueError
        Always. The original error is its cause unless that quotes long values of the file.
    """
    reason = _cut(str(error), _LONGEST_REASON)
    cause = error if reason == str(error) else None
    raise ValueError(f"{str(source)!r} cannot be loaded: {reason}") from cause


def parse_object(text: Any, what: str) -> dict[str, Any]:
    """Parse a JSON object, in bounded memory; `check_values` checks its values.

    Raises
    ------
    ValueError
        If it is not a JSON object, has more than a million values, a name twice in one object, or
        NaN or Infinity.
    """
    if type(text) is not str:
        raise ValueError(f"{what} is not JSON (got {quote(text)}).")
    n_values = sum(text.count(sign) for sign in "{[,")
    if n_values > _MOST_VALUES:
        raise ValueError(
            f"{what} must have at most {_MOST_VALUES} values, got about {n_values} instead."
        )
    try:
        parsed = json.loads(text, object_pairs_hook=_without_repetition, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what} is not JSON ({_cut(str(error), _LONGEST_QUOTE)}).") from error
    if type(parsed) is not dict:
        raise ValueError(f"{what} is not a JSON object.")
    return parsed


def check_values(value: Any, what: str, *, depth: int = 0) -> None:
    """Check that all texts and numbers in a parsed JSON value have a size that others can handle.

    Raises
    ------
    ValueError
        If a text is longer than a path may be, a float cannot represent the size of a number, or
        objects are nested deeper than files of this package.
    """
    if type(value) is str and len(value) > LONGEST_TEXT:
        raise ValueError(
            f"{what} must have texts of at most {LONGEST_TEXT} characters, got {quote(value)}."
        )
    if type(value) in (int, float) and not fits_float(value):
        raise ValueError(
            f"{what} must have numbers of at most {sys.float_info.max:g}, got {quote(value)}."
        )
    if type(value) not in (list, dict):
        return
    if depth == _DEEPEST:
        raise ValueError(f"{what} must have at most {_DEEPEST} levels.")
    for item in value:
        check_values(item, what, depth=depth + 1)
        if type(value) is dict:
            check_values(value[item], what, depth=depth + 1)


def fits_float(value: float) -> bool:
    """Tell whether a number is finite and, if it is an integer, not too large for a float."""
    return -sys.float_info.max <= value <= sys.float_info.max


def check_format(document: dict[str, Any], name: str, newest: int) -> None:
    """Check that a document has the format of that name, in a version known here."""
    version = document.get("version")
    if document.get("format") != name or type(version) is not int or version < 1:
        raise ValueError(
            f"its document must be of format {name!r} and have a version, got "
            f"{quote(document.get('format'))} and {quote(version)} instead."
        )
    if version > newest:
        raise ValueError(
            f"it was written by a newer sk_ssimae (format {quote(version)}; this version reads up "
            f"to {newest}): upgrade."
        )


def check_keys(found: dict[str, Any], expected: Iterable[str], what: str) -> None:
    """Check that nothing is missing and nothing unknown."""
    missing, unknown = sorted({*expected} - {*found}), sorted({*found} - {*expected})
    if missing:
        raise ValueError(f"{what} must have {', '.join(missing)}, which is missing.")
    if unknown:
        names = ", ".join(name if name.isidentifier() else repr(name) for name in unknown)
        raise ValueError(f"{what} must not have {_cut(names, _LONGEST_QUOTE)}, which is unknown.")


def check_versions(versions: Any) -> dict[str, str]:
    """Check the versions of libraries: an object of texts."""
    if type(versions) is not dict or not all(type(text) is str for text in versions.values()):
        raise ValueError(f"its versions must be an object of texts, got {quote(versions)} instead.")
    return versions


def check_count(value: Any, name: str, *, least: int = 0, below: int = 2**31) -> int:
    """Check an integer."""
    if type(value) is not int or not least <= value < below:
        raise ValueError(
            f"its {name} must be an integer in [{least}, {below}), got {quote(value)} instead."
        )
    return value


def check_number(
    value: Any, name: str, *, least: float = -math.inf, most: float = math.inf
) -> float:
    """Check a finite number."""
    if type(value) not in (int, float) or not (fits_float(value) and least <= value <= most):
        interval = f"of at least {least:g}" if most == math.inf else f"in [{least:g}, {most:g}]"
        raise ValueError(
            f"its {name} must be a finite number {interval}, got {quote(value)} instead."
        )
    return float(value)


def read_intensity_range(stored: Any) -> IntensityRange | None:
    """Read an intensity range, a list of two numbers in ascending order or null."""
    if stored is None:
        return None
    if type(stored) is not list or len(stored) != 2:
        raise ValueError(
            f"its intensity_range must be two numbers or null, got {quote(stored)} instead."
        )
    low, high = (check_number(end, "intensity_range") for end in stored)
    if not low < high:
        raise ValueError(f"its intensity_range must ascend, got {quote(stored)} instead.")
    return IntensityRange(low, high)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}..."


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{quote(name)} occurs twice in one object")
        found[name] = value
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")
