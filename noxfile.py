"""Test with the lowest and the newest allowed dependencies: ``nox -s lowest newest``."""

import os
import shlex

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv"


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """Test with the lowest declared version of each dependency."""
    # Old releases warn about newer ones, for example matplotlib 3.8 about pyparsing 3.3.
    _test(session, ["--resolution", "lowest-direct"], ["-W", "ignore::DeprecationWarning"])


@nox.session
def newest(session: nox.Session) -> None:
    """Test with the newest version of each dependency."""
    _test(session, [], [])


def _test(session: nox.Session, resolution: list[str], options: list[str]) -> None:
    # As for make: any arguments of the installer, which then keeps a version that fits.
    if torch := os.environ.get("TORCH"):
        session.install(*shlex.split(torch))
    session.install(*resolution, "--editable", ".[all]", "--group", "test")
    session.run("uv", "pip", "freeze", external=True)
    session.run("python", "-m", "pytest", *options, *session.posargs)
