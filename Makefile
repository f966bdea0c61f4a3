# Needs Python 3.11 or later with venv, and make. Everything is installed into .venv, nothing elsewhere, and every
# package in the version and with the hash that requirements/ names.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --custom-compile-command "make lock" $(ARGS)

.PHONY: run test lint check bench trust fuzz screenshots lock dist sbom clean

run: .venv/installed  ## look at this host: make run, make run ARGS="list state close-wait"
	@$(BIN)/sockui $(ARGS)

test: .venv/developing  ## every test but the long ones of make trust; what is skipped is listed with the reason
	@status=0; beside=$$(mktemp -d); \
	nice -n 19 $(BIN)/pytest --numprocesses auto --maxprocesses 4 -m "not kernel and not pty" >$$beside/neither 2>&1 & neither=$$!; \
	$(BIN)/pytest -m "pty and not long" >$$beside/pty 2>&1 & pty=$$!; \
	$(BIN)/pytest -m "kernel and not pty and not long" || status=$$?; \
	wait $$pty || status=$$?; \
	wait $$neither || status=$$?; \
	cat $$beside/pty $$beside/neither; rm -rf $$beside; exit $$status

lint: .venv/developing  ## style, types and the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

bench: .venv/developing  ## the budget beside ss, htop and others, in one run: make bench ARGS="keys --sockets 10000"; ARGS=--help
	@$(BIN)/python -m tests.bench.run $(ARGS)

trust: .venv/developing  ## what it must withstand, thrown at it for real: make trust ARGS="fuzz --seconds 60"; ARGS=--soak
	@$(BIN)/python -m tests.trust.run $(ARGS)

fuzz: .venv/developing  ## mutated dumps, filters, texts and files for a minute: make fuzz SECONDS=600
	@$(BIN)/python -m tests.trust.run fuzz --seconds $(or $(SECONDS),60)

screenshots: .venv/developing  ## made anew from the lab's real sockets
	$(BIN)/python screenshots/take.py $(ARGS)

lock: .venv/developing  ## requirements/ anew, after a change of pyproject.toml; newer versions: make lock ARGS=--upgrade
	$(LOCK) --group dev --output-file requirements/dev.txt pyproject.toml
	$(LOCK) --constraint requirements/dev.txt --output-file requirements/run.txt pyproject.toml

dist: .venv/developing  ## wheel and source distribution, the same bytes wherever and whenever they are built
	rm -rf dist
	$(BIN)/hatchling build

sbom: .venv/developing  ## what an installation brings, as CycloneDX: dist/sockui.cdx.json
	mkdir -p dist
	PYTHONWARNINGS=ignore::UserWarning $(BIN)/uv tool run --from cyclonedx-bom==7.5.0 cyclonedx-py requirements requirements/run.txt \
	  --pyproject pyproject.toml --mc-type application --output-reproducible --output-file dist/sockui.cdx.json

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache snapshot_report.html
	find sockui tests screenshots -name __pycache__ -prune -exec rm -rf {} +

.venv/installed: pyproject.toml requirements/run.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "sockui needs Python 3.11 or later; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --require-hashes --requirement requirements/run.txt
	$(BIN)/pip install --quiet --no-deps --editable .
	@touch $@

.venv/developing: .venv/installed requirements/dev.txt
	$(BIN)/pip install --quiet --require-hashes --requirement requirements/dev.txt
	@touch $@
