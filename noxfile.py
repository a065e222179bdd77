"""Tests with the lowest and newest dependencies, and the release; see CONTRIBUTING.md."""

import hashlib
import os
import shlex
import subprocess
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv"
nox.options.sessions = ["lowest", "newest"]
nox.options.error_on_missing_interpreters = False  # They are named in the summary.

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
DIST = Path("dist")


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
    _install_torch(session)
    session.install(*resolution, "--editable", ".[all]", "--group", "test")
    session.run("uv", "pip", "freeze", external=True)
    session.run("python", "-m", "pytest", *options, *session.posargs)


def _install_torch(session: nox.Session) -> None:
    # As for make: any arguments of the installer, which then keeps a version that fits.
    if torch := os.environ.get("TORCH"):
        session.install(*shlex.split(torch))


@nox.session
def release(session: nox.Session) -> None:
    """Build and check the files of a release in `dist`, then try them on each Python."""
    session.install("--group", "release")
    session.run("cffconvert", "--validate")
    with tempfile.TemporaryDirectory() as folder:
        first, second = (_build(session, Path(folder, name)) for name in ("first", "second"))
        for one, other in zip(first, second, strict=True):
            if (one.name, one.read_bytes()) != (other.name, other.read_bytes()):
                session.error(f"Two builds of {one.name} differ. Compare them with diffoscope.")
        DIST.mkdir(exist_ok=True)
        for old in DIST.iterdir():
            old.unlink()
        dist = [built.rename(DIST / built.name) for built in first]
    _check_contents(session, *dist)
    session.run("twine", "check", "--strict", *map(str, dist))
    for built in dist:
        session.log(f"{hashlib.sha256(built.read_bytes()).hexdigest()}  {built}")
    for python in PYTHONS:
        session.notify(f"wheel-{python}")


def _build(session: nox.Session, folder: Path) -> list[Path]:
    """Build the last commit, without files that are not in it."""
    folder.mkdir()
    archive = folder / "commit.tar"
    session.run("git", "archive", f"--output={archive}", "HEAD", external=True)
    with tarfile.open(archive) as tar:
        tar.extractall(folder / "source", filter="data")
    env = {"SOURCE_DATE_EPOCH": _git("log", "-1", "--format=%ct")}
    session.run("python", "-m", "build", f"--outdir={folder}", str(folder / "source"), env=env)
    return [*folder.glob("*.tar.gz"), *folder.glob("*.whl")]


def _check_contents(session: nox.Session, sdist: Path, wheel: Path) -> None:
    """Compare the files of both with those of the last commit."""
    package = {*_git("ls-tree", "-r", "--name-only", "HEAD", "sk_ssimae").splitlines()}
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = {name for name in archive.namelist() if ".dist-info/" not in name}
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    wrong = {*(in_wheel ^ package), *(package - in_sdist)}
    if wrong or "sk_ssimae/py.typed" not in in_wheel:
        session.error(f"Files of the package that are missing, or not committed: {sorted(wrong)}.")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@nox.session(python=PYTHONS)
def wheel(session: nox.Session) -> None:
    """Install the wheel of `dist` into a new environment, with each extra, and try it."""
    wheels = list(DIST.glob("*.whl"))
    if len(wheels) != 1:
        session.error(f"dist must have one wheel, it has {len(wheels)}. Run nox -s release.")
    built = str(wheels[0])
    _install_torch(session)
    session.install(built)
    # -P: not the package in this folder.
    session.run("python", "-P", "tests/try_wheel.py", "without-extras")
    extras = tomllib.loads(Path("pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in extras:
        session.install("--dry-run", f"{built}[{extra}]")
    session.install(f"{built}[cli]")
    session.run("python", "-P", "tests/try_wheel.py", "command-line")
