# make        the environment, the default study, and what to open afterwards
# make test   the environment and the tests
# make bench  the environment and the benchmark: what the study takes beside a bare forward pass
# make rulegraph  docs/rulegraph.svg, drawn by graphviz (Debian: apt install graphviz)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= all
PYTEST_ARGS ?=
BENCH_ARGS ?=

.PHONY: all study environment test bench lint rulegraph clean

all: study

study: $(VENV)/installed
	. $(BIN)/activate && snakemake --quiet all --cores 1 plan && snakemake --cores $(CORES)

environment: $(VENV)/installed

test: $(VENV)/installed
	. $(BIN)/activate && python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

bench: $(VENV)/installed
	. $(BIN)/activate && PYTHONPATH=workflow python -m bench $(BENCH_ARGS)

lint: $(VENV)/installed
	. $(BIN)/activate && ruff check && ruff format --check && snakefmt --check Snakefile workflow/rules && snakemake --lint

rulegraph: $(VENV)/installed
	. $(BIN)/activate && graph=$$(snakemake --rulegraph) && echo "$$graph" | dot -Grankdir=LR -Tsvg -o docs/rulegraph.svg

# The file appears only after a whole installation, so that one cut short is repeated.
$(VENV)/installed: envs/requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or later is needed; $(PYTHON) is {sys.version.split()[0]}: make PYTHON=python3.12")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo 'error: $(PYTHON) cannot make a virtual environment; on Debian or Ubuntu: apt install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement envs/requirements.txt
	touch $@

clean:
	rm -rf $(VENV)
