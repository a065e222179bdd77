"""The image of a request: its body, or a file of a form."""

import asyncio
from collections.abc import AsyncGenerator

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from sk_ssimae.cli.serve._errors import RequestError

_SECONDS = 60.0  # To receive an image; it holds a place in the queue meanwhile.
_HOW = "Send the content of one image file as the body, or as a file of a multipart form."


async def read_image_content(request: Request, max_bytes: int) -> bytes:
    """Return the content of the image file that a request contains.

    Raises
    ------
    RequestError
        If it contains none or several, is too long, or takes too long to arrive.
    """
    try:
        async with asyncio.timeout(_SECONDS):
            body = await _read_body(request, max_bytes)
    except TimeoutError:
        raise RequestError(
            408, f"The image did not arrive within {_SECONDS:.0f} s. Send it again."
        ) from None
    except ClientDisconnect:
        raise RequestError(400, "The connection ended before the image had arrived.") from None
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        body = await _read_form(request, body)
    if not body:
        raise RequestError(400, f"The request contains no image. {_HOW}")
    return body


async def _read_body(request: Request, max_bytes: int) -> bytes:
    too_long = RequestError(
        413,
        f"The request must have at most {max_bytes} bytes. Compress the image without loss, as PNG "
        "does, or serve with a larger --max-bytes.",
    )
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise too_long
    body = bytearray()
    async for part in request.stream():  # A request in parts declares no length.
        body += part
        if len(body) > max_bytes:
            raise too_long
    return bytes(body)


async def _read_form(request: Request, body: bytes) -> bytes:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        form = await MultiPartParser(request.headers, stream(), max_files=1).parse()
    except (MultiPartException, KeyError) as error:
        # KeyError: without a boundary.
        raise RequestError(400, f"The form cannot be read ({error}). {_HOW}") from error
    try:
        for _, part in form.multi_items():
            if isinstance(part, UploadFile):
                return await part.read()
    finally:
        await form.close()
    return b""
