"""Each hint to install an extra names a command of README.md, which exists."""

import re
import tomllib
from pathlib import Path

import pytest

from sk_ssimae._extras import install_hint

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    not (ROOT / ".github").is_dir(), reason="the sdist has no files of the project"
)


def test_hints_are_the_commands_of_the_readme():
    readme = (ROOT / "README.md").read_text()
    for extra in ("plot", "cli"):
        (command,) = re.findall(r'pip install "[^"]*"', install_hint(extra))
        assert f"`{command}`" in readme


def test_all_hints_name_an_extra_and_no_index():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {*extras["optional-dependencies"]}
    for folder, suffix in [("sk_ssimae", "py"), ("docs", "rst"), ("examples", "*")]:
        for path in (ROOT / folder).rglob(f"*.{suffix}"):
            if not path.is_file() or "_build" in path.parts:
                continue
            text = path.read_text(errors="replace")
            # Not found by pip until there is a release.
            assert "pip install sk-ssimae" not in text
            assert not re.findall(r"""pip install ['"]sk-ssimae""", text), path
            assert {*re.findall(r"install_hint\(['\"](\w+)", text)} <= names
            assert {*re.findall(r'pip install "\.\[(\w+)', text)} <= names
