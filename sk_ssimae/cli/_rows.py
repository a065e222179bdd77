"""Rows of scores.csv, and their text."""

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, Self

from sk_ssimae._atomic import resolve

# File names may contain any bytes.
_ENCODING: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape"}
# Spreadsheets run a cell that begins like this, unless an apostrophe precedes it. Apostrophes that
# are part of the text are counted too, so that the original text can be restored.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
# Columns that may contain any text. Others are numbers, which may begin with a minus sign.
_TEXTS = ("file", "name", "target", "error")


class Row(NamedTuple):
    """A row of scores.csv, as text. If there is an error, only `file` and `name` are also set.

    Attributes
    ----------
    file : str
        Absolute path of the image.
    name : str
        Name of its mask and residual map, without suffix.
    score, defective, marked_share, largest_region, clipped : str
        Score; "yes" or "no"; share of marked pixels; number of pixels in the largest marked region;
        number of pixels beyond the scale of the residual map.
    target, bytes, modified_ns : str
        The file that was read: its path with links resolved, its size and its modification time.
    error : str
        Error that the image caused.
    """

    file: str
    name: str
    score: str = ""
    defective: str = ""
    marked_share: str = ""
    largest_region: str = ""
    clipped: str = ""
    target: str = ""
    bytes: str = ""
    modified_ns: str = ""
    error: str = ""


class ImageState(NamedTuple):
    """Identify the version of an image that was read; stored in columns of the same names."""

    target: str
    bytes: str
    modified_ns: str

    @classmethod
    def of(cls, image: Path) -> Self:
        """Read the state of an image, following links.

        Raises
        ------
        OSError
            If there is no such file.
        """
        target = resolve(image)
        status = target.stat()
        return cls(str(target), str(status.st_size), str(status.st_mtime_ns))


def to_csv(rows: Iterable[Row], *, header: bool = False) -> bytes:
    """Return the lines of rows, below the names of the columns if wanted.

    A text that a spreadsheet would run as a formula gets a leading apostrophe.

    Examples
    --------
    >>> from sk_ssimae.cli._rows import Row, from_csv, to_csv
    >>> content = to_csv([Row("a.png", "=1+1")], header=True)
    >>> print(content.decode().splitlines()[1][:15])
    "a.png","'=1+1"
    >>> from_csv(content)[1][:2]
    ['a.png', '=1+1']
    """
    lines = (
        row._replace(**{column: neutralized(getattr(row, column)) for column in _TEXTS})
        for row in rows
    )
    return as_csv([Row._fields, *lines] if header else lines)


def as_csv(lines: Iterable[Iterable[str]]) -> bytes:
    """Return lines of cells, each cell in quotes: file names may contain any line break."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(lines)
    return text.getvalue().encode(**_ENCODING)


def from_csv(content: bytes) -> list[list[str]]:
    """Return the names of the columns and the complete lines, their texts without apostrophes.

    Raises
    ------
    csv.Error
        If the content is not CSV.
    """
    text = content.decode(**_ENCODING)
    whole = text[: text.rfind("\n") + 1]  # The last line may be incomplete.
    columns, *lines = list(csv.reader(io.StringIO(whole, newline=""))) or [[]]
    texts = [column in _TEXTS for column in columns]
    restored = [
        [_restored(cell) if is_text else cell for cell, is_text in zip(line, texts, strict=True)]
        for line in lines
        if len(line) == len(columns)
    ]
    return [columns, *restored]


def neutralized(text: str) -> str:
    """Precede a text by an apostrophe if a spreadsheet would run it as a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def _restored(text: str) -> str:
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
