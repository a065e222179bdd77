"""Serve a model until a signal ends the command."""

import ipaddress
import socket
from collections.abc import Collection
from pathlib import Path
from typing import Any

import uvicorn

import sk_ssimae
from sk_ssimae.cli._model import load_model, promise
from sk_ssimae.cli._roi import RegionsOption
from sk_ssimae.cli._terminal import Terminal
from sk_ssimae.cli._text import printable
from sk_ssimae.cli.serve._application import Application
from sk_ssimae.cli.serve._guard import check_names
from sk_ssimae.cli.serve._inspector import Inspector
from sk_ssimae.persistence._segmenter import Loaded

_SECONDS_TO_END = 30  # For requests that are being answered.


def serve(
    model: Path,
    *,
    host: str,
    port: int,
    allowed_hosts: Collection[str],
    max_bytes: int,
    queue: int,
    threshold: float | None,
    device: str,
    regions: RegionsOption,
    terminal: Terminal,
) -> None:
    """Serve a model.

    Parameters
    ----------
    model : path
        Model file written by `fit`.
    host : str
        Address to listen on; others than those of this machine are warned about.
    port : int
        Port to listen on; 0 for any free one.
    allowed_hosts : collection of str
        Names by which requests may reach the server, besides `host`, its IP addresses and
        localhost.
    max_bytes : int
        Largest request.
    queue : int
        Number of images that may wait.
    threshold : float or None
        Level of the verdict; None for that of the model.
    device : str
        Device to compute on.
    regions : RegionsOption
        Inspected pixels of the images.
    terminal : Terminal
        Output of the command.

    Raises
    ------
    OSError
        If the address is not one of this machine, or the port is in use.
    ValueError
        If an allowed host is not a name.
    """
    check_names(allowed_hosts)
    loaded = load_model(model, device, threshold)
    inspector = Inspector(loaded.segmenter, regions, queue)
    application = Application(
        inspector,
        _describe(model, loaded),
        max_bytes,
        terminal,
        host=host,
        allowed_hosts=allowed_hosts,
    )
    with _listen(host, port) as listener:
        address = _address(host, listener.getsockname()[1])
        if not _is_loopback(listener.getsockname()[0]):
            terminal.note(
                f"warning: --host {host}: anyone who reaches this machine can use the model. There "
                "is no password and no encryption: let only machines that you trust connect."
            )
        terminal.note(f"Serving {str(model)!r} at {address} . Ctrl-C ends it.")
        config = uvicorn.Config(
            application,
            lifespan="off",
            ws="none",
            log_level="error",  # Requests that are no HTTP are the client's fault.
            access_log=False,
            timeout_graceful_shutdown=_SECONDS_TO_END,
            server_header=False,
        )
        try:
            # Raises the signal again that has ended it.
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            inspector.close()


def _describe(model: Path, loaded: Loaded) -> dict[str, Any]:
    segmenter = loaded.segmenter
    return {
        "model": printable(model.name),
        "sha256": loaded.sha256,
        "segmenter": type(segmenter).__name__,
        "channels": segmenter.n_channels_,
        "threshold": segmenter.threshold_,
        "promise": promise(segmenter),
        "sk_ssimae": sk_ssimae.__version__,
    }


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise OSError(
            f"--host, --port: cannot listen on {host!r}, port {port} ({error.strerror}). Choose "
            "another port, or an address of this machine."
        ) from error


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback
