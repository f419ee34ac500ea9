# Two commands do everything: `make demo` and `make test`. Each sets up what it needs.
.DELETE_ON_ERROR:
.PHONY: setup demo ablations test test-full test-network lint-examples fuzz faults mutants learn bench lint fix golden docs clean

PYTHON ?= python3
STORE ?= store
BIN := .venv/bin
# Quiet, private, local: no telemetry, no pickles.
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1

# A machine without network runs with what is installed: setup is skipped while its stamp is newer
# than what it depends on.
DEPENDS := pyproject.toml constraints.txt

.venv/.pipeline: $(DEPENDS)
	@command -v $(PYTHON) >/dev/null || { echo "python3 (3.11 or newer) is missing"; exit 69; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "needs Python 3.11 or newer, found $$($(PYTHON) --version); choose another with: make PYTHON=python3.11 demo"; exit 69; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "cannot make a virtual environment; on Debian: apt install python3-venv"; exit 69; }
	@echo "Installing pinned dependencies into .venv (five to ten minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[pipeline]'
	@touch $@

.venv/.dev: .venv/.pipeline
	@command -v c++ >/dev/null || { echo "a C++ compiler is missing: the extra \`evaluation\` builds pesq, meeteval and pyworld from source; on Debian: apt install build-essential python3-dev"; exit 69; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[pipeline,cluster,evaluation,onnx,dev]'
	@touch $@

setup: .venv/.dev

demo: .venv/.pipeline
	$(BIN)/wavlm run data_specs/recipes/demo.yaml --store $(STORE)

# What mixing and the gate are good for: the demo's network without them, on overlapped speech and on phones.
ablations: .venv/.dev
	for recipe in demo demo-no-mixing demo-no-gate; do $(BIN)/wavlm run $$recipe --store $(STORE) || exit; done
	for model in demo@iteration-1 demo@iteration-2 demo-no-mixing@iteration-2 demo-no-gate@iteration-2; do \
	  $(BIN)/wavlm evaluate wavlm-$$model ablations --store $(STORE) || exit; done
	$(BIN)/wavlm results --suite ablations --format markdown --store $(STORE)

PYTEST := $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

test: .venv/.dev
	OMP_NUM_THREADS=1 $(PYTEST) -m "not full"

# What takes most of a minute each, then numeric tests once more: with the kernels of an old processor, with two threads.
test-full: test
	OMP_NUM_THREADS=1 $(PYTEST) -m "full and not network"
	ATEN_CPU_CAPABILITY=default OMP_NUM_THREADS=1 $(PYTEST) -m "numeric and not full"
	OMP_NUM_THREADS=2 $(PYTEST) -m "numeric and not full"

# The oldest and the newest transformers, installed into environments of their own: what is newest changes from day to day.
test-network: .venv/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m network

# The examples of Docker, Kubernetes and Slurm, read by hadolint, by schemas and by shellcheck.
lint-examples: .venv/.dev
	$(BIN)/python -m pytest -q -m network tests/examples

# 3,000 changed files of audio, tables and YAML; writes docs/fuzz.md. make test runs a small part of it.
fuzz: .venv/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz

# The faults of tests/faults/catalogue.yaml: two campaigns side by side, which go on where they were stopped; writes
# docs/faults.md. make test-full tries a few points. Parts of it: .venv/bin/python -m tests.faults kill-labels G3
faults: .venv/.dev
	$(BIN)/python -m tests.faults --share 1/2 & $(BIN)/python -m tests.faults --share 2/2; wait; \
	  $(BIN)/python -m tests.faults --page

# 100 single changes of the code, drawn with a seed: which do tests notice? Goes on where it was stopped; writes
# docs/mutants.md. Other draws: make mutants MUTANTS_FLAGS="--seed 7 --count 50"
mutants: .venv/.dev
	$(BIN)/python -m tests.mutants $(MUTANTS_FLAGS)

# Each small system trained on real speech, and scored on other voices beside itself without training and a trivial answer.
# Within an hour; stands on the champion of `make demo`; goes on where it was stopped; writes docs/evaluation/learn.md.
# One of them: make learn LEARN_FLAGS="--only asv-small"; three seeds of each: LEARN_FLAGS="--seeds 3"
learn: .venv/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.learn --store $(STORE) $(LEARN_FLAGS)

# Under eight minutes; names and options: make bench BENCH_FLAGS="head step --device cuda"
bench: .venv/.dev
	$(BIN)/python -m benchmarks $(BENCH_FLAGS)

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info

# The schema for editors and the pinned keys, computed from the specs again.
golden: .venv/.dev
	$(BIN)/python -m tests.data_specs.golden

# The generated parts of docs/: the map of files in architecture.md, the tables of fields in recipes.md, errors.md.
docs: .venv/.dev
	$(BIN)/python tests/docs/test_architecture.py
	$(BIN)/python -m tests.docs.reference
	$(BIN)/python -m tests.docs.errors
