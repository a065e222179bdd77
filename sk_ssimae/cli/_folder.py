"""An output folder, in which nothing is read, written or deleted through a link."""

import os
import stat
from collections.abc import Iterable
from io import FileIO
from pathlib import Path

from sk_ssimae._atomic import CAREFULLY, naming, remove_temporaries, replace_entry

_REMEDY = "Remove it, or choose another folder."


class OutputFolder:
    """Files in a folder, by names such as ``masks/0.png``.

    Any process might put a link there, for example to replace a file elsewhere. Only the folder
    itself may be a link: the user has chosen it.

    Parameters
    ----------
    path : path
        The folder, which exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self, name: str) -> bool:
        """Return whether there is anything of this name, even a broken link."""
        return os.path.lexists(self.path / name)

    def is_file(self, name: str) -> bool:
        """Return whether there is a regular file of this name that a write would replace."""
        try:
            self.check([name])
        except OSError:
            return False
        return self.exists(name)

    def check(self, names: Iterable[str]) -> None:
        """Refuse links, and everything else that is not a regular file or a folder of files.

        Raises
        ------
        OSError
            If there is such a thing; the message names it.
        """
        for name in names:
            file = self.path / name
            for folder in file.relative_to(self.path).parents:
                self._check_folder(self.path / folder)
            _check_no_link(file)
            if os.path.lexists(file) and not stat.S_ISREG(file.lstat().st_mode):
                raise FileExistsError(f"--out: {str(file)!r} must be a regular file. {_REMEDY}")

    def make_subfolder(self, name: str) -> None:
        """Create a folder unless it exists.

        Raises
        ------
        OSError
            If it cannot be created, or there is a file or a link of that name.
        """
        folder = self.path / name
        self._check_folder(folder)
        folder.mkdir(exist_ok=True)

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises
        ------
        OSError
            If there is none, or it is not a regular file.
        """
        self.check([name])
        path = self.path / name
        with naming(path), _open(path, "r") as file:
            return file.readall()

    def write(self, name: str, content: bytes) -> None:
        """Write a file, or leave the existing one unchanged if that fails.

        Raises
        ------
        OSError
            If it cannot be written, or there is a link or a folder of that name.
        """
        self.check([name])
        replace_entry(self.path / name, content)

    def append(self, name: str, content: bytes) -> None:
        """Append to a file; a part of the content may be written if that fails.

        Raises
        ------
        OSError
            If it cannot be written, or is not a regular file.
        """
        self.check([name])
        path = self.path / name
        with naming(path), _open(path, "a") as file:
            written = 0
            while written < len(content):
                written += file.write(content[written:])
            os.fsync(file.fileno())

    def remove(self, names: Iterable[str]) -> None:
        """Delete files that exist.

        Raises
        ------
        OSError
            If one cannot be deleted, or is not a regular file; then none is deleted.
        """
        names = list(names)
        self.check(names)
        for name in names:
            (self.path / name).unlink(missing_ok=True)

    def remove_temporaries(self, subfolders: Iterable[str]) -> None:
        """Remove the temporary files of killed processes, here and in subfolders."""
        remove_temporaries(self.path)
        for subfolder in subfolders:
            remove_temporaries(self.path / subfolder)

    def _check_folder(self, folder: Path) -> None:
        if folder == self.path:
            return
        _check_no_link(folder)
        if os.path.lexists(folder) and not folder.is_dir():
            raise NotADirectoryError(f"--out: {str(folder)!r} must be a folder. {_REMEDY}")


def _check_no_link(path: Path) -> None:
    # Junctions are links between folders on Windows, which Python knows since 3.12.
    is_junction = getattr(os.path, "isjunction", lambda _: False)
    if path.is_symlink() or is_junction(path):
        raise FileExistsError(
            f"--out: {str(path)!r} is a link, and outputs are never read or written through links. "
            f"{_REMEDY}"
        )


def _open(path: Path, mode: str) -> FileIO:
    """Open a regular file that exists, whatever has happened since it was checked."""
    file = FileIO(path, mode, opener=lambda name, flags: os.open(name, flags | CAREFULLY, 0o666))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise FileExistsError(f"--out: {str(path)!r} must be a regular file. {_REMEDY}")
    return file
