"""Refuse requests that pages of other sites send through a browser on this machine."""

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_N_SHOWN = 100  # Characters of a header.


class Guard:
    """ASGI application that checks where a request comes from, before another one answers it.

    A browser sends the requests of any page, and two headers tell them apart. ``Host`` is the name
    by which the server was reached. A page whose own name is made to lead here (DNS rebinding)
    could read answers, so names must be known; IP addresses and localhost cannot be rebound.
    ``Origin`` is the site of the page, and programs send none. A page of another site could not
    read answers, but fill the queue.

    Parameters
    ----------
    application : ASGI application
        It answers the requests that are not refused.
    host : str
        Address or name that the server listens on.
    allowed : collection of str
        Further names of this server. Pages of these hosts may send requests.
    """

    def __init__(self, application: ASGIApp, host: str, allowed: Collection[str]) -> None:
        self._application = application
        self._allowed = {name.lower() for name in allowed}
        self._names = {"localhost", host.lower(), *self._allowed}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        application = self._application
        if not self._is_known(_host(host)):
            application = _refusal(
                f"The header Host must be an IP address, localhost or a name of this server, got "
                f"{host[:_N_SHOWN]!r} instead. Use its IP address, or serve with --allowed-host."
            )
        elif origin is not None and not self._is_own(origin, host):
            application = _refusal(
                f"A page of {origin[:_N_SHOWN]!r} must not send requests here. Use the page of "
                "this server or a program, or serve with --allowed-host."
            )
        await application(scope, receive, send)

    def _is_known(self, name: str) -> bool:
        return name in self._names or _is_ip_address(name)

    def _is_own(self, origin: str, host: str) -> bool:
        scheme, _, authority = origin.partition("://")
        if scheme not in ("http", "https"):
            return False
        return authority.lower() == host.lower() or _host(authority) in self._allowed


def check_names(allowed: Collection[str]) -> None:
    """Refuse a value of ``--allowed-host`` that is not the name of a host.

    Raises
    ------
    ValueError
        If there is one.
    """
    for name in allowed:
        if not _NAME.fullmatch(name.lower()):
            raise ValueError(
                "--allowed-host must be the name of a host, without scheme and port, such as "
                f"line-3.example.com, got {name!r} instead."
            )


def _host(authority: str) -> str:
    """Return the host of ``host:port`` in lower case, or an empty text."""
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:  # Such as an invalid IPv6 address.
        return ""


def _is_ip_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _refusal(text: str) -> JSONResponse:
    return JSONResponse({"error": text}, 403)
