# Every target sets up what it needs in .venv; a fresh machine has Python >= 3.11 and pip, no more.
.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench mutants faults lock clean

PYTHON ?= python3
BIN := .venv/bin
MEMBERS := schemas revocation_bus verifier_agent issuer
PACKAGES := tocsin-schemas tocsin-revocation-bus tocsin-verifier-agent tocsin-issuer
STAMP := .venv/.tocsin-stamp
BUILD := schemas/hatch_build.py $(shell find schemas -name '*.proto')

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(STAMP) ## Make .venv from requirements.lock, with the four members editable

# uv itself comes from the lock, hashes included; all the rest comes through uv.
$(STAMP): requirements.lock $(MEMBERS:%=%/pyproject.toml) $(BUILD)
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@sed -n '/^uv==/,/^[^ ]/{/^uv==/p;/^ *--hash/p}' requirements.lock > .venv/uv.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r .venv/uv.txt
	@VIRTUAL_ENV=.venv $(BIN)/uv pip sync -q --require-hashes requirements.lock
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install -q --no-deps --no-build-isolation --offline $(MEMBERS:%=-e ./%)
	@touch $@

demo: $(STAMP) ## The whole story on real NATS and Valkey; the last line is one JSON object
	@$(BIN)/tocsin demo

test: $(STAMP) ## Every test
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

check: $(STAMP) ## Lint, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/lint-imports --no-logo

bench: $(STAMP) ## Every benchmark; each is also .venv/bin/python -m benchmarks.NAME --json
	@$(BIN)/python -m benchmarks

mutants: $(STAMP) ## Every seeded mutant against the simulator; the last line is one JSON object
	@$(BIN)/python -m tests.simulator.mutants

faults: $(STAMP) ## The fault matrix on real processes; the last line is one JSON object
	@$(BIN)/python -m tests.faults

lock: $(STAMP) ## Renew requirements.lock: pins and hashes, no download addresses
	@$(BIN)/uv pip compile -q --upgrade --universal --generate-hashes --no-header --python-version 3.11 --group dev \
		pyproject.toml $(PACKAGES:%=--no-emit-package %) -o requirements.lock

clean: ## Remove .venv and what the tools cached
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
