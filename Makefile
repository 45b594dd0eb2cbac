# Everything sets itself up: `make demo` and `make test` work on a fresh clone with Python 3.10, 3.11 or 3.12.

PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.set-up

MINUTES ?= 5
# a worker for each core
PARALLEL := -n auto

.PHONY: help setup demo release-check test test-all test-oldest test-base fuzz lint bench figures docs clean

help:
	@echo "make demo         the whole road with the bundled model; writes demo/"
	@echo "make test         the test suite"
	@echo "make test-all     the test suite with its long campaigns"
	@echo "make test-oldest  the suite on the oldest torch that is supported, without Lava"
	@echo "make test-base    the suite as most install it: the newest numpy, without Lava"
	@echo "make release-check  a release: built, installed away from here on each Python that is found, and tried"
	@echo "make fuzz         damaged files of every format, for MINUTES=5; findings go to fuzz-findings/"
	@echo "make lint         ruff, mypy, import-linter"
	@echo "make bench        timings, as ratios measured in one run"
	@echo "make figures      every figure in README and docs anew: an hour, and with FASHION=DIR (idx files) those of Fashion-MNIST"
	@echo "make docs         the site, with its notebooks executed; writes build/site"
	@echo "make setup        .venv with everything, lava-nc too"
	@echo "make clean        remove what the others made"

setup: $(SETUP)

# a Python named by the caller that .venv was not made with makes it anew
ifneq ($(origin PYTHON),file)
ifneq ($(shell $(PYTHON) -c 'import sys; print(sys.version_info[:2])' 2>/dev/null),$(shell $(BIN)/python -c 'import sys; print(sys.version_info[:2])' 2>/dev/null))
$(SETUP): remake
endif
endif
.PHONY: remake
remake:

$(SETUP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' || \
	  { echo "Python 3.10, 3.11 or 3.12 is needed; say which: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@echo "setting up .venv (torch is large: some minutes)"
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "$(PYTHON) lacks its venv module; install it (Debian and Ubuntu: apt install python3-venv)" >&2; exit 2; }
	@# another Python than the one .venv was made with would be mixed into it
	@want=$$($(PYTHON) -c 'import sys; print(sys.version_info[:2])'); \
	  have=$$($(BIN)/python -c 'import sys; print(sys.version_info[:2])' 2>/dev/null || true); \
	  if [ "$$want" != "$$have" ]; then rm -rf .venv && $(PYTHON) -m venv .venv; fi
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[lava,transformers,docs,dev,crosscheck]'
	@# lava-nc declares Python 3.10 only; its code runs on 3.11 and 3.12 too (targets/lava/compat.py)
	$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python lava-nc==0.10.0 || \
	  $(BIN)/python -c 'import importlib.metadata as m; m.version("lava-nc")'
	@touch $(SETUP)

demo: setup
	$(BIN)/ecmt-deploy demo --out demo

test: setup
	$(BIN)/python -m pytest $(PARALLEL)

test-all: setup
	$(BIN)/python -m pytest $(PARALLEL) -m 'slow or not slow' --hypothesis-profile thorough

# environments of their own, as they must not hold what .venv holds
test-oldest:
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' torch==2.6.0 torchvision==0.21.0
	.venv-oldest/bin/python -m pytest $(PARALLEL)

test-base:
	$(PYTHON) -m venv .venv-base
	.venv-base/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --editable '.[dev]' 'numpy>=2'
	.venv-base/bin/python -m pytest $(PARALLEL)

release-check: setup
	.ci/release-check

fuzz: setup
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.engines
	$(BIN)/python -m benchmarks.speed

# Fashion-MNIST, a model trained on it (some minutes), and the tables that have both
FASHION ?=
FASHION_WEIGHTS := build/fashion.safetensors
WITH_FASHION := $(if $(FASHION),--idx $(FASHION) --weights $(FASHION_WEIGHTS))

$(FASHION_WEIGHTS): | setup
	mkdir -p build
	$(BIN)/python -m benchmarks.train_vit_fashion $(FASHION) --out $@

figures: setup $(if $(FASHION),$(FASHION_WEIGHTS))
	$(BIN)/python -m docs.generate.digits
	$(BIN)/python -m docs.generate.views
	$(BIN)/python -m docs.generate.trained $(WITH_FASHION)
	$(BIN)/python -m docs.generate.pilotnet
	$(BIN)/python -m docs.generate.accuracy $(WITH_FASHION)
	$(BIN)/python -m docs.generate.fixed $(WITH_FASHION)
	$(BIN)/python -m docs.generate.ablation $(WITH_FASHION)
	$(BIN)/python -m docs.generate.chips
	$(BIN)/python -m docs.generate.printed
	$(BIN)/python -m tests.support.families
	$(BIN)/python -m docs.generate.format_vector
	$(BIN)/python -m docs.generate.tour
	$(BIN)/python -m docs.generate.fixed_vector
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.large
	$(BIN)/python -m benchmarks.large budgets
	$(BIN)/python -m benchmarks.integers
	$(BIN)/python -m benchmarks.cores
	$(BIN)/python -m benchmarks.lava
	$(BIN)/python -m benchmarks.lava_streams
	$(BIN)/python -m benchmarks.streams $(WITH_FASHION)
	$(BIN)/python -m benchmarks.reading
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m docs.generate.picture # last, as it needs a Chromium

# the build and the pages fetch nothing from elsewhere
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "build/site/index.html"

clean:
	rm -rf .venv .venv-oldest .venv-base build dist demo fuzz-findings *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .grimp_cache .hypothesis
