# Each target sets up all it needs in .venv, once. Another interpreter:  make test PYTHON=python3.11

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-processors lint clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 17
	@echo 'The interpreter is $(PYTHON); another one: make test PYTHON=python3.11'

demo: $(VENV)/.ready ## make the embedded portrait speak, offline, on whatever this machine has
	$(BIN)/python -m latentsync_core demo

# One process per core, one thread each: threads of several processes would wait for one another. Each takes its stretch
# of the tests, so that what a module prepares is prepared once, and the one that is done first helps the other.
PYTEST = $(BIN)/python -m pytest --numprocesses auto --dist worksteal

test: $(VENV)/.ready-dev ## run every test
	OMP_NUM_THREADS=1 $(PYTEST)

test-fast: $(VENV)/.ready-dev ## run those that do not take seconds each
	OMP_NUM_THREADS=1 $(PYTEST) -m 'not long'

# What other processors add up in another order: no wide vectors, then narrower ones and two threads.
test-processors: $(VENV)/.ready-dev ## run those again as processors without wide vectors would
	ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 OMP_NUM_THREADS=1 $(PYTEST) -m 'not long'
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 OMP_NUM_THREADS=2 $(PYTEST) -m 'not long'

lint: $(VENV)/.ready-dev ## check style, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --no-incremental

clean: ## remove the environment and every cache
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# torch first and by itself, so that nothing that merely needs torch chooses its version.
$(VENV)/.ready: requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else 1)' || \
	  { echo 'Python 3.10 or newer is needed: make PYTHON=python3.11 (or wherever it is)'; exit 1; }
	$(PYTHON) -m venv $(VENV) || { echo 'No venv module; on Debian and Ubuntu: apt install python3-venv'; exit 1; }
	$(PIP) torch
	$(PIP) --requirement requirements.txt
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready requirements-dev.txt
	$(PIP) --requirement requirements-dev.txt
	@touch $@
