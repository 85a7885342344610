# The verbs of this project. Only Python 3.11+ and make are needed; everything else goes into .venv.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: help install demo serve check format test bench clean

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## create .venv with everything in it

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Wattle needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(STAMP) ## run the data-pipeline DAG on a throw-away daemon and show it
	$(BIN)/wattle demo

serve: $(STAMP) ## run the daemon in this terminal
	$(BIN)/wattle serve

check: $(STAMP) ## lint and types, no tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP) ## let ruff format and mend what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: check ## lint, types and every test
	$(BIN)/python -m pytest

bench: $(STAMP) ## measure against ninja on this machine, print ratios
	@command -v ninja >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq ninja-build; } \
	  || echo "ninja is not installed; the measures beside it are left out (apt-get install -y ninja-build)"
	$(BIN)/python -m tests.bench

clean: ## remove what make made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
