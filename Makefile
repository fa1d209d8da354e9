# Streamwise: make demo shows it, make test proves it.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export OMP_WAIT_POLICY = passive
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test lint format bench faults docs setup warm wheel clean help
.DEFAULT_GOAL := help

help:  ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(READY)  ## a virtual environment with everything pinned

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[embedded,encoder,api,dev]'
	$(BIN)/python -m models.warm
	touch $(READY)

warm: $(READY)  ## compile every kernel again, where sources changed
	$(BIN)/python -m models.warm

demo: $(READY)  ## the whole product on this machine, with real purchases; Ctrl-C ends it
	$(BIN)/streamwise demo

test: $(READY)  ## unit, contracts, properties, statistics, doctests and end-to-end tests
	$(BIN)/python -m pytest $(ARGS)

lint: $(READY)  ## ruff, mypy strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## every benchmark against its limit, beside a peer in the same run (long)
	$(BIN)/python -m pytest tests/benchmarks -o 'norecursedirs=.* build dist' --timeout 1800 $(ARGS)

faults: $(READY)  ## kill things on a real Kafka (long)
	$(BIN)/python -m pytest tests/faults -o 'norecursedirs=.* build dist' --timeout 3600 $(ARGS)

docs: $(READY)  ## regenerate what is generated: JSON Schema, the settings reference
	$(BIN)/streamwise schemas
	$(BIN)/python -m deploy.reference > docs/settings.md

wheel: $(READY)  ## build the wheel into dist/
	rm -rf dist && $(BIN)/python -m build --wheel --outdir dist

clean:  ## forget the virtual environment and all data
	rm -rf $(VENV) .data dist
