# make demo | test | check | clean. Needs Python 3.11, g++, make and perl; everything else goes into .venv.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PINS := $(shell sha256sum pyproject.toml | cut -c1-16)

.DELETE_ON_ERROR:
.PHONY: demo test check pynq-environments clean

demo: $(VENV)/demo-$(PINS)
	$(BIN)/pumice demo

test: $(VENV)/test-$(PINS)
	$(BIN)/pytest

check: $(VENV)/test-$(PINS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pumice.spec.generate --check

pynq-environments: $(VENV)/test-$(PINS)
	$(BIN)/python -m tests.pynq.environments

# One stamp for each set of extras; a change of pyproject.toml installs anew.
$(VENV)/demo-$(PINS) $(VENV)/test-$(PINS): $(VENV)/%-$(PINS): | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS_$*)]'
	touch $@

EXTRAS_demo := demo
EXTRAS_test := test,litert

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf .cache build .pytest_cache .ruff_cache pumice.egg-info
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
