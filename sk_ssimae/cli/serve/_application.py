"""The addresses that are served, and their answers."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from sk_ssimae.cli._overlay import encode_mask
from sk_ssimae.cli._scale import ResidualScale
from sk_ssimae.cli._terminal import Terminal
from sk_ssimae.cli._verdict import describe_verdict
from sk_ssimae.cli.serve._body import read_image_content
from sk_ssimae.cli.serve._drain import Drain
from sk_ssimae.cli.serve._errors import RequestError
from sk_ssimae.cli.serve._guard import Guard
from sk_ssimae.cli.serve._inspector import Inspector, Result
from sk_ssimae.cli.serve._page import render

_KINDS = {"map": "tiff", "mask": "png"}


class Application(Starlette):
    """Answer requests with the results of a model.

    Parameters
    ----------
    inspector : Inspector
        The model.
    facts : dict
        Facts about the model, as JSON values.
    max_bytes : int
        Largest request.
    terminal : Terminal
        Where a line for each image is printed.
    host : str
        Address or name that the server listens on.
    allowed_hosts : collection of str
        Further names of this server.
    """

    def __init__(
        self,
        inspector: Inspector,
        facts: dict[str, Any],
        max_bytes: int,
        terminal: Terminal,
        *,
        host: str,
        allowed_hosts: Collection[str],
    ) -> None:
        self._inspector, self._facts, self._max_bytes = inspector, facts, max_bytes
        self._scale = ResidualScale.of(inspector.segmenter)
        self._terminal = terminal
        self._page = render(facts)
        super().__init__(
            routes=[
                Route("/", self._show_page),
                Route("/health", self._tell_health),
                Route("/inspect", self._inspect, methods=["POST"]),
            ],
            middleware=[Middleware(Drain), Middleware(Guard, host=host, allowed=allowed_hosts)],
            exception_handlers={RequestError: _answer_error, HTTPException: _answer_http_error},
        )

    async def _show_page(self, request: Request) -> Response:
        return HTMLResponse(self._page)

    async def _tell_health(self, request: Request) -> Response:
        requests = self._inspector.n_admitted
        return JSONResponse({"status": "ok", "requests": requests, **self._facts})

    async def _inspect(self, request: Request) -> Response:
        kind = _wanted(request)
        async with self._inspector.place():
            content = await read_image_content(request, self._max_bytes)
            result = await self._inspector.inspect(content, request.is_disconnected)
            self._log(result)
            return await run_in_threadpool(self._answer, result, kind)  # GET /health does not wait.

    def _answer(self, result: Result, kind: str) -> Response:
        found = result.found
        verdict = describe_verdict(found)
        headers = {"X-Verdict": verdict["verdict"], "X-Score": f"{found.score:.9g}"}
        if kind == "mask":
            return Response(encode_mask(found.mask), headers=headers, media_type="image/png")
        if kind == "map":
            content = self._scale.to_tiff(found.residual_map)
            return Response(content, headers=headers, media_type="image/tiff")
        height, width = found.mask.shape
        size = {"height": height, "width": width, "milliseconds": round(result.milliseconds, 1)}
        return JSONResponse({**verdict, **size}, headers=headers)

    def _log(self, result: Result) -> None:
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        verdict = "NG" if result.found.defective else "OK"
        self._terminal.say(
            f"{now}  {verdict}  score {result.found.score:.6g}, {result.milliseconds:.0f} ms"
        )


def _wanted(request: Request) -> str:
    """Return "map" or "mask", or an empty text for the verdict."""
    query = request.query_params
    if len(query.multi_items()) > 1 or any(
        _KINDS.get(key) != value for key, value in query.items()
    ):
        raise RequestError(
            400, f"The query must be map=tiff, mask=png or empty, got {str(query)!r} instead."
        )
    return next(iter(query), "")


async def _answer_error(request: Request, error: Any) -> Response:
    return JSONResponse({"error": str(error)}, error.status, error.headers)


async def _answer_http_error(request: Request, error: Any) -> Response:
    """Answer an unknown address or method."""
    text = f"{error.detail}. There are GET /, GET /health and POST /inspect."
    return JSONResponse({"error": text}, error.status_code, error.headers)
