# Two commands matter: `make demo` shows the whole chain, `make test` proves it. Each makes .venv by itself.
PY ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SEED ?= 1
PACKAGES := device_model wire_codecs device_drivers rules_engine cloud_bridge edge_agent community_os \
            firmware_sim provisioning dashboards bench demo

.PHONY: help demo test check sim bench golden pictures soak install system-packages clean deb wheel

help:            ## list the targets
	@grep -hE '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed 's/:.*##/  —/'

$(STAMP): requirements.lock pyproject.toml tools/bootstrap.sh
	@bash tools/bootstrap.sh venv
	@touch $@

install: $(STAMP) ## make .venv with everything in it

system-packages: ## Debian packages that the tests need, only if missing
	@bash tools/bootstrap.sh system

demo: $(STAMP)   ## a real recorded house fire, from detectors to the brigade's board
	@$(BIN)/tocsin demo $(ARGS)

check: $(STAMP)  ## style, types, layers, profiles, sites, rules
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/tocsin profile check device_model/profiles/*.yaml
	$(BIN)/tocsin site check $(filter-out %.places.yaml,$(wildcard examples/site/*.yaml demo/sites/*.yaml))
	$(BIN)/tocsin rules check $(filter-out %.test.yaml,$(wildcard rules_engine/packs/*.yaml))
	$(BIN)/tocsin rules test

test: system-packages $(STAMP) check ## everything that CI runs
	$(BIN)/python -m pytest -n 3

sim: $(STAMP)    ## replay one seed of the whole-system simulation: make sim SEED=7
	$(BIN)/python -m tests.simulation.run --seed $(SEED) $(ARGS)

bench: $(STAMP)  ## every benchmark, figures beside budgets
	$(BIN)/tocsin bench all $(ARGS)

golden: $(STAMP) ## rewrite generated references (schemas, README tables); golden frames are never generated
	$(BIN)/python -m tools.golden

pictures: $(STAMP) ## take the pictures of every page anew (docs/pictures.md)
	$(BIN)/python -m tools.pictures

soak: $(STAMP)   ## the long forms
	$(BIN)/python -m pytest -n 2 -m soak --override-ini addopts="--import-mode=importlib" tests

deb: $(STAMP)    ## the Debian package of the gateway, in dist/
	@$(BIN)/python packaging/build_deb.py deb

wheel: $(STAMP)  ## what packaging/install.sh installs
	@$(BIN)/python packaging/build_deb.py wheel

clean:           ## remove what make made
	rm -rf $(VENV) var
