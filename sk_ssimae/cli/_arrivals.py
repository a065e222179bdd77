"""Images that arrive in a folder, found by listing it again and again."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Self

from sk_ssimae.cli._files import identity
from sk_ssimae.datasets._listing import SUFFIXES, is_other_suffix


class Version(NamedTuple):
    """Identify the content of a file by size and times: of modification, and of any change."""

    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """Return the version of a file, from its status."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class Arrivals:
    """The complete images of a folder that are not done yet.

    An image is complete if its version was the same at two polls: until then it is taken to be
    written. Polling works on all file systems, network drives included, where notifications of the
    system do not.

    Parameters
    ----------
    folder : path
        The folder. Its subfolders and hidden files are left out.
    is_done : callable
        Called with the absolute path and the status of each image; whether it needs no more work.

    Attributes
    ----------
    other_types : set of str
        Suffixes of images in the folder that cannot be read.
    """

    def __init__(self, folder: Path, is_done: Callable[[str, os.stat_result], bool]) -> None:
        self.folder, self._is_done = folder, is_done
        self._root = identity(folder)
        self.other_types: set[str] = set()
        self._incomplete: dict[str, Version] = {}
        self._failed: dict[str, Version] = {}

    def present(self) -> Iterator[Path]:
        """Yield all images of the folder.

        Raises
        ------
        OSError
            If the folder cannot be listed.
        """
        return (self.folder / entry.name for entry in self._images())

    def poll(self) -> list[Path]:
        """Return the images that are complete and not done, the oldest first.

        Raises
        ------
        OSError
            If the folder cannot be listed.
        """
        ready: list[tuple[int, str]] = []
        incomplete: dict[str, Version] = {}
        failed: dict[str, Version] = {}
        for entry in self._images():
            try:
                status = entry.stat()
            except OSError:  # Deleted since it was listed.
                continue
            version = Version.of(status)
            if self._failed.get(entry.name) == version:
                failed[entry.name] = version
                continue
            if self._is_done(entry.path, status):
                continue
            incomplete[entry.name] = version
            if self._incomplete.get(entry.name) == version:
                ready.append((version.modified_ns, entry.name))
        self._incomplete, self._failed = incomplete, failed
        return [self.folder / name for _, name in sorted(ready)]

    def is_unchanged(self, image: Path) -> bool:
        """Tell whether an image is still as it was at the last poll."""
        try:
            return self._incomplete.get(image.name) == Version.of(image.stat())
        except OSError:
            return False

    def fail(self, image: Path) -> None:
        """Leave an image out until its file changes."""
        self._failed[image.name] = self._incomplete[image.name]

    def _images(self) -> Iterator["os.DirEntry[str]"]:
        with os.scandir(self._root) as entries:
            for entry in entries:
                suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122  # 10 times as fast.
                if entry.name.startswith("."):
                    continue
                if suffix in SUFFIXES and not entry.is_dir():
                    yield entry
                elif is_other_suffix(suffix):
                    self.other_types.add(suffix)
