# make train: sets up .venv once, then trains configs/sum8.py. More flags: make train ARGS=...
# make test:  sets up .venv once, then checks the style and runs the tests.

PYTHON ?= python3
CONFIG ?= configs/sum8.py
ARGS ?=

.PHONY: train test clean

train: .venv/installed
	.venv/bin/python -m crnn_jax.main --config=$(CONFIG) $(ARGS)

test: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/python -m pytest -n auto --maxprocesses 4 $(ARGS)

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build *.egg-info
