# Resik. `make` alone says what there is; `make run` and `make test` are all that most people need.
# Assumes Python 3.11 or newer, make and the package registries; everything else is set up here.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PORT   ?= 8080
ARGS   ?=
JOBS   ?= 3
BENCHES := decode spool memory store_write store_read store_rollup api_state api_streams

export VENV
STAMPS := $(VENV)/.stamps
WEB_SOURCES := $(shell find dashboard_api/web -type f -not -path '*/node_modules/*' 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help setup run real demo web test test-firmware test-wheel lint format typings services wheel bench
.PHONY: bench-firmware bench-pipeline bench-scale endure clean

help: ## Say what can be done here
	@echo 'Resik menjaga alun-alun tetap bersih / keeps a town square clean.'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-21s %s\n", $$1, $$2}'
	@echo
	@echo 'Options: make run PORT=8081, make run ARGS="--speed 60", make test ARGS="-k spool" JOBS=1, PYTHON=python3.12'

# -- setting up -----------------------------------------------------------------------------------

$(STAMPS)/python: constraints.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not installed: install Python 3.11 or newer, or name one: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Resik needs Python 3.11 or newer; $(PYTHON) is older: make PYTHON=python3.12"; exit 2; }
	@test -x $(BIN)/python || { echo "Making the environment in $(VENV)"; $(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing: on Debian apt-get install python3-venv"; exit 2; }; }
	@echo "Installing what Resik needs (the first time takes a minute or two)"
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt pip setuptools wheel
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e '.[stack,postgres]'
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: $(STAMPS)/python
	@echo "Installing what tests and checks need"
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt --group dev
	@touch $@

$(STAMPS)/web: $(STAMPS)/python $(WEB_SOURCES) scripts/web.sh
	@echo "Building the web client"
	@scripts/web.sh run build --silent > $(STAMPS)/web.log || { cat $(STAMPS)/web.log; exit 2; }
	@touch $@

$(STAMPS)/typings: $(STAMPS)/dev
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --upgrade -c constraints.txt --target typings micropython-esp32-stubs
	@touch $@

setup: $(STAMPS)/python ## Make the environment in .venv
web: $(STAMPS)/web ## Build the web client
typings: $(STAMPS)/typings

# -- running --------------------------------------------------------------------------------------

run: $(STAMPS)/python $(STAMPS)/web ## Run the whole square, simulated at x30, with a live map
	@$(BIN)/resik up --port $(PORT) $(ARGS)

real: $(STAMPS)/python $(STAMPS)/web ## The same without the simulator, for real devices
	@$(BIN)/resik up --real --port $(PORT) $(ARGS)

demo: $(STAMPS)/python $(STAMPS)/web ## Run it unattended for a minute and print what became of every reading
	@$(BIN)/resik demo $(ARGS)

# -- checking -------------------------------------------------------------------------------------

services: ## Install the servers that the tests run against (as root on Debian)
	@scripts/services.sh

test: $(STAMPS)/dev $(STAMPS)/typings $(STAMPS)/web services ## Test everything, then the built wheel once more
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)
	scripts/web.sh test --silent
	$(MAKE) --no-print-directory test-wheel

test-firmware: $(STAMPS)/dev $(STAMPS)/typings services ## Test what runs on the nodes, on CPython and on real MicroPython
	$(BIN)/ruff check firmware simulators tests/firmware
	$(BIN)/basedpyright firmware
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup tests/firmware $(ARGS)

test-wheel: $(STAMPS)/dev $(STAMPS)/typings wheel ## Install the built wheel elsewhere and test that
	scripts/test_wheel.sh -n $(JOBS) --dist loadgroup

lint: $(STAMPS)/dev $(STAMPS)/typings $(STAMPS)/web ## Style, types, imports, device types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest firmware.wire
	$(BIN)/basedpyright firmware
	scripts/web.sh run check --silent

format: $(STAMPS)/dev ## Format the Python sources
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: $(STAMPS)/dev $(STAMPS)/web ## Build the wheel, web client included, into dist/
	@rm -rf build dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist . >/dev/null
	@ls dist

bench: $(STAMPS)/dev ## Measure speed beside peers and limits
	@for name in $(BENCHES); do echo "== bench/$$name.py"; $(BIN)/python -m bench.$$name || exit 1; done

bench-firmware: $(STAMPS)/dev services ## Measure the nodes and write the table of docs/firmware.md
	$(BIN)/python -m bench.firmware --write docs/firmware.md

bench-pipeline: $(STAMPS)/dev services ## Measure MQTT to InfluxDB beside Node-RED and others
	@$(BIN)/python -m bench.pipeline $(ARGS)

bench-scale: $(STAMPS)/dev services ## Measure what grows with the number of devices
	$(BIN)/python -m bench.scale $(ARGS)

endure: $(STAMPS)/dev services ## Break everything on purpose and write docs/endurance.md (12 minutes)
	$(BIN)/python -m bench.endurance --write docs/endurance.md $(ARGS)

clean: ## Remove environment and build products, never data (var/)
	rm -rf $(VENV) build dist typings dashboard_api/static dashboard_api/web/node_modules *.egg-info
