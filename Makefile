# Two commands: `make train` and `make test`. Each makes a virtual environment, installs what it
# needs and runs; a second call only runs. Another interpreter: make test PYTHON=python3.13 VENV=.venv-3.13

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
BIN = $(VENV)/bin
TESTS ?=

.PHONY: train test lint parity conformance clean

train: $(VENV)/.train
	$(BIN)/python -m train $(ARGS)

test: $(VENV)/.test lint
	$(BIN)/python -m pytest -n 2 --dist worksteal -q $(TESTS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

# The comparison with PyTorch. The exact version matters: a bare `torch` brings gigabytes of CUDA.
parity: $(VENV)/.test
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pytest -n 2 -q tests/test_torch_parity.py tests/test_train_bench_torch.py

# The part of `make test` that runs ONNX's own cases: several hundred, of every operator fcnn has.
conformance: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 -q tests/test_onnx_conformance.py

$(VENV)/.train: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[train]'
	touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "fcnn needs Python 3.11 or newer: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

clean:
	rm -rf .venv .venv-* .pytest_cache .ruff_cache .hypothesis
