PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Half of the time tests wait for processes, servers and browsers of their own: three workers for two cores.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((3 * (os.cpu_count() or 1) + 1) // 2)')
DEMO ?=
BENCH ?=

.DEFAULT_GOAL := help
.PHONY: help demo test quick soak lint bench lock cluster-tools s3-tools oldest-metaflow slack-types clean

help: ## Say what can be made
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Each file is checked against its hash. The package itself comes last, built by the setuptools that is locked too.
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
OURS := $(PIP) --no-deps --no-build-isolation --editable .

$(VENV)/.demo: pyproject.toml requirements/build.txt requirements/demo.txt | $(BIN)/python
	@echo "Installing what the demo needs into $(VENV), once: this takes a minute or two."
	$(PIP) --require-hashes --requirement requirements/build.txt --requirement requirements/demo.txt
	$(OURS)
	@touch $@

$(VENV)/.dev: pyproject.toml requirements/dev.txt | $(BIN)/python
	$(PIP) --require-hashes --requirement requirements/dev.txt
	$(OURS)
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo ## Start a local Slack, the bot and a gated run, and print the address to open
	$(BIN)/hitl-bot demo $(if $(filter auto,$(DEMO)),--auto)

test: $(VENV)/.dev ## Run every test that this machine can run
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadgroup

quick: $(VENV)/.dev ## Run the tests that answer in under a minute
	$(BIN)/python -m pytest --numprocesses auto --dist loadgroup tests/unit tests/contract/test_store.py -m "not slow" -k "not s3_moto and not s3_versitygw"

soak: $(VENV)/.dev ## Run what tries at random, at full size
	HITL_SOAK=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadgroup -m soak

lint: $(VENV)/.dev ## Check style, types and the direction of the imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: $(VENV)/.dev ## Measure, print a table and write JSON
	$(BIN)/python -m benchmarks $(BENCH)

cluster-tools: ## Build etcd, kube-apiserver and kubectl for the tests into a cache folder (needs Go)
	@$(PYTHON) tests/tools/build.py etcd kubernetes

s3-tools: ## Build an S3 server for the tests into a cache folder (needs Go)
	@$(PYTHON) tests/tools/build.py versitygw

oldest-metaflow: $(VENV)/.dev ## Put the oldest Metaflow that is supported into the tests' cache folder
	@$(BIN)/python -m tests.tools.oldest_metaflow

slack-types: $(VENV)/.dev ## Put the types that Slack publishes into the tests' cache folder (needs npm)
	@$(BIN)/python -m tests.tools.slack_types

lock: ## Write requirements/*.txt anew from pyproject.toml; with UPGRADE=--upgrade to the newest versions
	@$(PYTHON) -m venv .cache/uv && .cache/uv/bin/pip install --quiet --disable-pip-version-check uv
	UPGRADE=$(UPGRADE) sh requirements/lock.sh .cache/uv/bin/uv

clean: ## Remove everything that was made
	rm -rf $(VENV) build dist *.egg-info
