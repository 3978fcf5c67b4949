# Everything one does here has a name; `make` alone lists them.

VENV ?= .venv
PYTHON := $(VENV)/bin/python
CODE := linkferry producers worker

.DEFAULT_GOAL := help

.PHONY: help
help: ## List what you can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# A stamp per requirements file: nothing is installed again until its pins change.
$(VENV)/.installed-base: requirements/base.txt requirements/build.txt pyproject.toml
	@VENV=$(VENV) .ci/setup base

$(VENV)/.installed-dev: requirements/dev.txt $(VENV)/.installed-base
	@VENV=$(VENV) .ci/setup dev

.PHONY: setup
setup: $(VENV)/.installed-dev ## Make .venv and install Linkferry and its tools, pinned

.PHONY: demo
demo: $(VENV)/.installed-base ## See it work: sandbox partner, 200 customers, under 90 seconds
	@$(VENV)/bin/linkferry demo

.PHONY: test
test: setup ## Run all tests but those of `make crash`, `make browser` and `make rabbitmq`
	@$(PYTHON) -m pytest -q -n 2 tests/unit tests/contract
	@$(PYTHON) -m pytest -q -n 2 --dist loadfile -m "not rabbitmq" tests/integration

.PHONY: check
check: setup ## Lint, format, types, import rules, generated docs
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@$(VENV)/bin/lint-imports
	@$(PYTHON) -m docs.generate --check

.PHONY: format
format: setup ## Put the code in shape
	@$(PYTHON) -m ruff check --fix .
	@$(PYTHON) -m ruff format .

.PHONY: crash
crash: setup ## Kill workers and Valkey at every named point (minutes)
	@$(PYTHON) -m pytest -q -n 3 -m crash tests/crash

.PHONY: browser
browser: setup ## Drive the console in Debian's Chromium
	@$(PYTHON) -m pytest -q -m browser tests/browser

.PHONY: shots
shots: setup ## Take the pictures of the console and the messages anew, into docs/images
	@$(PYTHON) -m tests.browser.shots

.PHONY: rabbitmq
rabbitmq: setup ## Run the test that needs Debian's rabbitmq-server
	@$(PYTHON) -m pytest -q -m rabbitmq tests/integration

.PHONY: bench
bench: setup ## Measure against the goals of bench/README.md (minutes)
	@for name in accept latency memory jobs fleet growth find pages requeue; do echo "== bench.$$name"; $(PYTHON) -m bench.$$name || exit 1; done

.PHONY: docs
docs: setup ## Write the generated parts of docs/ again
	@$(PYTHON) -m docs.generate

.PHONY: requirements
requirements: setup ## Compile requirements/*.in to pins with hashes
	@VENV=$(VENV) .ci/requirements

.PHONY: clean
clean: ## Remove .venv, caches and build leavings (your data in ./var stays)
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info build dist
