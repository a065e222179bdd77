"""Contents of an output folder, so that an interrupted run can resume."""

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from sk_ssimae._atomic import replace_file, resolve
from sk_ssimae.cli._files import identity, write_json
from sk_ssimae.cli._terminal import one_line

PARTS = ("masks", "residual_maps")
_RUN, _SCORES = "run.json", "scores.csv"
# These identify our own run.json and scores.csv, in any version.
_RUN_KEYS, _SCORES_COLUMNS = {"sha256", "threshold", "sk_ssimae"}, ("file", "name", "score")
_ELSEWHERE = "Choose another folder, or move it away."
_START_AGAIN = "Choose another folder, or use --overwrite to start again."
# File names may contain any bytes.
_ENCODING: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape"}


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


class Ledger:
    """The outputs of `predict` in a folder, and which of them are complete.

    The folder must be locked, see `lock_folder`.

    Parameters
    ----------
    folder : path
        Output folder.
    run : dict
        Everything that the outputs depend on, as JSON values.
    overwrite : bool
        Delete the outputs of earlier runs, whatever their model.

    Raises
    ------
    FileExistsError
        If the folder contains outputs of another model, or files of other origin in their place.
    ValueError
        If its run.json or scores.csv was not written by `predict`.
    """

    def __init__(self, folder: Path, run: dict[str, Any], *, overwrite: bool = False) -> None:
        self.folder, self._run = folder, run
        self._rows: dict[str, Row] = {}
        # Names of all outputs that may exist. Some have no row if a run was killed.
        self._names: set[str] = set()
        if any((folder / part).exists() for part in (_RUN, _SCORES, *PARTS)):
            previous = self._read_run()
            self._names = _valid_names(previous.get("names", []))
            if overwrite:
                self._remove_outputs()
            else:
                self._check_run(previous)
                self._rows = self._read_rows()
                self._names |= {row.name for row in self._rows.values()}
        # Written first, so that outputs never exist without it.
        self._write_run()
        for part in PARTS:
            (folder / part).mkdir(exist_ok=True)

    @property
    def names(self) -> dict[str, str]:
        """Names of images, by absolute path."""
        return {row.file: row.name for row in self._rows.values()}

    def mask_file(self, name: str) -> Path:
        """Return the path of a mask."""
        return self.folder / "masks" / f"{name}.png"

    def residual_map_file(self, name: str) -> Path:
        """Return the path of a residual map."""
        return self.folder / "residual_maps" / f"{name}.tif"

    def complete(self, image: Path) -> Row | None:
        """Return the row of an image, or None if an output is missing or the image has changed."""
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
        """Remove outputs and rows of the images to be computed, and outputs without a row.

        A run that was killed may leave outputs without a row.

        Parameters
        ----------
        todo : mapping of str to str
            Names of the images, by absolute path.

        Raises
        ------
        FileExistsError
            If a file that `predict` did not write has the name of an output.
        """
        for file in todo:
            self._rows.pop(file, None)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerows([Row._fields, *self._rows.values()])
        replace_file(self.folder / _SCORES, text.getvalue().encode(**_ENCODING))
        kept = {row.name for row in self._rows.values()}
        self._unlink(self._names - kept)
        self._check_free(todo.values())  # Any file still there is not ours.
        self._names = kept.union(todo.values())
        self._write_run()

    def append(self, row: Row) -> None:
        """Append a row. A row that was not written completely is ignored by the next run."""
        # Quote every field, because file names may contain line breaks of any kind.
        with (self.folder / _SCORES).open("a", newline="", **_ENCODING) as file:
            csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow(row)
            file.flush()
            os.fsync(file.fileno())
        self._rows[row.file] = row

    def _read_run(self) -> dict[str, Any]:
        """Read run.json, which proves that the outputs in the folder are ours."""
        path = self.folder / _RUN
        try:
            previous = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise FileExistsError(
                f"--out: {str(self.folder)!r} contains masks, residual_maps or {_SCORES} but no "
                f"{_RUN}: sk-ssimae predict did not write them. Choose another folder, or move "
                "them away."
            ) from None
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"--out: {str(path)!r} is not valid JSON ({one_line(error)}). {_ELSEWHERE}"
            ) from error
        if not isinstance(previous, dict) or not previous.keys() >= _RUN_KEYS:
            raise ValueError(
                f"--out: {str(path)!r} was not written by sk-ssimae predict: it is not a JSON "
                f"object with {', '.join(sorted(_RUN_KEYS))}. {_ELSEWHERE}"
            )
        return previous

    def _check_run(self, previous: dict[str, Any]) -> None:
        # Only the content of the model counts: it may have been renamed or moved.
        ignored = {"model": None, "names": None}
        if {**previous, **ignored} != {**self._run, **ignored}:
            raise FileExistsError(
                f"--out: {str(self.folder)!r} contains outputs of another model or version "
                f"({previous.get('model')!r}). {_START_AGAIN}"
            )

    def _write_run(self) -> None:
        write_json(self.folder / _RUN, {**self._run, "names": sorted(self._names)})

    def _read_rows(self) -> dict[str, Row]:
        rows = self._read_scores()
        if rows and tuple(rows[0]) != Row._fields:
            raise self._wrong_columns(rows[0], _START_AGAIN)
        found = (Row(*row) for row in rows[1:] if len(row) == len(Row._fields))
        return {row.file: row for row in found if _is_valid(row.name)}

    def _read_scores(self) -> list[list[str]]:
        path = self.folder / _SCORES
        if not path.exists():
            return []
        with path.open(newline="", **_ENCODING) as file:
            text = file.read()
        whole = text[: text.rfind("\n") + 1]  # The last line may be incomplete.
        try:
            rows = list(csv.reader(io.StringIO(whole, newline="")))
        except csv.Error as error:
            raise ValueError(
                f"--out: {str(path)!r} is not valid CSV ({error}). {_ELSEWHERE}"
            ) from error
        if tuple(rows[0][: len(_SCORES_COLUMNS)] if rows else ()) != _SCORES_COLUMNS and text:
            raise self._wrong_columns(rows[0] if rows else [text], _ELSEWHERE)
        return rows

    def _wrong_columns(self, found: list[str], remedy: str) -> ValueError:
        return ValueError(
            f"--out: {str(self.folder / _SCORES)!r} must begin with the columns "
            f"{', '.join(Row._fields)}, got {', '.join(found):.200} instead. {remedy}"
        )

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
                    f"--out: {str(file)!r} has the name of an output, but sk-ssimae predict did "
                    f"not write it. {_ELSEWHERE}"
                )

    def _files(self, names: Iterable[str]) -> Iterator[Path]:
        for name in names:
            yield self.mask_file(name)
            yield self.residual_map_file(name)


def _valid_names(names: Any) -> set[str]:
    """Keep only names that stay inside the folder: the file may have been edited by hand."""
    if not isinstance(names, list | set):
        return set()
    return {name for name in names if isinstance(name, str) and _is_valid(name)}


def _is_valid(name: str) -> bool:
    return name != "" and Path(name).name == name and "\0" not in name
