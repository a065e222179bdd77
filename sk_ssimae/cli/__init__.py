"""The command line: from a folder of images to masks, scores and a report."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with one of the codes that `sk-ssimae --help` lists."""
    try:
        import filelock  # noqa: F401
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ImportError as error:
        sys.exit(
            f'error: The command line needs typer, rich and filelock ({error}): pip install "sk-ssimae[cli]".'
        )
    from sk_ssimae.cli._app import app

    app(prog_name="sk-ssimae")
