"""What a folder of predictions holds, so that a run that was cut short can go on."""

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from sk_ssimae._atomic import replace_file, resolve
from sk_ssimae.cli._files import identity
from sk_ssimae.cli._terminal import one_line

PARTS = ("masks", "residual_maps")
_RUN, _SCORES = "run.json", "scores.csv"
# What tells a run.json, and a scores.csv, of ours, whatever the version.
_RUN_KEYS, _SCORES_COLUMNS = {"sha256", "threshold", "sk_ssimae"}, ("file", "name", "score")
_ELSEWHERE = "Choose another folder, or move it away."
# Names of files may hold any bytes.
_ENCODING: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape"}


class Row(NamedTuple):
    """A row of scores.csv; all is text, and empty where `error` is not.

    Attributes
    ----------
    file : str
        Absolute path of the image.
    name : str
        Name of its mask and residual map, without suffix.
    score, defective, marked_share, largest_region, clipped : str
        Score; "yes" or "no"; share of marked pixels; pixels of the largest marked region; pixels
        beyond the scale of the residual map.
    target, bytes, modified_ns : str
        The image as it was read: its path without links, its size and its time of change.
    error : str
        What was wrong with the image.
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
    """By which an image is known to be the one that was read; columns of the same names have it."""

    target: str
    bytes: str
    modified_ns: str

    @classmethod
    def of(cls, image: Path) -> Self:
        """Look at an image, following links.

        Raises
        ------
        OSError
            If there is none.
        """
        target = resolve(image)
        status = target.stat()
        return cls(str(target), str(status.st_size), str(status.st_mtime_ns))


class Ledger:
    """The outputs of `predict` in a folder, and which of them are complete.

    The folder must be held, see `hold_folder`.

    Parameters
    ----------
    folder : path
        A folder.
    run : dict
        What the outputs depend on, for JSON.
    overwrite : bool
        Remove what a former run has left, whatever its model.

    Raises
    ------
    FileExistsError
        If the folder holds outputs of another model, or what looks like outputs and is not ours.
    ValueError
        If its run.json or scores.csv is not one of ours.
    """

    def __init__(self, folder: Path, run: dict[str, Any], *, overwrite: bool = False) -> None:
        self.folder, self._run = folder, run
        self._rows: dict[str, Row] = {}
        # Of all outputs that may be there, with a row or without: a run may have been killed.
        self._names: set[str] = set()
        if any((folder / part).exists() for part in (_RUN, _SCORES, *PARTS)):
            former = self._read_run()
            self._names = _valid_names(former.get("names", []))
            if overwrite:
                self._remove_outputs()
            else:
                self._check_run(former)
                self._rows = self._read_rows()
                self._names |= {row.name for row in self._rows.values()}
        # First, so that nothing of ours is ever without it.
        self._write_run()
        for part in PARTS:
            (folder / part).mkdir(exist_ok=True)

    @property
    def names(self) -> dict[str, str]:
        """Names that were given to images, by absolute path."""
        return {row.file: row.name for row in self._rows.values()}

    def mask_file(self, name: str) -> Path:
        """Give the path of a mask."""
        return self.folder / "masks" / f"{name}.png"

    def residual_map_file(self, name: str) -> Path:
        """Give the path of a residual map."""
        return self.folder / "residual_maps" / f"{name}.tif"

    def complete(self, image: Path) -> Row | None:
        """Give the row of an image whose outputs are there and which has not changed, or None."""
        row = self._rows.get(identity(image))
        if row is None or row.error:
            return None
        files = (self.mask_file(row.name), self.residual_map_file(row.name))
        try:
            read = ImageState(row.target, row.bytes, row.modified_ns)
            same = ImageState.of(image) == read
        except OSError:
            return None
        return row if same and all(file.is_file() for file in files) else None

    def begin(self, todo: Mapping[str, str]) -> None:
        """Take away outputs and rows of the images to be computed, and outputs without a row.

        A run that is killed may leave outputs without a row.

        Parameters
        ----------
        todo : mapping of str to str
            Names of the images, by absolute path.

        Raises
        ------
        FileExistsError
            If a file that is not of `predict` has the place of an output.
        """
        for file in todo:
            self._rows.pop(file, None)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerows([Row._fields, *self._rows.values()])
        replace_file(self.folder / _SCORES, text.getvalue().encode(**_ENCODING))
        kept = {row.name for row in self._rows.values()}
        self._unlink(self._names - kept)
        self._check_free(todo.values())  # What is there now is not ours.
        self._names = kept.union(todo.values())
        self._write_run()

    def append(self, row: Row) -> None:
        """Add a row; when it is cut short it is ignored the next time."""
        # In quotes all, because names of files may hold line ends of any kind.
        with (self.folder / _SCORES).open("a", newline="", **_ENCODING) as file:
            csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow(row)
            file.flush()
            os.fsync(file.fileno())
        self._rows[row.file] = row

    def _read_run(self) -> dict[str, Any]:
        """Read run.json, which tells that the folder is ours, to be gone on with or removed."""
        path = self.folder / _RUN
        try:
            former = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise FileExistsError(
                f"--out: {str(self.folder)!r} holds masks, residual_maps or {_SCORES} but no "
                f"{_RUN}: they are not of sk-ssimae predict. Choose another folder, or move them "
                "away."
            ) from None
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"--out: {str(path)!r} is not JSON ({one_line(error)}). {_ELSEWHERE}"
            ) from error
        if not isinstance(former, dict) or not former.keys() >= _RUN_KEYS:
            raise ValueError(
                f"--out: {str(path)!r} must be of sk-ssimae predict, a JSON object with "
                f"{', '.join(sorted(_RUN_KEYS))}, and is not. {_ELSEWHERE}"
            )
        return former

    def _check_run(self, former: dict[str, Any]) -> None:
        # The model may have been renamed or moved since: its content counts.
        apart = {"model": None, "names": None}
        if {**former, **apart} != {**self._run, **apart}:
            raise FileExistsError(
                f"--out: {str(self.folder)!r} holds outputs of another model or version, of "
                f"{former.get('model')!r}. Choose another folder, or --overwrite to begin anew."
            )

    def _write_run(self) -> None:
        content = {**self._run, "names": sorted(self._names)}
        replace_file(self.folder / _RUN, (json.dumps(content, indent=2) + "\n").encode())

    def _read_rows(self) -> dict[str, Row]:
        rows = self._read_scores()
        if rows and tuple(rows[0]) != Row._fields:
            raise ValueError(
                f"--out: {str(self.folder / _SCORES)!r} must begin with the columns "
                f"{', '.join(Row._fields)}, got {', '.join(rows[0]):.200} instead. Choose another "
                "folder, or --overwrite to begin anew."
            )
        found = (Row(*row) for row in rows[1:] if len(row) == len(Row._fields))
        return {row.file: row for row in found if _is_valid(row.name)}

    def _read_scores(self) -> list[list[str]]:
        path = self.folder / _SCORES
        if not path.exists():
            return []
        with path.open(newline="", **_ENCODING) as file:
            text = file.read()
        whole = text[: text.rfind("\n") + 1]  # The last line may have been cut short.
        try:
            rows = list(csv.reader(io.StringIO(whole, newline="")))
        except csv.Error as error:
            raise ValueError(f"--out: {str(path)!r} is not CSV ({error}). {_ELSEWHERE}") from error
        if tuple(rows[0][: len(_SCORES_COLUMNS)] if rows else ()) != _SCORES_COLUMNS and text:
            raise ValueError(
                f"--out: {str(path)!r} must begin with the columns {', '.join(Row._fields)}, got "
                f"{', '.join(rows[0]) if rows else text:.200} instead. {_ELSEWHERE}"
            )
        return rows

    def _remove_outputs(self) -> None:
        names = {row[1] for row in self._read_scores()[1:] if len(row) > 1}
        self._unlink(self._names | _valid_names(names))
        (self.folder / _SCORES).unlink(missing_ok=True)
        self._names = set()

    def _unlink(self, names: Iterable[str]) -> None:
        for file in self._files(names):
            file.unlink(missing_ok=True)

    def _check_free(self, names: Iterable[str]) -> None:
        for file in self._files(names):
            if os.path.lexists(file):
                raise FileExistsError(
                    f"--out: {str(file)!r} would be replaced and is not of sk-ssimae predict. "
                    f"{_ELSEWHERE}"
                )

    def _files(self, names: Iterable[str]) -> Iterator[Path]:
        for name in names:
            yield self.mask_file(name)
            yield self.residual_map_file(name)


def _valid_names(names: Any) -> set[str]:
    """Choose the names among what may have been edited by hand: none leads out of the folder."""
    if not isinstance(names, list | set):
        return set()
    return {name for name in names if isinstance(name, str) and _is_valid(name)}


def _is_valid(name: str) -> bool:
    return name != "" and Path(name).name == name and "\0" not in name
