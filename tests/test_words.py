"""The documents and the sources use the project's vocabulary."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WORDS = tomllib.loads((Path(__file__).parent / "words_to_avoid.toml").read_text())
FOLDERS = {
    "sk_ssimae": ".py",
    "docs": ".rst",
    "examples": ".py",
    "benchmarks": ".py",
    "tests": ".py",
}
GENERATED = ("_build", "auto_examples", "generated", "sg_execution_times.rst", "__pycache__")
DOCUMENTS = ("README.md", "examples/README.rst", "CONTRIBUTING.md", "CHANGES.md")
# Between two words of one sentence: a space, or a line break with the sign of a comment.
SPACE = r"(?:[ \t]+|[ \t]*\n[ \t]*(?:#:?[ \t]+)?)"

pytestmark = pytest.mark.skipif(
    not (ROOT / ".github").is_dir(), reason="the sdist has no files of the project"
)


def texts() -> list[Path]:
    """List the files that readers of the project see."""
    found = [
        path
        for folder, suffix in FOLDERS.items()
        for path in sorted((ROOT / folder).rglob(f"*{suffix}"))
        if path != Path(__file__) and not set(GENERATED) & set(path.relative_to(ROOT).parts)
    ]
    return [*(ROOT / name for name in DOCUMENTS), *found]


def findings(text: str, words: dict[str, str]) -> Iterator[tuple[int, str, str]]:
    """Yield line, found words and replacement."""
    for pattern, replacement in words.items():
        for match in re.finditer(pattern.replace(" ", SPACE), text, re.IGNORECASE):
            line = 1 + text.count("\n", 0, match.start())
            yield line, " ".join(match[0].split()), replacement


def test_vocabulary():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {words!r}, write: {replacement}"
        for path in texts()
        for line, words, replacement in sorted(findings(path.read_text(), WORDS))
    ]
    assert not found, f"{len(found)} words to avoid:\n" + "\n".join(found)


def test_findings_have_lines_and_cross_line_breaks():
    text = "Noise.\n# It is run\n# again, never per\n# round\n"
    assert list(findings(text, {r"\bagain\b": "once"})) == [(3, "again", "once")]
    assert list(findings(text, {"run again": "rerun"})) == [(2, "run # again", "rerun")]
    assert not list(findings(text, {"per epoch": "a step"}))
