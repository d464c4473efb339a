# make demo    installs into .venv and runs the demo; results go to demo/
# make test    installs what the tests need, and runs linter, type checker, tests and doctests
# make docs    runs the tutorials and builds the documentation, with its links checked; open docs/build/html/index.html
# make bench   solves the benchmark's small instances, and prints how much longer that took than the last time
# make clean   removes .venv and everything else that is made here
#
# PYTHON=...   the Python that .venv is made from
# TORCH=...    the torch to install, as pip takes it
# WORKERS=...   processes of make test
# DRAWS=all     runs every instance of the tests that are thinned, see tests/thinned.py

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/
PIP := $(RUN)python -m pip --disable-pip-version-check --no-input
INSTALL := $(PIP) install --quiet -c constraints.txt

# For Linux on x86-64 the default wheel of torch is a CUDA build of several GB. The tag +cpu can only be met by a CPU
# wheel, from whatever index or folder pip is set up with, so that a CUDA build never comes by accident.
ifeq ($(shell uname -s)-$(shell uname -m),Linux-x86_64)
CPU := +cpu
endif
TORCH ?= $(shell sed -n 's/^torch==/torch==/p' constraints.txt)$(CPU)

.PHONY: demo test docs bench clean torch-requirement
.DELETE_ON_ERROR:

demo: $(VENV)/.for-demo
	$(RUN)oamip demo --out demo

# One process a core, four at most, each with one thread of its own: WORKERS=0 runs the tests in one process.
WORKERS ?= auto
DRAWS ?=
test: $(VENV)/.for-test
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	$(RUN)mypy --strict
	OMP_NUM_THREADS=1 OAMIP_DRAWS=$(DRAWS) $(RUN)python -m pytest --numprocesses $(WORKERS) --maxprocesses 4 --dist loadgroup

# Every warning is an error: a link that leads nowhere, a tutorial that fails, a name that is not there.
docs: $(VENV)/.for-docs
	$(RUN)python -m sphinx -W --keep-going -q -b html docs docs/build/html
	$(RUN)python docs/check_links.py docs/build/html

# Runs are kept in bench-watch/, which make clean leaves alone: they are what later ones are compared with.
bench: $(VENV)/.for-bench
	$(RUN)oamip bench watch --out bench-watch

$(VENV)/.torch: constraints.txt
	$(PYTHON) -m venv $(VENV)
	@$(INSTALL) "$(TORCH)" || { echo "make: pip found no $(TORCH). Give pip an index that has CPU wheels of torch\
	 (PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS), or name another torch with make TORCH=..." >&2; exit 1; }
	touch $@

$(VENV)/.for-demo: $(VENV)/.torch setup.cfg pyproject.toml
	$(INSTALL) -e ".[cbc,plot]"
	touch $@

$(VENV)/.for-bench: $(VENV)/.torch setup.cfg pyproject.toml
	$(INSTALL) -e ".[bench]"
	touch $@

$(VENV)/.for-test: $(VENV)/.torch setup.cfg pyproject.toml
	$(INSTALL) -e ".[dev,cbc,gurobi,scip,plot,dask,parquet,frame]"
	touch $@

$(VENV)/.for-docs: $(VENV)/.torch setup.cfg pyproject.toml
	$(INSTALL) -e ".[docs,cbc,plot]"
	touch $@

# What .ci/run installs, so that the rule for torch is written once.
torch-requirement:
	@echo "$(TORCH)"

clean:
	rm -rf $(VENV) build dist demo docs/build docs/tutorials docs/reference/generated *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find oamip_model backends benchmarks tests -name __pycache__ -prune -exec rm -rf {} +
