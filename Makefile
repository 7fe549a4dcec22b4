# Set-up, checks and the server. `make` alone lists the targets.

BIN := .venv/bin
RUNTIME := .venv/.runtime-installed
INSTALLED := .venv/.developer-installed
BENCHED := .venv/.bench-installed
SOURCES := cli functions rundlet rundlet_server server storage tests

.DEFAULT_GOAL := help
.PHONY: help runtime install serve test test-cluster lint format bench soak lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(firstword $(MAKEFILE_LIST))

runtime: $(RUNTIME) ## make .venv with what a running server needs, and this project

install: $(INSTALLED) ## the same, with the tools of a developer

# The targets of set-up are files that it writes last, so an interrupted set-up is done again.
$(RUNTIME): deploy/requirements.lock deploy/build.lock pyproject.toml client/pyproject.toml \
		rundlet/version.py scripts/find-python scripts/set-up
	@scripts/set-up runtime

$(INSTALLED): requirements.lock $(RUNTIME)
	@scripts/set-up developer

$(BENCHED): bench/requirements.lock $(INSTALLED)
	@scripts/set-up bench

serve: $(RUNTIME) ## serve example.data from ./data on port 8000 (ARGS="--port 9000" ...)
	@$(BIN)/rundlet serve example.data $(ARGS)

# The tests run even where the style checks fail: both are told, the exit code covers both. They run
# side by side, in one process more than the machine has cores, up to four; ARGS="-n 0" has one.
# The processes that they start keep their bytecode, whatever the environment says: hundreds do start.
test: $(INSTALLED) ## run the linters, the type checker and the tests (ARGS="-k name" ...)
	@$(MAKE) --no-print-directory lint; checked=$$?; PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS) && exit $$checked

test-cluster: $(INSTALLED) ## run the tests with clusters of engines under faults (ARGS="-k name" ...)
	@$(BIN)/pytest -m cluster tests/cluster $(ARGS)

lint: $(INSTALLED) ## run ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(INSTALLED) ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(BENCHED) ## compare with other servers and stores, and write bench/report (SCALE=medium: in 25 minutes, small: a trial)
	@$(BIN)/python -m bench.run --scale $(or $(SCALE),$(BENCH_SCALE),full) $(ARGS)

soak: $(INSTALLED) ## run the long fault campaigns (MINUTES=10 for all; RUNDLET_SEED=1; ARGS="-k name")
	@scripts/soak $(or $(MINUTES),10) $(ARGS)

lock: $(INSTALLED) ## pin the newest allowed version of every dependency
	@scripts/lock

clean: ## remove .venv and every cache, but not ./data
	@rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
