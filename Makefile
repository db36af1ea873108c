# Two commands do everything on a fresh machine: `make demo` and `make test`.

PYTHON ?= python3
PORT ?= 8080
STORAGE ?= memory
ROUNDS ?= 1000
BENCH ?=

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CODE := aiohttp_sess benchmarks demo tests

.DEFAULT_GOAL := help
.PHONY: help demo test soak bench lint fmt servers clean

help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# PYTHON is only used to make the environment; what is in it follows from setup.py.
$(INSTALLED): setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "$(PYTHON) is not Python 3.11 or newer: say which one is, as in make PYTHON=python3.13 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "$(PYTHON) cannot make environments: install its venv module (Debian: python3-venv), and try again." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(INSTALLED) ## Serve the demo on http://127.0.0.1:8080 (PORT= and STORAGE= override)
	$(BIN)/python -m demo --port $(PORT) --storage $(STORAGE)

test: $(INSTALLED) servers lint ## Check types and style, and run all the tests
	$(BIN)/python -m pytest --cov --cov-report=term

soak: $(INSTALLED) servers ## Race for as long as you like (ROUNDS= overrides)
	$(BIN)/python -m tests.races.soak --rounds $(ROUNDS)
	# One test takes minutes here: it does not hang.
	$(BIN)/python -m pytest --hypothesis-profile=soak -o faulthandler_timeout=0 \
		tests/races/test_model.py tests/test_changes.py -k "TestRaces or TestParallel"

bench: $(INSTALLED) servers ## Measure it beside aiohttp-session, into docs/benchmarks (BENCH=--quick: 2 minutes)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,bench]'
	$(BIN)/python -m benchmarks $(BENCH)

lint: $(INSTALLED) ## Check types and style
	$(BIN)/python -m ruff check $(CODE) setup.py
	$(BIN)/python -m ruff format --check $(CODE) setup.py
	$(BIN)/python -m mypy

fmt: $(INSTALLED) ## Format the code
	$(BIN)/python -m ruff check --fix $(CODE) setup.py
	$(BIN)/python -m ruff format $(CODE) setup.py

servers:
	@.ci/servers

clean: ## Remove what was made, the environment too
	rm -rf $(VENV) build dist *.egg-info .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
