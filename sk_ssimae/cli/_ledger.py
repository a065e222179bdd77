"""What a folder of predictions holds, so that a run that was cut short can go on."""

import contextlib
import csv
import io
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from sk_ssimae.cli._files import identity, replace_file

_RUN, _SCORES = "run.json", "scores.csv"
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
    error: str = ""


class Ledger:
    """The outputs of `predict` in a folder, and which of them are complete.

    Parameters
    ----------
    folder : path
        Made if it does not exist.
    run : dict
        What the outputs depend on, for JSON.
    overwrite : bool
        Remove what a former run has left, whatever its model.

    Raises
    ------
    FileExistsError
        If the folder holds outputs of another model.
    ValueError
        If its run.json or scores.csv is not one of ours.
    """

    def __init__(self, folder: Path, run: dict[str, Any], *, overwrite: bool = False) -> None:
        self.folder, self._run = folder, run
        self._rows: dict[str, Row] = {}
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(f"--out must name a folder, got the file {str(folder)!r}.")
        if overwrite:
            self._remove_outputs()
        elif self._is_begun():
            self._check_run()
            self._rows = self._read()
        for part in ("masks", "residual_maps"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        replace_file(folder / _RUN, (json.dumps(run, indent=2) + "\n").encode())

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
        """Give the row of an image whose outputs are there and no older than itself, or None."""
        row = self._rows.get(identity(image))
        if row is None or row.error:
            return None
        try:
            made = [
                path.stat().st_mtime_ns
                for path in (self.mask_file(row.name), self.residual_map_file(row.name))
            ]
            return row if min(made) >= image.stat().st_mtime_ns else None
        except OSError:
            return None

    def begin(self, todo: list[Path]) -> None:
        """Write the rows that stay: all but those of the images to be computed."""
        for image in todo:
            self._rows.pop(identity(image), None)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([Row._fields, *self._rows.values()])
        replace_file(self.folder / _SCORES, text.getvalue().encode(**_ENCODING))

    def append(self, row: Row) -> None:
        """Add a row; when it is cut short it is ignored the next time."""
        with (self.folder / _SCORES).open("a", newline="", **_ENCODING) as file:
            csv.writer(file, lineterminator="\n").writerow(row)
            file.flush()
            os.fsync(file.fileno())
        self._rows[row.file] = row

    def _is_begun(self) -> bool:
        parts = (_RUN, _SCORES, "masks", "residual_maps")
        return any((self.folder / part).exists() for part in parts)

    def _check_run(self) -> None:
        path = self.folder / _RUN
        remedy = "Choose another folder, or --overwrite to begin anew."
        try:
            former = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise FileExistsError(
                f"--out: {str(self.folder)!r} holds masks, residual_maps or {_SCORES} but no "
                f"{_RUN} that says which model they are of. {remedy}"
            ) from None
        except ValueError as error:
            raise ValueError(f"--out: {str(path)!r} is not JSON ({error}). {remedy}") from error
        # The file may have been renamed or moved since: its content counts.
        if {**former, "model": None} != {**self._run, "model": None}:
            raise FileExistsError(
                f"--out: {str(self.folder)!r} holds outputs of another model or version, of "
                f"{former.get('model')!r}. {remedy}"
            )

    def _read(self) -> dict[str, Row]:
        path = self.folder / _SCORES
        if not path.exists():
            return {}
        with path.open(newline="", **_ENCODING) as file:
            text = file.read()
        whole = text[: text.rfind("\n") + 1]  # The last line may have been cut short.
        header, *rows = csv.reader(io.StringIO(whole, newline="")) if whole else [Row._fields]
        if tuple(header) != Row._fields:
            raise ValueError(
                f"--out: {str(path)!r} must begin with the columns {', '.join(Row._fields)}, got "
                f"{', '.join(header):.200} instead. Choose another folder, or --overwrite."
            )
        found = (Row(*row) for row in rows if len(row) == len(Row._fields))
        # A name edited by hand must not lead out of the folder.
        return {row.file: row for row in found if row.name and Path(row.name).name == row.name}

    def _remove_outputs(self) -> None:
        with contextlib.suppress(ValueError):
            for row in self._read().values():
                self.mask_file(row.name).unlink(missing_ok=True)
                self.residual_map_file(row.name).unlink(missing_ok=True)
        (self.folder / _SCORES).unlink(missing_ok=True)
