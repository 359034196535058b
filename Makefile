# Two commands matter: `make demo` and `make test`. Both set up `.venv` on first use.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
WORKERS ?= 2

MODEL ?= models/smollm2
OUT ?= tour-out

.PHONY: setup demo test test-fast engines check fix docs site tour real measure
setup: $(STAMP)

# torch is pinned in constraints.txt and installed first, so that nothing else picks another build.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: setup
	$(BIN)/holdfast demo --out demo-out --overwrite

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# For daily work: no slow test, no browser, and a part of the many like cases of dear tests.
test-fast: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow and not thorough and not chromium"

# Every defense on every engine, a run killed and resumed in two processes, sweeps over two nodes.
engines: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m engines

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

fix: setup
	$(BIN)/python -m tests.layout.write_names
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup
	$(BIN)/python docs/build.py

# The documentation as a site, below site/; a link that leads nowhere is an error.
site: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# A real chat model through all of it: `make tour`, or `make tour MODEL=organism` for the built-in one.
tour: setup
	test "$(MODEL)" != models/smollm2 || $(BIN)/python measurements/real_model.py --out $(MODEL)
	$(BIN)/python -m measurements.tour --model $(MODEL) --out $(OUT)

# The subject of the bench of a real model: its rows, aligned/ and a check; a quarter of an hour on two idle cores.
real: setup
	test "$(MODEL)" != models/smollm2 || $(BIN)/python measurements/real_model.py --out $(MODEL)
	$(BIN)/python -m measurements.real --model $(MODEL) --out real-out

measure: setup
	$(BIN)/python -m measurements.step_cost --out results/step_cost.json
	$(BIN)/python measurements/generation.py --out results/generation.json
	$(BIN)/python measurements/analysis_cost.py --out results/analysis_cost.json
