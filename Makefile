# make demo | test | lint | docs | build.  Each sets up .venv first.

PYTHON ?= python3
# The PyTorch build: any arguments of pip install, for example
#   make test TORCH="torch --index-url <the CPU index named on pytorch.org>"
TORCH ?= torch==2.13.0

BIN := .venv/bin

.PHONY: demo test lint docs build clean

demo: .venv/installed
	$(BIN)/python -m sk_ssimae.cli.demo demo

test: .venv/installed
	$(BIN)/python -m pytest --numprocesses auto

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/installed
	$(BIN)/python -m sphinx -W --keep-going -j auto -b html docs docs/_build/html

build: .venv/installed
	rm -rf dist
	$(BIN)/python -m build

clean:
	rm -rf .venv dist docs/_build docs/api/generated docs/auto_examples docs/sg_execution_times.rst

.venv/installed: pyproject.toml
	$(PYTHON) -c "import sys; assert sys.version_info >= (3, 11), 'Python 3.11 or newer is required: make PYTHON=...'"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install $(TORCH)
	$(BIN)/python -m pip install --editable ".[all]" --group dev
	touch $@
