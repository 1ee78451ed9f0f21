# Spandrel. `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

TOOLS := $(CURDIR)/.tools
UV := $(shell command -v uv || echo $(TOOLS)/bin/uv)
RUN := $(UV) run --frozen --no-sync
SYNCED := .venv/.synced
SAM := $(UV) tool run --quiet --from aws-sam-cli==1.170.0 sam
STAGE ?= dev
ARCH ?= arm64
ARGS ?=

export SAM_CLI_TELEMETRY := 0

.PHONY: help setup local local-start local-stop local-sync test lint format docs build deploy bench clean

help: ## Show this list
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}'

setup: $(SYNCED) ## Fetch uv and the project's environment (every other target does it when needed)

# The project's Python: any from 3.11 on; wheels exist for 3.11 to 3.13 for certain, so those come first.
define FIND_PYTHON
found=""
for candidate in python3 python3.13 python3.12 python3.11 python; do
	if "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
		found="$$(command -v "$$candidate")"; break
	fi
done
if [ -z "$$found" ]; then
	echo "error: Python 3.11, 3.12 or 3.13 is needed and none was found: install one (Debian: apt install python3 python3-venv)" >&2
	exit 1
fi
endef

$(TOOLS)/bin/uv:
	@$(FIND_PYTHON)
	echo "Fetching uv into .tools/"
	if ! "$$found" -m venv $(TOOLS) 2>/dev/null; then
		rm -rf $(TOOLS)
		echo "error: $$found cannot make virtual environments: install its venv module (Debian: apt install python3-venv)" >&2
		exit 1
	fi
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'

$(SYNCED): pyproject.toml uv.lock | $(UV)
	@$(FIND_PYTHON)
	echo "Syncing the project's environment"
	$(UV) sync --quiet --frozen --python "$$found"
	touch $@

local: $(SYNCED) ## Run everything on this machine until Ctrl-C
	@exec $(RUN) python -m local run

local-start: $(SYNCED) ## The same in the background; returns when it serves
	@$(RUN) python -m local start

local-stop: $(SYNCED) ## Stop it; its state stays in .local/
	@$(RUN) python -m local stop

local-sync: $(SYNCED) ## Make changes in functions/, layers/ and migrations/ live in the running stack
	@$(RUN) python -m local sync

test: $(SYNCED) ## Run every test with coverage; ARGS="tests/unit -k chunk" runs some, without it
	@if [ -n "$(ARGS)" ]; then
		$(RUN) pytest $(ARGS)
	else
		$(RUN) pytest -n auto --maxprocesses=4 --cov --cov-report=term --cov-fail-under=90
	fi

lint: $(SYNCED) ## ruff, mypy and sam validate --lint
	@$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(SAM) validate --lint --region us-east-1

format: $(SYNCED) ## Format the code and mend what ruff can
	@$(RUN) ruff check --fix .
	$(RUN) ruff format .

docs: $(SYNCED) ## Write docs/openapi.json and docs/asyncapi.yaml anew from the code
	@$(RUN) python -m functions.api.openapi docs/openapi.json
	$(RUN) python -m functions.realtime.asyncapi docs/asyncapi.yaml

build: $(SYNCED) ## Build functions and layer for AWS; ARCH=arm64 (default) or x86_64
	@$(RUN) python -m local.aws_build --arch $(ARCH)

deploy: build ## Deploy to AWS; STAGE=dev (default) or prod, ARGS goes to sam deploy
	@$(SAM) deploy --config-env $(STAGE) $(ARGS)

bench: $(SYNCED) ## Run the benchmarks, each beside its peer; ARGS goes to them
	@$(UV) run --frozen --group bench python -m benchmarks $(ARGS)

clean: ## Remove what was built (not .local/, which holds your data)
	rm -rf .build .coverage .coverage.* coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
	find . -name __pycache__ -not -path './.venv/*' -not -path './.local/*' -prune -exec rm -rf {} +
