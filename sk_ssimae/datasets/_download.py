"""Download archives of public data once and keep them unpacked in a folder."""

import contextlib
import io
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from numbers import Integral
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from sk_ssimae._extras import install_hint
from sk_ssimae._validation import first_sentence
from sk_ssimae.datasets._archive import unpack
from sk_ssimae.datasets._listing import as_path

_DIGITS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
_TIMEOUT = 60  # Seconds without a response or a byte.
# For all attempts together: a server that sends a byte now and then never exceeds the other limit.
_MAX_SECONDS = 3600
# The archives of this package have tens of megabytes.
_MAX_BYTES = 2 * 2**30


def fetch_archive(
    name: str,
    required: tuple[str, ...],
    url: str,
    *,
    data_home: str | Path | None,
    download_if_missing: bool,
    known_hash: str | None,
    n_retries: int,
    progress: bool,
) -> Path:
    """Return the folder of an unpacked archive, downloading it if necessary.

    The folder appears complete or not at all: an interrupted download leaves nothing that could be
    mistaken for it.

    Parameters
    ----------
    name : str
        Name of the folder in `data_home`.
    required : tuple of str
        Folders that it must contain. In the archive they may lie in a folder of any name.
    url, data_home, download_if_missing, known_hash, n_retries, progress
        As in :func:`fetch_nanotwice`.

    Returns
    -------
    path
        The folder.

    Raises
    ------
    OSError
        If the folder is missing and is not or cannot be downloaded, the download has more than
        2 GiB or takes more than an hour, or the folder is incomplete.
    ImportError
        If a download needs packages that are not installed.
    ValueError
        If a parameter has the wrong form.
    """
    _check(url, known_hash, n_retries)
    default = os.environ.get("SK_SSIMAE_DATA") or "~/sk_ssimae_data"
    home = as_path(default if data_home is None else data_home, "data_home").expanduser()
    folder = home / name
    if _is_complete(folder, required):
        return folder
    if folder.exists():
        raise OSError(
            f"data_home: the folder {str(folder)!r} must contain {', '.join(required)}, but is "
            "incomplete. Complete it, or remove it to download the data again."
        )
    if not download_if_missing:
        raise OSError(
            f"data_home: the folder {str(folder)!r} does not exist. Pass download_if_missing=True, "
            f"or unpack the data there, so that it contains {', '.join(required)}."
        )
    home.mkdir(parents=True, exist_ok=True)
    # In the same parent folder, so that the complete data can be moved in one step.
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=home) as temporary:
        archive, unpacked = Path(temporary, "archive.zip"), Path(temporary, "unpacked")
        _download(url, archive, folder, known_hash, n_retries, progress)
        unpacked.mkdir()
        unpack(archive, unpacked)
        _move_into_place(_find(unpacked, required, url), folder, required)
    return folder


def _check(url: str, known_hash: str | None, n_retries: int) -> None:
    if not (isinstance(url, str) and url.startswith(("http://", "https://"))):
        raise ValueError(f"url must begin with http:// or https://, got {url!r} instead.")
    if known_hash is not None and not _is_hash(known_hash):
        raise ValueError(
            "known_hash must be None, a SHA-256 in hexadecimal digits, or 'algorithm:digits' with "
            f"md5, sha1, sha256 or sha512, got {known_hash!r} instead."
        )
    if not isinstance(n_retries, Integral) or isinstance(n_retries, bool) or n_retries < 0:
        raise ValueError(f"n_retries must be an integer of at least 0, got {n_retries!r} instead.")


def _is_hash(text: Any) -> bool:
    if not isinstance(text, str):
        return False
    algorithm, _, digits = text.rpartition(":")
    n_digits = _DIGITS.get(algorithm or "sha256")
    return len(digits) == n_digits and re.fullmatch("[0-9a-fA-F]+", digits) is not None


def _is_complete(folder: Path, required: tuple[str, ...]) -> bool:
    return all((folder / name).is_dir() for name in required)


def _download(
    url: str, archive: Path, folder: Path, known_hash: str | None, n_retries: int, progress: bool
) -> None:
    try:
        import pooch

        if progress:
            import tqdm  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"Downloading needs {error.name}. {install_hint('data')} Or download {url} by hand and "
            f"unpack it into {str(folder)!r}."
        ) from error

    deadline = time.monotonic() + _MAX_SECONDS

    def download(url: str, output: str, cache: Any) -> None:
        with contextlib.ExitStack() as stack:

            def close_later(response: Any, **_: Any) -> None:
                stack.callback(response.close)  # pooch leaves it open after an error.

            http = pooch.HTTPDownloader(
                progressbar=progress,
                chunk_size=2**16,
                timeout=_TIMEOUT,
                hooks={"response": close_later},
            )
            http(url, stack.enter_context(_LimitedFile(Path(output), deadline)), cache)

    cache = pooch.create(
        archive.parent,
        base_url="",
        registry={archive.name: known_hash},
        urls={archive.name: url},
        retry_if_failed=n_retries,
    )
    try:
        _run_within(_MAX_SECONDS, partial(cache.fetch, archive.name, downloader=download))
    # pooch raises ValueError if the hash differs.
    except (OSError, ValueError) as error:
        raise OSError(
            f"{url} could not be downloaded: {first_sentence(error)} Try again later, pass another "
            f"url, or download it by hand and unpack it into {str(folder)!r}."
        ) from error
    if known_hash is None:
        digits = pooch.file_hash(str(archive))
        pooch.get_logger().info("Pass known_hash='%s' to check the next download.", digits)


class _LimitedFile(io.BufferedWriter):
    """New file that refuses more bytes than allowed, and any after a deadline."""

    def __init__(self, path: Path, deadline: float) -> None:
        super().__init__(io.FileIO(path, "wb"))
        self._deadline = deadline
        self._n_bytes = 0

    def write(self, content: Any) -> int:
        self._n_bytes += len(content)
        if self._n_bytes > _MAX_BYTES:
            raise OSError(f"It has more than {_MAX_BYTES} bytes.")
        if time.monotonic() > self._deadline:
            raise OSError(f"It took more than {_MAX_SECONDS} seconds.")
        return super().write(content)


def _run_within(seconds: float, task: Callable[[], Any]) -> None:
    """Run a task in a thread, and leave the thread behind if it takes longer.

    A thread, because a read from a connection that is waiting for its next byte cannot be ended.
    """
    outcome: SimpleQueue[Exception | None] = SimpleQueue()

    def run() -> None:
        try:
            task()
        except Exception as error:  # Of any type: the waiting thread raises it again.
            outcome.put(error)
        else:
            outcome.put(None)

    threading.Thread(target=run, name="sk_ssimae download", daemon=True).start()
    try:
        error = outcome.get(timeout=seconds)
    except Empty:
        raise OSError(f"It took more than {seconds} seconds.") from None
    if error is not None:
        raise error


def _find(unpacked: Path, required: tuple[str, ...], url: str) -> Path:
    """Find the folder of an unpacked archive that contains the required folders."""
    folders = [unpacked, *sorted(path for path in unpacked.rglob("*") if path.is_dir())]
    for folder in folders:
        # macOS adds a folder __MACOSX of the same layout, without images.
        if "__MACOSX" not in folder.parts and _is_complete(folder, required):
            return folder
    raise OSError(
        f"url: the archive from {url} must contain the folders {', '.join(required)}, but does "
        "not. Pass the url of the right archive."
    )


def _move_into_place(source: Path, folder: Path, required: tuple[str, ...]) -> None:
    try:
        source.rename(folder)
    except OSError:
        # Another process may have been faster.
        if not _is_complete(folder, required):
            raise
