# Set-up, checks and the server. `make` alone lists the targets.

BIN := .venv/bin
INSTALLED := .venv/.installed
BENCHED := .venv/.bench-installed
SOURCES := cli functions rundlet rundlet_server server storage tests
LOCK := $(BIN)/pip-compile --quiet --extra fast --generate-hashes --allow-unsafe --strip-extras \
	--no-header --annotation-style line \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.DEFAULT_GOAL := help
.PHONY: help install serve test lint format bench soak lock clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(firstword $(MAKEFILE_LIST))

install: $(INSTALLED) ## make .venv with the pinned dependencies and this project

# The stamp is written last, so an interrupted set-up is done again. The lock holds the build
# backend too: that is why the project itself needs no isolated build, and no other download.
$(INSTALLED): requirements.lock pyproject.toml scripts/find-python
	@python="$$(scripts/find-python)" && "$$python" -m venv .venv
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

serve: $(INSTALLED) ## serve example.data from ./data on port 8000 (ARGS="--port 9000" ...)
	@$(BIN)/rundlet serve example.data $(ARGS)

# The tests run even where the style checks fail: both are told, the exit code covers both.
test: $(INSTALLED) ## style checks, types, tests (ARGS="-k name" ...)
	@$(MAKE) --no-print-directory lint; checked=$$?; $(BIN)/pytest $(ARGS) && exit $$checked

lint: $(INSTALLED) ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(INSTALLED) ## put the code into the one layout
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(BENCHED) ## compare with other servers and engines: bench/report (SCALE=small: a try)
	@$(BIN)/python -m bench.run --scale $(or $(SCALE),$(BENCH_SCALE),full) $(ARGS)

$(BENCHED): bench/requirements.lock $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --require-hashes -r bench/requirements.lock
	@touch $@

soak: $(INSTALLED) ## the long fault campaigns, with a new seed (MINUTES=10 for all; ARGS="-k name")
	@scripts/soak $(or $(MINUTES),10) $(ARGS)

# What a developer needs; of that what a running server needs; and what benchmarks compare with.
lock: $(INSTALLED) ## pin the newest fitting version of every dependency
	@$(LOCK) --upgrade --extra dev --build-deps-for editable -o requirements.lock pyproject.toml
	@$(LOCK) --upgrade -c requirements.lock -o deploy/requirements.lock pyproject.toml
	@$(LOCK) --upgrade --extra bench -c requirements.lock -o bench/requirements.lock pyproject.toml

clean: ## remove .venv and every cache; never ./data
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
