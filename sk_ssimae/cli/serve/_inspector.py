"""Inspect the content of image files, one at a time, with a queue of limited length."""

import asyncio
import math
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from sk_ssimae._out_of_memory import is_out_of_memory
from sk_ssimae._reading._files import read_shape
from sk_ssimae._reading._stored import TooManyPixelsError
from sk_ssimae.cli._model import Inspection, segment
from sk_ssimae.cli._predict import IMAGE_ERRORS
from sk_ssimae.cli._roi import RegionsOption
from sk_ssimae.cli._text import one_line
from sk_ssimae.cli.serve._errors import RequestError
from sk_ssimae.estimators import BaseSegmenter

_NOT_AN_IMAGE = "cannot be read as an image"  # Part of the errors of the readers.


class Result(NamedTuple):
    """Results for an image, and the milliseconds that it took to compute them."""

    found: Inspection
    milliseconds: float


class Inspector:
    """A model that inspects one image at a time: torch uses all cores for it.

    Parameters
    ----------
    segmenter : BaseSegmenter
        The model, with a threshold.
    regions : RegionsOption
        Inspected pixels of the images.
    queue : int
        Number of images that may wait while another is inspected.
    """

    def __init__(self, segmenter: BaseSegmenter, regions: RegionsOption, queue: int) -> None:
        self.segmenter, self._regions, self._queue = segmenter, regions, queue
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inspect")
        self._turn = asyncio.Lock()
        self._n_admitted = 0
        self._last_seconds = 0.0

    @property
    def n_admitted(self) -> int:
        """Number of requests that wait or are worked on."""
        return self._n_admitted

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place in the queue, from before an image is received until it is answered.

        Raises
        ------
        RequestError
            If the queue is full.
        """
        if self._n_admitted > self._queue:
            seconds = max(1, math.ceil(self._n_admitted * self._last_seconds))
            raise RequestError(
                503,
                f"All places are taken: one image is inspected and {self._queue} may wait. Try "
                f"again after {seconds} s, or serve with a larger --queue.",
                {"Retry-After": str(seconds)},
            )
        self._n_admitted += 1
        try:
            yield
        finally:
            self._n_admitted -= 1

    async def inspect(self, content: bytes, is_gone: Callable[[], Awaitable[bool]]) -> Result:
        """Inspect the content of an image file when its turn comes.

        Parameters
        ----------
        content : bytes
            Content of the file.
        is_gone : callable
            Tells whether the client has closed the connection.

        Raises
        ------
        RequestError
            If it is not an image that suits the model, or nobody waits for the result any more.
        """
        async with self._turn:
            if await is_gone():
                raise RequestError(400, "The connection ended before the image was inspected.")
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._inspect, content)

    def close(self) -> None:
        """End the thread after the image in hand."""
        self._thread.shutdown(cancel_futures=True)

    def _inspect(self, content: bytes) -> Result:
        start = time.perf_counter()
        # As a file, so that the results are those of predict for any kind of image.
        with tempfile.TemporaryDirectory(prefix="sk_ssimae-") as folder:
            image = Path(folder) / "image"
            image.write_bytes(content)
            found = self._segment(image)
        self._last_seconds = time.perf_counter() - start
        return Result(found, 1000 * self._last_seconds)

    def _segment(self, image: Path) -> Inspection:
        try:
            # Before anything is decoded.
            read_shape(image, repr(str(image)), max_pixels=self.segmenter.max_image_pixels)
            found = segment(self.segmenter, image, self._regions.mask(image))
            found.regions  # noqa: B018  # Computed in this thread.
        except IMAGE_ERRORS as error:
            if isinstance(error.__cause__, TooManyPixelsError):
                raise self._too_many_pixels(error.__cause__) from error
            text = one_line(error).replace(repr(str(image)), "The image")
            status = 413 if is_out_of_memory(error) else 415 if _NOT_AN_IMAGE in text else 422
            raise RequestError(status, text) from error
        return found

    def _too_many_pixels(self, error: TooManyPixelsError) -> RequestError:
        return RequestError(
            413,
            f"The image has {error.n_pixels} pixels, more than the "
            f"{self.segmenter.max_image_pixels} of the model's max_image_pixels. Send a smaller "
            "image.",
        )
