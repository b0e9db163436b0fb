# `make demo` and `make test` are the two commands; each does its own set-up, once, in .venv.
# Needed beforehand: Python 3.11 or newer, make, git, and a package registry.

.DEFAULT_GOAL := help
.PHONY: help setup demo test audit bench compiled wheels mutants screenshots docs reference supply sbom lint format clean

PYTHON := .venv/bin/python
READY := .venv/.ready
ARGS ?=
COMPILED_TESTS := tests/gate tests/capture tests/interop tests/fuzz tests/faults tests/test_public_interface.py

# The first interpreter that is new enough and really starts (a version manager's shim may not).
FIND_PYTHON = for candidate in python3 python3.13 python3.12 python3.11 python3.14 /usr/bin/python3; do \
	if "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2])' 2>/dev/null; then \
		echo "$$candidate"; exit 0; fi; done; \
	echo "error: no Python 3.11 or newer found (tried python3, python3.11 to python3.14)" >&2; exit 2

help:
	@echo "make demo         the whole chain, live: site, banner, ledger, statistics, sealed release (ARGS=--once ends by itself)"
	@echo "make test         every test, audits sampled"
	@echo "make audit        every test, whole (long)"
	@echo "make bench        the benchmarks, one table each, peers in the same run"
	@echo "make compiled     the optional compiled wheel in build/compiled, and the gate's tests against it (needs a C compiler)"
	@echo "make wheels       the wheels of a release into dist/: the pure one, and the compiled one of this platform"
	@echo "make mutants      small faults planted into gate, decision, token, bounds and budget; what survives is listed"
	@echo "make screenshots  pictures of the pages and the dashboard into docs/images/"
	@echo "make docs         the documentation into site/"
	@echo "make reference    the pages of docs/reference/, written from the code"
	@echo "make supply       licences, secrets and a bill of materials (sbom.json)"
	@echo "make lint         ruff, mypy and the import rules"
	@echo "make clean        what the other targets made"

$(READY): requirements.lock pyproject.toml scripts/setup.py
	@python=$$($(FIND_PYTHON)) && "$$python" scripts/setup.py environment

setup: $(READY)

demo: $(READY)
	@$(PYTHON) scripts/setup.py programs chromium
	@$(PYTHON) -m examples.demo $(ARGS)

test: $(READY)
	@$(PYTHON) scripts/setup.py programs chromium postgresql openssh-server nginx goaccess
	@$(PYTHON) -m pytest -m "not audit" -n 2 --dist loadfile --durations=15 --durations-min=5 $(ARGS)

audit: $(READY)
	@$(PYTHON) scripts/setup.py programs chromium postgresql openssh-server nginx goaccess
	@$(PYTHON) -m pytest -n 2 --dist loadfile --durations=25 --timeout 3600 $(ARGS)

bench: $(READY)
	@$(PYTHON) scripts/setup.py programs chromium goaccess wrk
	@$(PYTHON) -m bench $(ARGS)

compiled: $(READY)
	@$(PYTHON) scripts/compiled.py build
	@$(PYTHON) scripts/compiled.py run -m pytest -q -m "not audit" -n 2 $(or $(ARGS),$(COMPILED_TESTS))

wheels: $(READY)
	@$(PYTHON) scripts/compiled.py wheels

mutants: $(READY)
	@.venv/bin/mutmut run --max-children 2 $(ARGS) > /dev/null
	@.venv/bin/mutmut results

screenshots: $(READY)
	@$(PYTHON) scripts/setup.py programs chromium
	@$(PYTHON) -m examples.demo.screenshots $(ARGS)

docs: $(READY)
	@$(PYTHON) -m zensical build --clean

reference: $(READY)
	@$(PYTHON) scripts/reference.py

sbom: $(READY)
	@$(PYTHON) scripts/supply.py sbom sbom.json

supply: $(READY) sbom
	@$(PYTHON) scripts/supply.py licences
	@$(PYTHON) scripts/supply.py secrets

lint: $(READY)
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

format: $(READY)
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

clean:
	rm -rf .venv site build dist mutants sbom.json var/demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
