# make train: sets up .venv once, then trains configs/sum8.py. More flags: make train ARGS=...
# make test:  sets up .venv once, then checks style and types and runs the tests. With another
#             Python: make clean test PYTHON=python3.12.
# make test-fast: checks style and the tests that compile little, in a minute.
# make types: checks the types alone.
# make release-check: builds the package into dist/, checks it, installs it in a fresh environment,
#             and goes all the way from training to an ONNX answer there (tests/stranger.sh).
# make docs:  builds the pages of docs/ as a site into build/site.
# make test-docs: runs every command of the documents and the notebook, on small data (minutes).
# make test-cluster: installs Open MPI, Slurm, shellcheck and Chromium (Debian), then tests launch/
#             and the page with them.
# make torture: does to sum8 what happens to jobs, and prints how it was survived (half an hour).
# make bench: sets up .venv-bench once, with the peers, and writes benchmarks/RESULTS.md.
# make bench-gpu: on a GPU, with the JAX and PyTorch that $(PYTHON) has; writes benchmarks/GPU.md.
# make bench-smoke: the ratio to plain Flax alone, in .venv.

PYTHON ?= python3
CONFIG ?= configs/sum8.py
ARGS ?=

.PHONY: train test test-fast types release-check docs test-docs test-cluster torture bench bench-gpu bench-smoke clean

train: .venv/installed
	.venv/bin/python -m crnn_jax.main --config=$(CONFIG) $(ARGS)

test: types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile --max-worker-restart 0 $(ARGS)

FAST = batching checksums clock config_fields config_files config_stored confusion curves draw \
	exit_status files fit folder heads idx kernels main metrics number output package progress question \
	record scores split step stop strips tasks

test-fast: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/python -m pytest -n auto --maxprocesses 4 $(FAST:%=tests/%_test.py) $(ARGS)

types: .venv/installed
	.venv/bin/pyright --pythonpath .venv/bin/python

# Two environments: what the tools bring must not hide what the package forgets to ask for.
RELEASE = .venv-release

release-check:
	rm -rf dist $(RELEASE)
	$(PYTHON) -m venv $(RELEASE)/tools
	$(RELEASE)/tools/bin/pip install --quiet --constraint constraints.txt build twine
	$(RELEASE)/tools/bin/python -m build
	$(RELEASE)/tools/bin/twine check --strict dist/*
	PYTHON=$(PYTHON) tests/stranger.sh dist/*.whl $(RELEASE)

docs: .venv/installed
	.venv/bin/mkdocs build --strict

test-docs: .venv/installed
	CRNN_JAX_TEST_CLUSTER=1 .venv/bin/python -m pytest tests/docs_test.py tests/commands_test.py \
		tests/recipes_test.py tests/site_test.py tests/notebook_test.py $(ARGS)

# Root starts Slurm's services; nothing it makes stays behind.
test-cluster: SUDO = $(if $(filter 0,$(shell id -u)),,sudo)
test-cluster: .venv/installed
	$(SUDO) apt-get update --quiet
	$(SUDO) apt-get install --yes --no-install-recommends openmpi-bin slurm-wlm munge \
		shellcheck chromium chromium-driver
	.venv/bin/pip install --quiet --constraint constraints.txt --editable '.[dev,cluster]'
	$(SUDO) env CRNN_JAX_TEST_CLUSTER=1 PYTHONDONTWRITEBYTECODE=1 .venv/bin/python -m pytest \
		-p no:cacheprovider tests/launch_test.py tests/cluster_test.py \
		tests/processes_test.py tests/torture_test.py tests/hosts_test.py \
		tests/stored_train_test.py tests/page_test.py tests/configs_test.py \
		tests/train_test.py tests/benchmarks_test.py $(ARGS)

torture: .venv/installed
	.venv/bin/python -m tests.torture --config=$(CONFIG) --config.checkpoint.every=100 $(ARGS)

bench: .venv-bench/installed
	.venv-bench/bin/python -m benchmarks.bench $(ARGS)

bench-gpu:
	$(PYTHON) -m benchmarks.gpu $(ARGS)

bench-smoke: .venv/installed
	.venv/bin/python -m benchmarks.bench --smoke

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# PyTorch first: the newest one would bring several GB for GPUs.
.venv-bench/installed: pyproject.toml constraints.txt benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --constraint benchmarks/requirements.txt torch
	.venv-bench/bin/pip install --quiet --constraint constraints.txt --requirement benchmarks/requirements.txt --editable '.[video]'
	touch $@

clean:
	rm -rf .venv .venv-bench .venv-release build dist *.egg-info
