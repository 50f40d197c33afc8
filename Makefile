# Morrow. `make run` shows what it does, `make test` proves it; both set up what is missing.
# Needs python3 (3.11 to 3.13) with its venv module, and make; nothing else.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?=# the interpreter to set up with; unset: the first fitting one of python3, python3.13, python3.12, python3.11
PORT ?=# the port of `make run`; unset: MORROW_PORT or 8000
ONCE ?=# not empty: `make run` ends after the forecast
KILLS ?= 150# how many processes the loop of `make chaos` kills
SEED ?=# of `make chaos`, to see a run again; unset: another one each time
ONLY ?=# the sections of `make bench`; unset: all

unexport PYTHONDONTWRITEBYTECODE # a start without bytecode takes three times as long
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help install run test lint check chaos format bench screenshots lock audit clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/ready-run ## Set up only; then start with .venv/bin/morrow serve

run: $(VENV)/ready-run ## Start the service and show a forecast (PORT=8000 ONCE=1 MORROW_HOME=...)
	@exec $(BIN)/morrow serve --first-run $(if $(ONCE),--once) $(if $(PORT),--port $(PORT))

test: $(VENV)/ready-dev ## Run all tests
	@$(BIN)/python -m pytest --numprocesses 4 --dist loadfile

lint: $(VENV)/ready-dev ## Format, lint, types and import contracts
	@$(BIN)/ruff format --check --quiet . || { echo "Not formatted as above: run make format" >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/mypy

check: lint ## The same and the fast tests without TensorFlow, in a few minutes
	@$(BIN)/python -m pytest --quiet --numprocesses 2 -m "not slow and not tensorflow"

chaos: $(VENV)/ready-dev ## Kill, freeze, fill and overload it for up to half an hour (KILLS=1000 for longer)
	@CHAOS_KILLS=$(KILLS) CHAOS_SEED=$(or $(SEED),0) $(BIN)/python -m pytest -m chaos tests/chaos

format: $(VENV)/ready-dev ## Format the code and mend what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/ready-dev ## Measure the service beside what a user would pick instead (ONLY="training inference")
	@sh requirements/bench.sh $(VENV)-bench $(BIN)/python
	@$(BIN)/python -m tests.bench $(ONLY)

screenshots: $(VENV)/ready-dev ## Make the pictures of docs/screenshots anew (needs Chromium)
	@rm -rf build/screenshots && mkdir -p build/screenshots
	@MORROW_SCREENSHOTS=$(CURDIR)/build/screenshots $(BIN)/python -m pytest --quiet -k trained_service tests/browser/test_views.py
	@for picture in docs/screenshots/*.png; do cp build/screenshots/$${picture##*/} docs/screenshots/; done

lock: ## Resolve requirements/*.txt anew (needs uv)
	@sh requirements/lock.sh

audit: $(VENV)/ready-run ## Write what is in the images to build/sbom-*.json, and ask for known vulnerabilities
	@sh requirements/audit.sh $(VENV)-audit $(BIN)/python

clean: ## Remove the virtual environment and the caches, never the models
	@rm -rf $(VENV) $(VENV)-bench $(VENV)-audit .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build *.egg-info

# The stamp is written last: a setup that broke off is none.
$(VENV)/ready-%: requirements/%.txt requirements/setup.sh pyproject.toml
	@sh requirements/setup.sh $(VENV) $*
