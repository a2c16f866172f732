# Riverain. `make run` and `make test` need Python 3.11 or newer and make, and nothing else.

SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: run test lint bench soak audit help

run: $(VENV)/.run ## Start everything and serve http://127.0.0.1:8000 (PORT=, DATA_DIR=, DEMO=0)
	@exec $(BIN)/python -m app.running

test: $(VENV)/.dev ## Run the whole test suite (ARGS="tests/geo -k cells" for a part)
	@exec $(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.dev ## Check style, types and who may import whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy .
	@$(BIN)/lint-imports --no-logo

bench: $(VENV)/.dev ## Measure, as ratios to a floor of the same run (SCALE=full for all sizes)
	@exec $(BIN)/python -m bench $(ARGS)

soak: $(VENV)/.dev ## The long runs: load, and every process killed in the middle of it
	@exec $(BIN)/python -m pytest soak -n0 $(ARGS)

audit: $(VENV)/.run ## Look for known vulnerabilities in what is installed (needs a network)
	@$(BIN)/python -m pip install --quiet pip-audit==2.10.1 2>/dev/null || { \
	  echo "make audit needs a network: pip-audit could not be installed." >&2; exit 1; }
	@$(BIN)/python -m pip_audit --requirement requirements.txt --strict --progress-spinner off || { \
	  echo "make audit: a vulnerability was found, or a package could not be looked up (no network," \
	    "or an index that keeps no record of vulnerabilities); the lines above say which." >&2; exit 1; }

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

# The stamps say which requirements are installed; a changed file installs again.
$(VENV)/.run: requirements.txt | $(BIN)/python
	@echo "Installing what Riverain needs (once, about a minute) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	@echo "Installing what the tests need ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 -r requirements-dev.txt
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Riverain needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1)." \
	    "Name another one: make run PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) .ci/make_venv.py $(VENV)
