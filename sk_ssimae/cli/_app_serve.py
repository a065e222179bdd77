"""The command that serves a model over HTTP, and its options."""

from typing import Annotated

import typer

from sk_ssimae._extras import install_hint
from sk_ssimae.cli._options import AnyImageRoi, Device, Level, Model, Quiet
from sk_ssimae.cli._terminal import reporting
from sk_ssimae.cli._usage import parse_level


def serve(
    model: Model,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen on. The default serves this machine only; there is no "
            "authentication.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")
    ] = 8000,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Name by which browsers and programs may reach the server, besides its IP "
            "addresses, localhost and --host; repeat it for several. Its pages may send images.",
        ),
    ] = None,
    max_bytes: Annotated[
        int, typer.Option(min=1, help="Largest request in bytes; others are refused with 413.")
    ] = 64 * 2**20,
    queue: Annotated[
        int,
        typer.Option(
            min=0,
            help="Number of images that may wait while one is inspected; others are refused with "
            "503.",
        ),
    ] = 16,
    threshold: Level = None,
    roi: AnyImageRoi = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Serve a model over HTTP: send an image, get the verdict and the regions.

    POST /inspect answers with JSON, ?mask=png with the mask and ?map=tiff with the residual map.
    GET / is a page on which to drop an image, GET /health describes the model. Ctrl-C ends it.
    Requires the serve extra.
    """
    with reporting(quiet) as terminal:
        try:
            import python_multipart  # noqa: F401
            import starlette  # noqa: F401
            import uvicorn  # noqa: F401
        except ImportError as error:
            raise ImportError(
                f"sk-ssimae serve needs starlette, uvicorn and python-multipart ({error}). "
                + install_hint("serve")
            ) from error
        from sk_ssimae.cli._roi import regions_of_any_image
        from sk_ssimae.cli.serve import _serve

        _serve.serve(
            model,
            host=host,
            port=port,
            allowed_hosts=allowed_host or (),
            max_bytes=max_bytes,
            queue=queue,
            threshold=parse_level(threshold),
            device=device,
            regions=regions_of_any_image(roi),
            terminal=terminal,
        )
