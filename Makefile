# Thin: every tool's settings are in pyproject.toml.
.DEFAULT_GOAL := help
.PHONY: help setup demo test check seams bench lock clean
export PYTHONDONTWRITEBYTECODE :=

PYTHON ?= python3
BIN := .venv/bin
UV := .venv-uv/bin/uv
INSTALL := $(UV) pip install --quiet --require-hashes

help: ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

setup: .venv/.installed .venv-snowflake/.installed .venv-warehouses/.installed .venv-bigquery/.installed ## install everything into the clone

$(UV): requirements-uv.lock
	$(PYTHON) -m venv .venv-uv
	.venv-uv/bin/pip install --quiet --require-hashes -r requirements-uv.lock

.venv/.installed: $(UV) requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv --without-pip .venv
	$(INSTALL) --python $(BIN)/python -r requirements-dev.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

.venv-snowflake/.installed: $(UV) emulators/snowflake/requirements.lock
	$(PYTHON) -m venv --without-pip .venv-snowflake
	$(INSTALL) --python .venv-snowflake/bin/python -r emulators/snowflake/requirements.lock
	touch $@

.venv-dlt/.installed: $(UV) tests/benchmarks/dlt/requirements.lock
	$(PYTHON) -m venv --without-pip .venv-dlt
	$(INSTALL) --python .venv-dlt/bin/python -r tests/benchmarks/dlt/requirements.lock
	touch $@

.venv-warehouses/.installed: $(UV) emulators/warehouses/requirements.lock
	$(PYTHON) -m venv --without-pip .venv-warehouses
	$(INSTALL) --python .venv-warehouses/bin/python -r emulators/warehouses/requirements.lock
	touch $@

.venv-bigquery/.installed: $(UV) emulators/bigquery/requirements.lock
	$(PYTHON) -m venv --without-pip .venv-bigquery
	$(INSTALL) --python .venv-bigquery/bin/python -r emulators/bigquery/requirements.lock
	touch $@

demo: setup ## run the main job end to end and compare what the vendors hold
	$(BIN)/wedsync demo

check: setup ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup ## every test but the measurements
	$(BIN)/python -m pytest -q -n 2 --max-worker-restart 0 --durations 15 --ignore tests/e2e tests
	$(BIN)/python -m pytest -q --durations 10 tests/e2e

seams: setup ## lose a worker at every statement of every warehouse; the tests try some of them
	$(BIN)/python -m pytest -q -n 2 --every-seam -k lost_at_any_seam tests/contract

bench: setup .venv-dlt/.installed ## ratios against the bare paths, in one run
	$(BIN)/python -m tests.benchmarks

lock: $(UV) ## renew the hashed lock files
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 --all-extras pyproject.toml -o requirements-dev.lock
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 --extra emulators -c requirements-dev.lock pyproject.toml -o requirements.lock
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 emulators/snowflake/requirements.in -o emulators/snowflake/requirements.lock
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 -c requirements-dev.lock emulators/warehouses/requirements.in -o emulators/warehouses/requirements.lock
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 emulators/bigquery/requirements.in -o emulators/bigquery/requirements.lock
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 tests/benchmarks/dlt/requirements.in -o tests/benchmarks/dlt/requirements.lock
	grep '^uv==' -A 60 requirements-dev.lock | awk 'NR>1 && /^[a-z]/{exit} !/^ *#/' > requirements-uv.lock

clean: ## remove what setup and demo made
	rm -rf .venv .venv-uv .venv-snowflake .venv-warehouses .venv-bigquery .venv-dlt .wedsync
