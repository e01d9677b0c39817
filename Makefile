# `make demo` installs and analyzes a sample checkpoint; `make test` installs and passes every check.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Tests run in two processes; threads of BLAS and torch on top of them only wait for one another
# (and burn processor time meanwhile: training tiny models took four to eight times as much).
export OPENBLAS_NUM_THREADS ?= 1
export OMP_NUM_THREADS ?= 1

.PHONY: demo test check format samples docs clean

demo: $(VENV)/.installed
	$(BIN)/ssmspec analyze sample_checkpoints/s4d_lin.safetensors --seq-len 1024

test: $(VENV)/.installed-dev check
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

samples: $(VENV)/.installed
	$(BIN)/python sample_checkpoints/make.py

docs: $(VENV)/.installed
	$(BIN)/python docs/generate.py

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e . --group dev
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
