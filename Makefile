# MoEScope: `make run` and `make test` work on a fresh machine with Python 3.11 or newer.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
# Handed to pip, e.g. PIP_ARGS="--extra-index-url …" to take pytorch's CPU build.
PIP_ARGS ?=
# Processes that the tests are shared among: half of them for each, the first half has those with
# a browser. Who has none left takes from the end of another's.
WORKERS ?= 2
# Handed to the program that the target runs, e.g. make test ARGS="-k trace".
ARGS ?=
# How long `make soak` lasts.
MINUTES ?= 10

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check $(PIP_ARGS)

.PHONY: help run test bench soak lint format model models-page clean browser

help:
	@echo "make run     the app at http://127.0.0.1:8050"
	@echo "make test    all tests                         (ARGS=… for pytest)"
	@echo "make bench   benchmarks, ratios first          (ARGS=… names of benchmarks)"
	@echo "make soak    twenty people type for ten minutes (MINUTES=… for longer)"
	@echo "make lint    format, linter, types, import rules"
	@echo "make format  formats the code"
	@echo "make model   trains the bundled model anew     (ARGS=… for the training)"
	@echo "make models-page  writes docs/models.md from what is found"
	@echo "make clean   removes the virtual environment and caches, keeps data/"

run: $(VENV)/runtime.stamp
	@exec $(BIN)/python -m app $(ARGS)

test: $(VENV)/dev.stamp browser
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

bench: $(VENV)/dev.stamp browser
	@$(BIN)/python -m benchmarks $(ARGS)

soak: $(VENV)/dev.stamp
	@MOESCOPE_BENCH_MINUTES=$(MINUTES) $(BIN)/python -m benchmarks crowd

lint: $(VENV)/dev.stamp
	@$(BIN)/ruff format --check --quiet --output-format concise . || { echo "Not formatted: run make format"; exit 1; }
	@$(BIN)/ruff check --quiet --output-format concise .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/dev.stamp
	@$(BIN)/ruff check --quiet --fix . || true
	@$(BIN)/ruff format .

model: $(VENV)/runtime.stamp
	@$(BIN)/python -m training $(ARGS)

models-page: $(VENV)/dev.stamp
	@$(BIN)/python -m tests.models_page

clean:
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache test-results bench.json
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@[ -n "$(PYTHON)" ] && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "MoEScope needs Python 3.11 or newer (make PYTHON=/path/to/python …)" >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "Python can't make virtual environments here; on Debian or Ubuntu: apt-get install python3-venv" >&2; \
	  exit 1; }

# Made anew whenever the file of requirements is newer.
$(VENV)/runtime.stamp: requirements.txt | $(BIN)/python
	@echo "Installing what the app needs into $(VENV) (once, a few minutes)"
	@$(PIP) -r requirements.txt
	@touch $@

$(VENV)/dev.stamp: requirements-dev.txt requirements-automl.txt requirements-ray.txt requirements.txt | $(BIN)/python
	@echo "Installing what app and tests need into $(VENV) (once, a few minutes)"
	@$(PIP) -r requirements-dev.txt
	@touch $@ $(VENV)/runtime.stamp

# Playwright drives the system's Chromium; nothing is downloaded from elsewhere. The shell has no
# windows, which takes a fifth off the tests' work; not every system packages it.
browser:
	@command -v chromium-headless-shell chromium chromium-browser google-chrome >/dev/null && exit 0; \
	as_root=""; [ "$$(id -u)" = 0 ] || as_root="sudo"; \
	if ! command -v apt-get >/dev/null || { [ -n "$$as_root" ] && ! command -v sudo >/dev/null; }; then \
	  echo "The tests need Chromium: install the system's package chromium first" >&2; exit 1; \
	fi; \
	echo "Installing Chromium (once)"; \
	log=$$(mktemp); \
	install="$$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends"; \
	{ $$as_root apt-get update && \
	  { $$install chromium-headless-shell || $$install chromium; }; } >"$$log" 2>&1 </dev/null \
	  || { tail -n 5 "$$log" >&2; echo "Chromium could not be installed" >&2; exit 1; }; \
	rm -f "$$log"
