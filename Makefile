# make demo     convert, verify and load the embedded photographs; a picture and throughput figures
# make test     the test suite, with the same examples every time (JOBS: processes, 2 unless told otherwise)
# make explore  the property tests with new examples, ten times as many (ARGS: pytest's)
# make fuzz     damaged JPEGs, files and archives for TIME seconds (600; a day is 86400), under sanitizers
# make kernels  the kernels' machine code, brought up to date, so that no first start compiles them (make test does it, too)
# make lint     what can be said without running: style, types, spelling, docstrings, the architecture
# make bench    beside every peer, as in docs/comparison.md: PARTS="images decoding", QUICK=1, DATA=folder of JPEGs as an
#               ImageFolder, OUT=folder of results, NAME=what they are called by
# make bench-loader  ffprep's forms beside stock ffcv and torch, as in docs/performance.md
# make docs     the manual as HTML, in site/; a broken link or reference ends it
# make clean    remove what these made
# make test-oldest, make test-newest    the tests with the oldest and the newest versions of what ffprep needs (ARGS)
# Each sets up what it needs in $(VENV); the last two in environments of their own.

PYTHON ?= python3
VENV ?= .venv
DATA ?=
PARTS ?=
QUICK ?=
OUT ?=
NAME ?=
ARGS ?=
JOBS ?= 2
TIME ?= 600
KERNELS = $(VENV)/bin/python scripts/build_kernels.py --if-stale --inplace
export PYTHON VENV

.PHONY: demo test kernels explore fuzz test-oldest test-newest lint bench bench-loader docs setup setup-dev clean

demo: setup
	$(VENV)/bin/ffprep demo --out demo-out

test: setup-dev
	-$(KERNELS)
	PYTHONHASHSEED=0 $(VENV)/bin/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

kernels: setup-dev
	$(KERNELS)

explore: setup-dev
	$(VENV)/bin/python -m pytest --hypothesis-profile=explore -m hypothesis $(ARGS)

fuzz: setup-dev
	$(VENV)/bin/python scripts/fuzz.py --seconds $(TIME) $(ARGS)

test-oldest test-newest:
	env -u VENV -u PYTHON scripts/test_versions.sh $(@:test-%=%) $(ARGS)

lint: setup-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy tests/typing/right.py tests/typing/wrong.py
	$(VENV)/bin/codespell
	$(VENV)/bin/python -W ignore -m numpydoc lint $(shell find ffprep -name '*.py')
	$(VENV)/bin/clang-format --fallback-style=none --dry-run --Werror $(shell find ffprep tests benchmarks -name '*.[ch]')
	$(VENV)/bin/python scripts/check_architecture.py

bench: setup-dev
	$(VENV)/bin/python benchmarks/side_by_side.py $(PARTS) $(if $(QUICK),--quick) $(if $(DATA),--data $(DATA)) \
		$(if $(OUT),--out $(OUT)) $(if $(NAME),--name $(NAME)) $(ARGS)

bench-loader: setup-dev
	$(VENV)/bin/python benchmarks/loader.py $(if $(DATA),--data $(DATA))

docs: setup-dev
	$(VENV)/bin/python -m pip install -q -e '.[docs]'
	$(VENV)/bin/zensical build --strict --clean

setup:
	@scripts/setup.sh run

setup-dev:
	@scripts/setup.sh dev

clean:
	rm -rf build dist site .cache demo-out machine *.egg-info ffprep/jpeg/_native.so ffprep/kernels/_kernels.so
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
