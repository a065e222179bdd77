"""The tests at both ends of what pyproject.toml allows: ``nox --session lowest newest``."""

import os
import shlex

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv"
nox.options.sessions = ["lowest", "newest"]


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """Test with the lowest version of everything that is declared."""
    _test(session, "--resolution", "lowest-direct")


@nox.session
def newest(session: nox.Session) -> None:
    """Test with the newest version of everything."""
    _test(session, "--upgrade")


def _test(session: nox.Session, *resolution: str) -> None:
    if torch := os.environ.get("TORCH"):  # As for make: any arguments that the installer takes.
        session.install(*shlex.split(torch))
    session.install(*resolution, "--editable", ".[all]", "--group", "test")
    session.run("uv", "pip", "freeze", silent=False)
    session.run("python", "-m", "pytest", *session.posargs)
