"""Files of the project that repeat a fact must agree."""

import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

import sk_ssimae

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    not (ROOT / ".github").is_dir(), reason="the sdist has no files of the project"
)


def read_toml(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / name).read_text())


def read_yaml(name: str) -> dict[Any, Any]:
    return yaml.safe_load((ROOT / name).read_text())


def test_citation_has_the_packages_version():
    citation = read_yaml("CITATION.cff")
    assert citation["version"] == sk_ssimae.__version__
    is_release = re.fullmatch(r"\d+\.\d+\.\d+", sk_ssimae.__version__) is not None
    assert isinstance(citation.get("date-released"), date) == is_release


def test_changes_begin_with_the_version():
    citation = read_yaml("CITATION.cff")
    first = re.search(r"^## (.+)$", (ROOT / "CHANGES.md").read_text(), re.MULTILINE)
    assert first is not None
    released = f"{citation['version']} - {citation.get('date-released')}"
    assert first[1] == ("Unreleased" if "dev" in citation["version"] else released)


def test_citation_repeats_the_metadata():
    citation, project = read_yaml("CITATION.cff"), read_toml("pyproject.toml")["project"]
    assert citation["license"] == project["license"]
    assert citation["abstract"] == project["description"]
    assert citation["repository-code"] == project["urls"]["Repository"]
    assert citation["url"] == project["urls"]["Documentation"]
    assert citation["keywords"] == project["keywords"]


def test_readme_cites_the_same_paper():
    paper = read_yaml("CITATION.cff")["preferred-citation"]
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert paper["title"] in readme
    assert paper["url"] in readme
    for author in paper["authors"]:
        assert author["family-names"] in readme


def test_pre_commit_runs_the_pinned_ruff():
    pins = read_toml("pyproject.toml")["dependency-groups"]["lint"]
    (pinned,) = (pin.removeprefix("ruff==") for pin in pins if pin.startswith("ruff=="))
    (revision,) = (
        repository["rev"]
        for repository in read_yaml(".pre-commit-config.yaml")["repos"]
        if repository["repo"].endswith("/ruff-pre-commit")
    )
    assert revision == f"v{pinned}"


def test_container_copies_the_files_that_the_build_needs():
    lines = (ROOT / "Containerfile").read_text().splitlines()
    copied = {
        name
        for line in lines
        if line.startswith("COPY ") and "--from" not in line
        for name in line.split()[1:-1]
    }
    project = read_toml("pyproject.toml")["project"]
    needed = {"pyproject.toml", "sk_ssimae", project["readme"], *project["license-files"]}
    assert copied == needed
    (extras,) = (line.partition("=")[2] for line in lines if line.startswith("ARG EXTRAS="))
    assert {*extras.split(",")} <= {*project["optional-dependencies"]}


def test_container_runs_the_command_as_a_user_without_rights():
    lines = (ROOT / "Containerfile").read_text().splitlines()
    (script,) = read_toml("pyproject.toml")["project"]["scripts"]
    assert f'ENTRYPOINT ["{script}"]' in lines
    (user,) = (line.removeprefix("USER ") for line in lines if line.startswith("USER "))
    assert user.split(":")[0] not in ("0", "root")
    assert "://" not in "".join(lines)  # The index of PyTorch is an argument.


def test_workflow_covers_the_lowest_python_and_newer_ones():
    requirement = read_toml("pyproject.toml")["project"]["requires-python"]
    jobs = read_yaml(".github/workflows/ci.yml")["jobs"]
    (setup,) = (step for step in jobs["all"]["steps"] if "setup-python" in step.get("uses", ""))
    lowest = setup["with"]["python-version"]
    assert requirement == f">={lowest}"
    newer = jobs["tests"]["strategy"]["matrix"]["python-version"]
    minors = [int(version.removeprefix("3.")) for version in [lowest, *newer]]
    assert minors == list(range(minors[0], minors[0] + len(minors)))


def test_workflow_runs_our_commands_with_the_cpu_build():
    workflow = read_yaml(".github/workflows/ci.yml")
    commands = {step.get("run") for job in workflow["jobs"].values() for step in job["steps"]}
    assert commands == {None, "bash .ci/run", "make test"}
    assert re.search(r"^TORCH \?=", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert workflow["env"]["TORCH"].startswith("torch --index-url ")


def test_tools_check_for_the_lowest_python():
    pyproject = read_toml("pyproject.toml")
    lowest = pyproject["project"]["requires-python"].removeprefix(">=")
    assert pyproject["tool"]["mypy"]["python_version"] == lowest
    assert pyproject["tool"]["ruff"]["target-version"] == f"py{lowest.replace('.', '')}"


def test_every_benchmark_is_listed():
    scripts = {path.name for path in (ROOT / "benchmarks").glob("[!_]*.py")}
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert {*re.findall(r"^    python benchmarks/(\S+)", text, re.MULTILINE)} == scripts
