"""The README's table of results is that of the records."""

import csv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "benchmarks" / "results" / "methods_glance.csv"

pytestmark = pytest.mark.skipif(not RECORDS.exists(), reason="the sdist has no records")


def test_results_of_the_readme_are_those_of_the_records():
    with RECORDS.open(newline="") as file:
        header, *rows = csv.reader(file)
    lines = [header, ["---"] * len(header), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    # To update it, copy the table from the message.
    assert table in (ROOT / "README.md").read_text(), table
