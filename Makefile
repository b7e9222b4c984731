# make demo   convert, verify and load the embedded photographs; a picture and throughput figures
# make test   the test suite          make lint   ruff and mypy
# make bench  the comparison behind docs/performance.md (DATA=folder of JPEGs as an ImageFolder)
# make docs   the manual as HTML      make clean  remove what these made
# Each sets up what it needs in $(VENV).

PYTHON ?= python3
VENV ?= .venv
DATA ?=
export PYTHON VENV

.PHONY: demo test lint bench docs setup setup-dev clean

demo: setup
	$(VENV)/bin/ffprep demo --out demo-out

test: setup-dev
	$(VENV)/bin/python -m pytest

lint: setup-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: setup-dev
	$(VENV)/bin/python benchmarks/loader.py $(if $(DATA),--data $(DATA))

docs: setup-dev
	$(VENV)/bin/python -m pip install -q -e '.[docs]'
	$(VENV)/bin/mkdocs build --strict

setup:
	@scripts/setup.sh run

setup-dev:
	@scripts/setup.sh dev

clean:
	rm -rf build dist site demo-out *.egg-info ffprep/jpeg/_native.so
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
