"""Verdicts sent to a program on the same machine."""

import http.client
import ipaddress
import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from sk_ssimae.cli._text import one_line

ATTEMPTS = 3
TIMEOUT = 2.0  # Seconds for connecting, and for the answer.
_PAUSE = 0.5  # Seconds between two attempts.
_FORWARD = (
    "To inform another machine, let a program on this one receive the verdicts and send them on."
)


class Webhook:
    """Post verdicts as JSON, and report failures instead of raising them.

    A verdict is posted up to three times. After three failures, later verdicts are posted once,
    until one is accepted, so that a receiver that hangs does not delay every image threefold.

    Parameters
    ----------
    url : str
        Address on this machine, such as ``http://127.0.0.1:9000/verdicts``.
    complain, note : callable
        Called with the text of each failure, and when verdicts are accepted again.

    Raises
    ------
    ValueError
        If the address is not an http address on this machine.
    """

    def __init__(
        self, url: str, complain: Callable[[str], Any], note: Callable[[str], Any]
    ) -> None:
        self._url, self._complain, self._note = url, complain, note
        self._host, self._port, self._target = _parse(url)
        self._n_lost = 0

    def post(self, verdict: dict[str, Any]) -> None:
        """Post a verdict; if that fails, complain and return."""
        body = json.dumps(verdict).encode()
        attempts = 1 if self._n_lost else ATTEMPTS
        reason = ""
        for attempt in range(attempts):
            if attempt:
                time.sleep(_PAUSE)
            reason = self._try(body)
            if not reason:
                if self._n_lost:
                    self._note(f"--webhook: verdicts are accepted again, {self._n_lost} were not.")
                self._n_lost = 0
                return
        self._n_lost += 1
        times = "once" if attempts == 1 else f"{attempts} times"
        self._complain(
            f"--webhook: {verdict['name']!r} was not accepted by {self._url!r}, tried {times} "
            f"({reason}). Its results are in the output folder."
        )

    def _try(self, body: bytes) -> str:
        """Post once and return the reason of a failure, or an empty text."""
        # Neither proxies nor redirections: both might lead to another machine.
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT)
        # The timeout of the connection is that of each read: an answer may arrive byte by byte.
        watchdog = _Watchdog(TIMEOUT, connection)
        try:
            connection.connect()
            watchdog.start()
            connection.request("POST", self._target, body, {"Content-Type": "application/json"})
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return "timed out" if watchdog.has_ended else one_line(error)
        finally:
            watchdog.cancel()
            connection.close()
        return "" if 200 <= status < 300 else f"it answered with status {status}"


class _Watchdog(threading.Timer):
    """Ends a connection after some seconds, even while it is read."""

    def __init__(self, seconds: float, connection: http.client.HTTPConnection) -> None:
        super().__init__(seconds, self._end)
        self.daemon = True
        self._connection = connection
        self.has_ended = False

    def _end(self) -> None:
        self.has_ended = True
        with suppress(OSError, AttributeError):  # It was closed meanwhile.
            self._connection.sock.shutdown(socket.SHUT_RDWR)


def _parse(url: str) -> tuple[str, int, str]:
    """Return host, port, and path with query."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = None, None, None
    if parts is None or parts.scheme != "http" or not host or parts.username is not None:
        raise ValueError(
            "--webhook must be an address such as http://127.0.0.1:9000/verdicts, got "
            f"{url!r} instead."
        )
    if any(character <= " " or character > "~" for character in url):
        raise ValueError(
            f"--webhook must contain neither spaces nor special characters, got {url!r} instead. "
            "Write them as %20, for example."
        )
    if not _is_loopback(host):
        raise ValueError(
            "--webhook must be an address of this machine, with the host 127.0.0.1, ::1 or "
            f"localhost, got {url!r} instead. {_FORWARD}"
        )
    path = parts.path or "/"
    return host, port or 80, f"{path}?{parts.query}" if parts.query else path


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # The name of a machine.
        return False
