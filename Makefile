# Every target sets up what it needs in .venv, once; `make` alone lists them.

VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TEST_TIMEOUT ?= 300
PYTEST_ARGS ?=
DEMO_OUT ?= runs/demo

# A process for each core, and one thread a process: the models of the tests are tiny, and threads that share few cores
# wait for each other. The tests of a file stay in one process, as they share what was trained for them.
WORKERS ?= logical
PYTEST = OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest -q --timeout=$(TEST_TIMEOUT) \
	--numprocesses=$(WORKERS) --maxprocesses=8 --dist=loadfile

# For the scripts of .ci: what the command line or the environment says of them. Where .venv is already
# made, `make -B venv` applies a change of these.
export EXTRAS PYTHON TORCH VENV_FLAGS

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-all lint types docs clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  Set on the command line: PYTHON=python3.12  TORCH="torch --index-url ..."  VENV=folder'
	@echo '                           VENV_FLAGS=--system-site-packages  EXTRAS=demo,dev,lora  PYTEST_ARGS="-k word"'

venv: $(INSTALLED) ## the virtual environment: PyTorch (a CPU build without an NVIDIA GPU), package, tools

$(INSTALLED): setup.py Makefile .ci/venv .ci/install-torch
	@sh .ci/venv $(VENV)
	@touch $@

demo: $(INSTALLED) ## plant a backdoor in a small victim, find it, remove it; writes runs/demo
	$(BIN)/badllmtg defend --config configs/demo_badnets_badllmtg.json --profile smoke --out $(DEMO_OUT)

test: $(INSTALLED) ## the tests but the slow ones; two to four minutes on 2 cores
	$(PYTEST) -m "not slow" $(PYTEST_ARGS)

test-all: $(INSTALLED) ## all tests: whole runs, benchmarks, killed processes, servers as well
	$(PYTEST) $(PYTEST_ARGS)

lint: $(INSTALLED) ## style and common mistakes (ruff)
	$(BIN)/ruff check .

types: $(INSTALLED) ## types (mypy --strict, as pyproject.toml says)
	$(BIN)/mypy

docs: $(INSTALLED) ## the documentation, warnings as errors: build/docs/index.html, which needs no server
	@$(BIN)/python -c 'import furo, latex2mathml, myst_parser' 2>/dev/null \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going docs build/docs
	@echo build/docs/index.html

clean: ## remove all that these commands made, .venv too
	if [ -f $(VENV)/pyvenv.cfg ]; then rm -rf $(VENV); fi
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis $(DEMO_OUT)
	find openbackdoor_badllm tests -name __pycache__ -type d -prune -exec rm -rf {} +
