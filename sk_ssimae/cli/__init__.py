"""The command line: from a folder of images to masks, scores and a report."""

import sys

from sk_ssimae._extras import install_hint
from sk_ssimae.cli._signals import exit_on_signals

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with one of the codes that `sk-ssimae --help` lists."""
    exit_on_signals()
    try:
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ImportError as error:
        sys.exit(f"error: The command line needs typer and rich ({error}). {install_hint('cli')}")
    from sk_ssimae.cli._app import app

    app(prog_name="sk-ssimae")
