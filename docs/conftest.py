"""Run the examples of the pages in an empty folder, because they write files."""

import pytest


@pytest.fixture(autouse=True)
def _run_in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
