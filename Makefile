# What a person needs: `make demo` and `make test`. Both set up first; set-up is idempotent and needs no root.
PYTHON ?= python3
BIN    := .venv/bin
READY  := .venv/.ready

.PHONY: setup demo test check bench soak lock clean
.DEFAULT_GOAL := demo

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Ferry needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: $(READY)
	$(BIN)/python examples/demo.py

test: $(READY)
	$(BIN)/pytest --numprocesses 2 --dist loadgroup

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest --quiet tests/unit/test_imports.py tests/unit/stacks

bench: $(READY)
	@for script in bench/*.py; do $(BIN)/python $$script; done

# Pushes, gateways, cutovers and the audit's chainer killed at random moments; 100,000 fuzzed tokens; the whole program
# through failing calls and killed engines; each policy broken under the engine. What needs versitygw or the Pulumi CLI, and finds none on PATH, skips and says so.
soak: $(READY)
	FERRY_SOAK=100 $(BIN)/pytest --quiet tests/integration/models/test_repository.py -k "push_killed"
	FERRY_SOAK=100 $(BIN)/pytest --quiet tests/integration/traffic/tokens -k "fuzzed"
	FERRY_SOAK=20 $(BIN)/pytest --quiet tests/integration/traffic/test_kills.py
	FERRY_SOAK=20 $(BIN)/pytest --quiet tests/integration/traffic/audit/test_archive.py -k killed
	FERRY_SOAK=100 $(BIN)/pytest --quiet tests/integration/traffic/cutover -k "killed or nothing_reaches"
	FERRY_SOAK=20 $(BIN)/pytest --quiet tests/integration/traffic/gateway -k "killed or minutes"
	FERRY_SOAK=1 $(BIN)/pytest --quiet tests/e2e/test_engine.py tests/e2e/test_policies.py tests/integration/rehearsal/test_both_fronts.py
	FERRY_SOAK=5 $(BIN)/pytest --quiet tests/e2e/test_faults.py tests/integration/rehearsal/test_faults.py

# The lock holds hashes for every platform and no index address. Needs uv (https://docs.astral.sh/uv).
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --extra dev --no-header --no-emit-index-url \
	  --quiet pyproject.toml --output-file requirements.lock

clean:
	rm -rf .venv build .ferry
