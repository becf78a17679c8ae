# `make` lists the targets. All of them work in .venv, which is made on first use and again when requirements change.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# The interpreter that .venv is made from, for instance `make test PYTHON=python3.13`.
PYTHON ?= python3

REQUIREMENTS := requirements.txt requirements-local.txt requirements-dev.txt
CODE := totes functions local console docs
BIN := .venv/bin
INSTALLED := .venv/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.PHONY: help run up test lint check-style check-types check-security check-docs format audit docs clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(INSTALLED) ## See the whole pipeline work on this machine: nothing needed, nothing left behind
	@$(BIN)/totes demo

up: $(INSTALLED) ## Keep a pipeline running here, on its schedule, until Ctrl-C
	@$(BIN)/totes up

test: $(INSTALLED) ## Run all tests; fails where less than 95 % of totes and functions is covered
	@$(BIN)/python -m pytest --cov

lint: check-style check-types check-security check-docs ## Check style, types, security and the freshness of generated docs

check-style: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

check-types: $(INSTALLED)
	$(BIN)/mypy $(addprefix -p ,$(CODE))

check-security: $(INSTALLED)
	$(BIN)/bandit -c pyproject.toml -q -r $(CODE)

check-docs: $(INSTALLED)
	$(BIN)/python -m docs.dictionary --check

format: $(INSTALLED) ## Format the code, and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

audit: $(INSTALLED) ## Look for known vulnerabilities in what is deployed (needs the network)
	$(BIN)/pip-audit --no-deps --disable-pip -r requirements.txt

docs: $(INSTALLED) ## Write the generated docs anew: the data dictionary
	$(BIN)/python -m docs.dictionary

clean: ## Remove .venv, caches and reports; the data of a stack in .totes stays
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* .serverless build dist *.egg-info
	find . -name __pycache__ -type d -not -path './node_modules/*' -prune -exec rm -rf {} +

$(INSTALLED): $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is Python " + sys.version.split()[0] + \
	    "; 3.11 or later is needed. Name another one: make PYTHON=python3.13 …")'
	@echo "Installing into .venv, a minute or two, once …"
	@$(PYTHON) -m venv --clear .venv
	@$(PIP) install --quiet --quiet $(addprefix -r ,$(REQUIREMENTS))
	@$(PIP) install --quiet --quiet --no-deps -e .
	@touch $@
