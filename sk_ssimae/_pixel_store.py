"""Pixels of training images: in memory up to a limit, and beyond it in a temporary file."""

import math
import mmap
import os
import tempfile
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

#: Share of the memory of the machine, or container, that "auto" fills.
SHARE = 0.25
# Where the size of the memory is unknown.
_ASSUMED_MEMORY = 8 * 2**30
_LIMITS_OF_CONTAINERS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


class PixelStore:
    """Keep arrays in memory, or in a temporary file that is mapped into memory: a context manager.

    The operating system reads the parts of the file that are needed and drops others when memory is
    short. The file has no name, or is removed with the last array: nothing is left of it, even
    after a kill. Arrays stay valid after the context.

    Parameters
    ----------
    in_memory : bool or "auto"
        Whether all arrays are kept in memory; "auto" keeps a quarter of the memory full, and the
        others in the file. It lies in the folder for temporary files, see
        :func:`tempfile.gettempdir`.
    """

    def __init__(self, in_memory: bool | Literal["auto"]) -> None:
        limits = {True: math.inf, False: 0.0}
        self._limit = SHARE * total_memory() if in_memory == "auto" else limits[bool(in_memory)]
        self._sizes: dict[int, int] = {}
        self._n_bytes = 0
        self._file: Any = None
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()  # Arrays in it stay mapped.

    def keep(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return an array itself, or its equal in the file.

        Raises
        ------
        OSError
            If the file cannot be written, because the disk is full for example.
        """
        if self._n_bytes + pixels.nbytes <= self._limit:
            self._sizes[id(pixels)] = pixels.nbytes
            self._n_bytes += pixels.nbytes
            return pixels
        try:
            return self._write(pixels)
        except OSError as error:
            raise OSError(
                error.errno,
                f"the pixels of the images do not fit into images_in_memory={self._limit:.3g} "
                f"bytes, nor into a temporary file in {tempfile.gettempdir()!r}: "
                f"{error.strerror}. Set the environment variable TMPDIR to a folder on a larger "
                "disk, or images_in_memory=True",
            ) from error

    def let_go(self, pixels: NDArray[Any]) -> None:
        """Tell that an array that was kept is no longer needed."""
        self._n_bytes -= self._sizes.pop(id(pixels), 0)

    def _write(self, pixels: NDArray[Any]) -> NDArray[Any]:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="sk_ssimae-")  # noqa: SIM115  # for long
        start = -(-self._end // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        self._file.seek(start)
        self._file.write(np.ascontiguousarray(pixels).data)
        self._file.flush()
        self._end = start + pixels.nbytes
        part = mmap.mmap(self._file.fileno(), pixels.nbytes, offset=start, access=mmap.ACCESS_READ)
        # Not of the mmap itself: joblib would look for the name of its file.
        return np.frombuffer(memoryview(part), dtype=pixels.dtype).reshape(pixels.shape)


def total_memory() -> int:
    """Return the memory of the machine in bytes, or that of its container if that is less."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # On Windows.
        total = _ASSUMED_MEMORY
    for path in _LIMITS_OF_CONTAINERS:
        try:
            total = min(total, int(path.read_text()))
        except (OSError, ValueError):  # There is no such file, or it contains "max".
            continue
    return total
