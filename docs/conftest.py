"""The pages' examples write their files into a folder of their own."""

import pytest


@pytest.fixture(autouse=True)
def _run_in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
