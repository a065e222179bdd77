"""Contents of an output folder, so that an interrupted run can resume."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sk_ssimae.cli._files import as_json, identity
from sk_ssimae.cli._folder import OutputFolder
from sk_ssimae.cli._outputs import PARTS, RUN, RUN_KEYS, SUFFIXES_OF_PARTS, is_run
from sk_ssimae.cli._regions import ImageRegions, is_merged, merge_regions, read_regions
from sk_ssimae.cli._rows import ImageState, Row, from_csv, to_csv
from sk_ssimae.cli._text import one_line

SCORES, REGIONS = "scores.csv", "regions.csv"
_SCALE = "residual_maps/scale.json"
# The regions of all images, written at the end of each run.
MERGED = ("coco.json", REGIONS)
# These identify our own scores.csv, in any version.
_SCORES_COLUMNS = ("file", "name", "score")
_ELSEWHERE = "Choose another folder, or move it away."
_START_AGAIN = "Choose another folder, or use --overwrite to start again."


class Ledger:
    """The outputs of `predict` in a folder, and which of them are complete.

    The folder must be locked, see `lock_folder`.

    Parameters
    ----------
    folder : path
        Output folder.
    run : dict
        Everything that the outputs depend on, as JSON values, with the scale of the residual maps
        under ``"residual_maps"``.
    overlays : bool
        Whether outputs of an image include an overlay.
    overwrite : bool
        Delete the outputs of earlier runs, whatever their model.

    Raises
    ------
    OSError
        If the folder contains outputs of another model, or links or files of other origin in their
        place.
    ValueError
        If its run.json, scores.csv, regions.csv or coco.json was not written by `predict`.
    """

    def __init__(
        self,
        folder: Path,
        run: dict[str, Any],
        *,
        overlays: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.folder, self._run = folder, run
        self._parts = [part for part in PARTS if overlays or part != "overlays"]
        self._out = OutputFolder(folder)
        self._rows: dict[str, Row] = {}
        # Names of all outputs that may exist. Some have no row if a run was killed.
        self._names: set[str] = set()
        self._out.check((RUN, SCORES, _SCALE, *MERGED))
        self._out.check(f"{part}/any" for part in PARTS)
        if any(self._out.exists(part) for part in (RUN, SCORES, *MERGED, *PARTS)):
            previous = self._read_run()
            self._check_merged()
            self._names = _valid_names(previous.get("names", []))
            changed = self._changed(previous)
            # Of a run that completed no image, such as one with a wrong --roi, nothing is kept.
            if overwrite or (changed and not self._has_results()):
                self._remove_outputs()
            elif changed:
                raise self._of_another_run(previous, changed)
            else:
                self._rows = self._read_rows()
                self._names |= {row.name for row in self._rows.values()}
            self._out.remove_temporaries(PARTS)
        # Written first, so that outputs never exist without it.
        self._write_run(self._names)
        for part in self._parts:
            self._out.make_subfolder(part)
        self._out.write(_SCALE, as_json(run["residual_maps"]))

    @property
    def names(self) -> dict[str, str]:
        """Names of images, by absolute path."""
        return {row.file: row.name for row in self._rows.values()}

    def complete(self, image: Path) -> Row | None:
        """Return the row of an image, or None if an output is missing or the image has changed."""
        row = self._rows.get(identity(image))
        if row is None or row.error:
            return None
        try:
            read = ImageState(row.target, row.bytes, row.modified_ns)
            same = ImageState.of(image) == read
        except OSError:
            return None
        files = files_of([row.name], self._parts)
        return row if same and all(map(self._out.is_file, files)) else None

    def begin(self, todo: Mapping[str, str]) -> None:
        """Remove outputs and rows of the images to be computed, and outputs without a row.

        A run that was killed may leave outputs without a row.

        Parameters
        ----------
        todo : mapping of str to str
            Names of the images, by absolute path.

        Raises
        ------
        OSError
            If a file that `predict` did not write, or a link, has the name of an output.
        """
        for file in todo:
            self._rows.pop(file, None)
        self._out.write(SCORES, to_csv(self._rows.values(), header=True))
        kept = {row.name for row in self._rows.values()}
        self._out.remove([*files_of(self._names - kept), *MERGED])
        self._check_free(todo.values())  # Any file still there is not ours.
        self._names = kept.union(todo.values())
        self._write_run(self._names)

    def write(self, name: str, contents: Mapping[str, bytes]) -> None:
        """Write the files of an image, by their subfolders."""
        for part, content in contents.items():
            self._out.write(_file(name, part), content)

    def append(self, row: Row) -> None:
        """Append a row. A row that was not written completely is ignored by the next run."""
        self._out.append(SCORES, to_csv([row]))
        self._rows[row.file] = row

    def merge_regions(self) -> list[str]:
        """Write the regions of all complete images to one file for each format.

        Returns
        -------
        list of str
            Names of images of earlier runs whose regions are missing or were changed.
        """
        names = [row.name for row in self._rows.values() if not row.error]
        found = {name: self._read_regions(name) for name in names}
        complete = (regions for regions in found.values() if regions is not None)
        for file, content in zip(MERGED, merge_regions(complete), strict=True):
            self._out.write(file, content)
        return [name for name, regions in found.items() if regions is None]

    def _read_regions(self, name: str) -> ImageRegions | None:
        file = _file(name, "regions")
        try:
            return read_regions(self._out.read(file)) if self._out.is_file(file) else None
        except ValueError:
            return None

    def _check_merged(self) -> None:
        for file in MERGED:
            if self._out.exists(file) and not is_merged(self._out.read(file)):
                raise ValueError(
                    f"--out: {str(self.folder / file)!r} was not written by sk-ssimae predict. "
                    f"{_ELSEWHERE}"
                )

    def _read_run(self) -> dict[str, Any]:
        """Read run.json, which proves that the outputs in the folder are ours."""
        path = self.folder / RUN
        try:
            previous = json.loads(self._out.read(RUN))
        except FileNotFoundError:
            raise FileExistsError(
                f"--out: {str(self.folder)!r} contains {self._name_outputs()} but no {RUN}: "
                "sk-ssimae predict did not write them. Choose another folder, or move them away."
            ) from None
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"--out: {str(path)!r} is not valid JSON ({one_line(error)}). {_ELSEWHERE}"
            ) from error
        if not is_run(previous):
            raise ValueError(
                f"--out: {str(path)!r} was not written by sk-ssimae predict: it is not a JSON "
                f"object with {', '.join(sorted(RUN_KEYS))}. {_ELSEWHERE}"
            )
        return previous

    def _name_outputs(self) -> str:
        outputs = (*PARTS, SCORES, *MERGED)
        return ", ".join(output for output in outputs if self._out.exists(output))

    def _changed(self, previous: dict[str, Any]) -> set[str]:
        """Return the names of the entries of run.json that differ from those of an earlier run."""
        names = previous.keys() | self._run.keys()
        # Only the content of the model counts: it may have been renamed or moved.
        changed = {name for name in names if previous.get(name) != self._run.get(name)}
        return changed - {"model", "names"}

    def _has_results(self) -> bool:
        columns, *rows = self._read_scores() or [[]]
        if any(not dict(zip(columns, row, strict=False)).get("error") for row in rows):
            return True
        # scores.csv may have been moved away.
        return any(map(self._out.exists, files_of(self._names)))

    def _of_another_run(self, previous: dict[str, Any], changed: set[str]) -> FileExistsError:
        others = f"another model, threshold or version ({previous.get('model')!r})"
        if "threshold" in changed and changed <= {"threshold", "promise", "residual_maps"}:
            others = f"another threshold, {previous['threshold']!r}"
        if changed <= {"roi", "roi_sha256"}:
            others = f"another region of interest (--roi {previous.get('roi')!r})"
        return FileExistsError(
            f"--out: {str(self.folder)!r} contains outputs of {others}. {_START_AGAIN}"
        )

    def _write_run(self, names: Iterable[str]) -> None:
        """Write run.json with names of outputs that may exist, at least of those without a row."""
        self._out.write(RUN, as_json({**self._run, "names": sorted(names)}))

    def _read_rows(self) -> dict[str, Row]:
        rows = self._read_scores()
        if rows and rows[0] and tuple(rows[0]) != Row._fields:
            raise self._wrong_columns(rows[0], _START_AGAIN)
        found = (Row(*row) for row in rows[1:])
        return {row.file: row for row in found if _is_valid(row.name)}

    def _read_scores(self) -> list[list[str]]:
        if not self._out.exists(SCORES):
            return []
        content = self._out.read(SCORES)
        try:
            rows = from_csv(content)
        except csv.Error as error:
            raise ValueError(
                f"--out: {str(self.folder / SCORES)!r} is not valid CSV ({error}). {_ELSEWHERE}"
            ) from error
        if content and tuple(rows[0][: len(_SCORES_COLUMNS)]) != _SCORES_COLUMNS:
            raise self._wrong_columns(rows[0] or [repr(content)], _ELSEWHERE)
        return rows

    def _wrong_columns(self, found: list[str], remedy: str) -> ValueError:
        return ValueError(
            f"--out: {str(self.folder / SCORES)!r} must begin with the columns "
            f"{', '.join(Row._fields)}, got {', '.join(found):.200} instead. {remedy}"
        )

    def _remove_outputs(self) -> None:
        names = {row[1] for row in self._read_scores()[1:]}
        self._out.remove([*files_of(self._names | _valid_names(names)), SCORES, *MERGED])
        self._names = set()

    def _check_free(self, names: Iterable[str]) -> None:
        for file in files_of(names):
            if self._out.exists(file):
                raise FileExistsError(
                    f"--out: {str(self.folder / file)!r} has the name of an output, but sk-ssimae "
                    f"predict did not write it. {_ELSEWHERE}"
                )


def _file(name: str, part: str) -> str:
    return f"{part}/{name}{SUFFIXES_OF_PARTS[part]}"


def files_of(names: Iterable[str], parts: Iterable[str] = PARTS) -> Iterator[str]:
    """Yield the files of outputs by their names."""
    return (_file(name, part) for name in names for part in parts)


def _valid_names(names: Any) -> set[str]:
    """Keep only names that stay inside the folder: the file may have been edited by hand."""
    if not isinstance(names, list | set):
        return set()
    return {name for name in names if isinstance(name, str) and _is_valid(name)}


def _is_valid(name: str) -> bool:
    return name != "" and Path(name).name == name and "\0" not in name
