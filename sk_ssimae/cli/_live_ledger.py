"""Contents of an output folder to which images are added one by one, for hours."""

import os
from collections.abc import Iterable
from pathlib import Path

from sk_ssimae.cli._files import identity, name_image
from sk_ssimae.cli._ledger import MERGED, REGIONS, SCORES, Ledger, files_of
from sk_ssimae.cli._predict import Outputs
from sk_ssimae.cli._regions import to_lines, without_lines
from sk_ssimae.cli._rows import Row, to_csv


class LiveLedger(Ledger):
    """A ledger whose time to add an image does not grow with the number of images.

    Parameters, attributes and errors are those of `Ledger`.
    """

    def resume(self, present: Iterable[Path]) -> None:
        """Remove the unfinished files of a killed run, and the rows of images to compute again.

        Images that were moved away keep their rows and outputs.

        Parameters
        ----------
        present : iterable of path
            Images in the watched folder.
        """
        with_row = (image for image in present if identity(image) in self._rows)
        names = self.names
        stale = [identity(image) for image in with_row if self.complete(image) is None]
        self.begin({file: names[file] for file in stale})
        self._taken = {row.name.casefold() for row in self._rows.values()}

    def is_known(self, file: str, status: os.stat_result) -> bool:
        """Tell whether an image has a row without an error, and its file has not changed since.

        Parameters
        ----------
        file : str
            Absolute path of the image.
        status : os.stat_result
            Status of its file.
        """
        row = self._rows.get(file)
        return (
            row is not None
            and row.bytes == str(status.st_size)
            and row.modified_ns == str(status.st_mtime_ns)
        )

    def follow_regions(self) -> None:
        """Keep only regions.csv of the merged files: coco.json cannot be appended to."""
        self._out.remove(file for file in MERGED if file != REGIONS)

    def take(self, image: Path) -> str:
        """Announce that outputs of an image will be written, and return their name.

        Raises
        ------
        OSError
            If a file that `predict` did not write, or a link, has the name of an output.
        """
        earlier = self._rows.get(identity(image))
        if earlier is not None:
            self._forget(earlier)
        name = name_image(image, self._taken) if earlier is None else earlier.name
        self._taken.add(name.casefold())
        if name not in self._names:
            self._check_free([name])
            self._names.add(name)
        # The names of the other outputs are in scores.csv.
        self._write_run([name])
        return name

    def add(self, outputs: Outputs) -> None:
        """Write the files of an image and the lines of its regions, but not its row."""
        self.write(outputs.row.name, outputs.contents)
        lines = to_lines(outputs.contents["regions"])
        if lines:
            self._out.append(REGIONS, lines)

    def close(self) -> None:
        """List the names of all outputs in run.json, as `predict` does."""
        self._write_run(self._names)

    def _forget(self, row: Row) -> None:
        """Remove the row and the outputs of an image that has changed."""
        del self._rows[row.file]
        self._out.write(SCORES, to_csv(self._rows.values(), header=True))
        if not row.error:
            self._out.write(REGIONS, without_lines(self._out.read(REGIONS), row.file))
            self._out.remove(files_of([row.name]))
