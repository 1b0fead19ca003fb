# Two commands do everything on a fresh machine: `make demo` and `make test`. Without make: README.md, "Without make".
VENV   ?= .venv
BIN    := $(VENV)/bin
# The first interpreter that is new enough; `make PYTHON=/path/to/python demo` overrules it.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test check format bench clean

demo: $(VENV)/.core  ## train `digits` for three minutes on MNIST, draw 100 digits, and score what it draws
	@run=$$($(BIN)/gannet train digits --minutes 3) && $(BIN)/gannet sample "$$run" -n 100 && $(BIN)/gannet evaluate "$$run"

test: $(VENV)/.dev  ## set up and run the tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: $(VENV)/.dev  ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

bench: $(VENV)/.dev  ## no false alarm of preflight on any shipped recipe, five seeds (about half an hour)
	$(BIN)/python bench/preflight.py --seeds 0 1 2 3 4

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.core: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Gannet needs Python 3.11 or newer; make PYTHON=/path/to/python demo" >&2; exit 1; }
	@echo "setting up $(VENV) with $(PYTHON): PyTorch is large, this takes a minute or two" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) torch
	@$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@$(PIP) -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV)
