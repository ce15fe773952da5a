# make          lists the commands
# FILE=path     what `make review` reviews (a file or a folder; default: examples/review)
PYTHON ?= python3
FILE ?= examples/review
MINUTES ?= 3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help install review test check soak fuzz bench engines screenshots lock clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' Makefile

install: .venv/installed ## create .venv with all that the agent needs, pinned by constraints.txt

.venv/installed: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "instrument needs Python 3.11 or newer; try: make PYTHON=python3.11 install")'
	$(PYTHON) -m venv .venv
	$(PIP) --require-hashes -r constraints.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/installed-dev: .venv/installed constraints-dev.txt
	$(PIP) --require-hashes -r constraints-dev.txt
	@touch $@

review: install ## run the reference agent on FILE and watch it work
	$(BIN)/python -m agent review $(FILE)

test: .venv/installed-dev ## run the test suite
	$(BIN)/python -m pytest -n 2

check: .venv/installed-dev ## lint, format check and strict types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

soak: .venv/installed-dev ## all faults at random for MINUTES from SEED, and what was made reconciled with what is on disk
	$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

fuzz: .venv/installed-dev ## hostile bytes and objects for reader and capture: new ones in every run
	HYPOTHESIS_PROFILE=explore $(BIN)/python -m pytest tests/test_fuzz.py tests/test_capture.py tests/test_sampling.py

bench: install ## cost of a decorated call beside the floor and installed peers; stalls, start, memory beside limits; export
	$(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m benchmarks.limits
	$(BIN)/python -m benchmarks.otlp

engines: ## install Phoenix, MLflow and rotel into .engines (1.3 GB), for the tests that show the agent's run in them
	tests/engines/install.sh

screenshots: .venv/installed-dev ## draw the README's pictures of terminal and page anew (needs Chromium)
	$(BIN)/python docs/picture.py
	$(BIN)/python docs/screenshots.py

lock: ## renew both constraints files (needs uv)
	mkdir -p build && printf 'hatchling\neditables\n' > build/tools.in
	$(LOCK) --extra agent pyproject.toml build/tools.in -o constraints.txt
	$(LOCK) --extra dev -c constraints.txt pyproject.toml build/tools.in -o constraints-dev.txt

clean: ## remove what the commands made
	rm -rf .venv .engines .instrument .pytest_cache .mypy_cache .ruff_cache .hypothesis
