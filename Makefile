# Distributed Task Queue: what a person runs. `make` alone lists it.

PYTHON ?= $(shell for python in python3.11 python3.12 python3; do command -v $$python && break; done)
ADVISORIES ?= pypi
TESTS_AT_ONCE ?= 2
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help run servers test lint format bench fuzz audit chaos chaos-report clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(READY) ## start everything: PostgreSQL, Redis, web, worker, scheduler
	@exec $(BIN)/python -m dev

servers: $(READY) ## start PostgreSQL and Redis only, for `honcho start`
	@exec $(BIN)/python -m dev servers

test: lint ## check format, style, types, contracts; run every test with coverage (10 minutes; TESTS_AT_ONCE)
	$(BIN)/pytest --cov --numprocesses $(TESTS_AT_ONCE) --dist loadfile

lint: $(READY) ## the checks of `test` without its tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## format the code and sort its imports
	$(BIN)/ruff check --select I --fix --quiet
	$(BIN)/ruff format

bench: $(READY) ## measure, beside what else people use; writes benchmarks/results.md (12 to 15 minutes)
	@exec $(BIN)/python -m benchmarks

fuzz: $(READY) ## a million broken bodies, and thousands of requests by the OpenAPI document (5 minutes)
	@exec $(BIN)/python -m fuzz

audit: ## look for known holes in what is pinned (ADVISORIES=osv asks osv.dev instead of pypi.org)
	@test -x .audit/bin/pip-audit || { $(PYTHON) -m venv .audit && \
		.audit/bin/pip install --quiet --disable-pip-version-check pip-audit==2.10.1; }
	@.audit/bin/pip-audit --strict --disable-pip --no-deps --vulnerability-service $(ADVISORIES) \
		--requirement requirements.txt || { echo "The audit did not pass. Either holes are listed above, or" \
		"$(ADVISORIES) could not be asked: it needs the network; ADVISORIES=osv or pypi asks another." >&2; exit 1; }

chaos: $(READY) ## break everything on purpose and check the guarantee (12 minutes; CHAOS_SEED, CHAOS_MINUTES)
	@exec $(BIN)/python -m chaos

chaos-report: $(READY) ## the same with three seeds, and every figure of the guarantee; writes docs/chaos.md (40 minutes)
	@exec $(BIN)/python -m chaos campaign 1 2 3

clean: ## remove the environment, caches and development data
	rm -rf $(VENV) .audit .data benchmarks/.venv benchmarks/.data .coverage .coverage.* htmlcov \
		.mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed." if sys.version_info < (3, 11) else 0)'
	@echo "Installing into $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -r requirements-dev.txt
	@touch $@
