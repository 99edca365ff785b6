# What a person types and what continuous integration runs. `make` alone lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

BIN := .venv/bin
DONE := .venv/done
TOOLS := tools/node_modules/.package-lock.json
EXAMPLE := examples/node/node_modules/.package-lock.json
BUF := tools/node_modules/.bin/buf
PYRIGHT := tools/node_modules/.bin/pyright
PYPROJECTS := pyproject.toml proto/pyproject.toml clients/python/pyproject.toml
CONTRACT := hndsr/v1/upscale.proto
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --root-user-action=ignore
PIP_INSTALL_LOCKED := $(PIP_INSTALL) --no-deps --require-hashes

# Variables of the targets: make demo IMAGE=photo.png SCALE=3.5, make test ARGS="-k plan", make lock UPGRADE=1,
# make train DATA=images RELEASE=out/repository ABOUT="public domain"
PYTHON ?=
IMAGE ?=
SCALE ?=
ARGS ?=
DATA ?=
MINUTES ?= 28
INTO ?= out/training
RELEASE ?=
ABOUT ?=
UPGRADE ?=

.PHONY: help
help: ## List the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

.PHONY: setup
setup: $(DONE)/serve $(DONE)/own ## Install the service, Triton and the client into .venv (no torch, no developer tools)

.PHONY: demo
demo: setup ## Start Triton and the gateway, upscale an image, show the result (IMAGE=, SCALE=)
	@$(BIN)/python demo/run.py $(if $(IMAGE),--image "$(IMAGE)") $(if $(SCALE),--scale "$(SCALE)") $(ARGS)

.PHONY: up
up: setup ## Run the gateway in the foreground; Ctrl-C stops it
	@exec $(BIN)/hndsr-gateway

.PHONY: check
check: lint types test audit ## Everything that must pass before a commit

# Without npm the tests that need it are skipped.
TESTED_WITH := $(DONE)/own $(DONE)/dev $(DONE)/torch $(if $(shell command -v npm),$(TOOLS) $(EXAMPLE))

# Tests that start services share one process; the others go where there is room.
SPREAD := --numprocesses auto --maxprocesses 4

.PHONY: test
test: $(TESTED_WITH) ## Run the tests, with a real Triton (ARGS= for pytest)
	@$(BIN)/python -m pytest $(SPREAD) -m "not slow and not gpu" $(ARGS)

.PHONY: test-all
test-all: $(TESTED_WITH) $(DONE)/dvc $(DONE)/audit $(DONE)/fuzz ## Run the slow tests as well; only those that need a GPU are left out
	@$(BIN)/python -m pytest $(SPREAD) -m "not gpu" $(ARGS)

.PHONY: chaos
chaos: $(TESTED_WITH) ## Break what the service relies on under traffic, then kill at random (ARGS="-k kill_triton": one; ROUNDS=, SEED=)
	@$(BIN)/python tests/chaos/play.py $(or $(ARGS),--record)
	@$(if $(ARGS),,CHAOS_ROUNDS=$(or $(ROUNDS),100) CHAOS_SEED=$(or $(SEED),$$RANDOM) \
		$(BIN)/python -m pytest -q -s -k killed tests/e2e/test_chaos.py)

.PHONY: soak
soak: $(TESTED_WITH) ## Send one gateway 10,000 requests of every kind and look what it holds in the end (10 min)
	@$(BIN)/python tests/chaos/soak.py $(or $(ARGS),--record)

.PHONY: fuzz
fuzz: $(DONE)/own $(DONE)/dev $(DONE)/fuzz ## Look for inputs that break gateway or client, MINUTES for each of five targets (ARGS= for fuzz/run.py)
	@.venv/fuzz/bin/python fuzz/run.py --minutes $(MINUTES) $(ARGS)

.PHONY: lint
lint: $(DONE)/own $(DONE)/dev lint-proto lint-docs ## Check style, direction of imports, the contract, generated files
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports

.PHONY: lint-proto
lint-proto: $(TOOLS) $(DONE)/proto
	@$(BUF) lint proto
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; $(call generate,$$folder); \
	for stub in "$$folder"/hndsr/v1/*; do \
		diff -u "proto/hndsr/v1/$${stub##*/}" "$$stub" && continue; \
		echo "the committed stubs are not what $(CONTRACT) yields: run 'make proto'" >&2; exit 1; done

.PHONY: lint-docs
lint-docs: $(DONE)/own $(DONE)/proto
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; $(call write_pages,$$folder,$$folder); \
	for page in "$$folder"/*.md; do \
		diff -u "docs/$${page##*/}" "$$page" && continue; \
		echo "the committed pages are not what the code yields: run 'make docs'" >&2; exit 1; done

.PHONY: types
types: $(DONE)/own $(DONE)/dev $(TOOLS) ## Check the types with mypy, and the client's with pyright as well
	@$(BIN)/mypy
	@$(PYRIGHT) --pythonpath $(BIN)/python

.PHONY: audit
audit: audit-licences audit-packages audit-npm ## Check licences, and ask who knows for vulnerabilities (needs the network)

# Licences are looked up where a lock is installed: what is for other platforms only is not there.
.PHONY: audit-licences
audit-licences: $(DONE)/own $(DONE)/dev $(DONE)/torch $(DONE)/proto $(DONE)/dvc $(DONE)/fuzz $(DONE)/audit
	@for lock in dev proto dvc fuzz audit; do \
		folder=.venv/$$lock; [[ -d $$folder ]] || folder=.venv; \
		names=$$(sed -nE 's/^([a-z0-9][^ =]*)==.*/\1/p' requirements/$$lock.lock); \
		(cd requirements && ../.venv/audit/bin/pip-licenses --python "../$$folder/bin/python" --packages torch $$names) >/dev/null || { \
			echo "$$lock.lock: see [tool.pip-licenses] in requirements/pyproject.toml" >&2; exit 1; }; done

# All pins, whichever Python or platform they are for; two versions of one distribution have to go into two files.
.PHONY: audit-packages
audit-packages: $(DONE)/audit
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	sed -nE 's/^([a-z0-9][^ ;]*==[^ ;]+).*/\1/p' requirements/*.lock requirements/torch.in | sort -u | \
		awk -F== -v folder="$$folder" '{ print >folder "/" ++times[$$1] ".txt" }'; \
	for pins in "$$folder"/*; do .venv/audit/bin/pip-audit --progress-spinner off --strict --disable-pip --no-deps -r "$$pins" || { \
		echo "a vulnerability, or PyPI does not answer here about some package (a mirror may not): nothing is known of it then" >&2; \
		exit 1; }; done

.PHONY: audit-npm
audit-npm:
	@for folder in tools examples/node; do (cd $$folder && npm audit --package-lock-only --audit-level=high) || { \
		echo "$$folder: a vulnerability, or the registry of npm does not answer here about any: nothing is known then" >&2; \
		exit 1; }; done

.PHONY: sbom
sbom: $(DONE)/audit ## Write the bill of materials of the service into dist/: packages with hashes, weights with digests
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	.venv/audit/bin/python -W ignore -m cyclonedx_py requirements requirements/serve.lock \
		--pyproject pyproject.toml --output-reproducible -o "$$folder/packages.json"; \
	.venv/audit/bin/python tools/sbom.py "$$folder/packages.json" dist/hndsr.cdx.json
	@ls dist/hndsr.cdx.json

.PHONY: bench
bench: $(DONE)/own $(DONE)/dev $(DONE)/torch ## Measure this machine against what else could be used (20 min, undisturbed)
	@$(BIN)/python benchmarks/run.py $(ARGS)

.PHONY: bench-gpu
bench-gpu: $(DONE)/own $(DONE)/dev $(DONE)/torch ## Measure one CUDA GPU: networks, tiles, the whole stack, a gigapixel (15 min)
	@$(BIN)/python benchmarks/gpu.py $(ARGS)

.PHONY: bench-plots
bench-plots: $(DONE)/own $(DONE)/dev ## Draw the plots anew from docs/benchmarks.json
	@$(BIN)/python benchmarks/plots.py

.PHONY: bench-scale
bench-scale: $(DONE)/own $(DONE)/dev ## Measure streams of up to a gigapixel: memory, throughput, fairness (15 min, 4 GB)
	@$(BIN)/python benchmarks/run.py --only scale $(ARGS)

.PHONY: bench-rasters
bench-rasters: $(DONE)/own $(DONE)/dev ## Measure rasters: where the time goes, memory (5 min, 6 GB)
	@$(BIN)/python benchmarks/run.py --only rasters $(ARGS)

# Generates the stubs into the folder $(1), which is absolute or relative to proto/.
generate = (cd proto && ../.venv/proto/bin/python -W ignore -m grpc_tools.protoc -I. \
	--python_out="$(1)" --pyi_out="$(1)" --grpc_python_out="$(1)" $(CONTRACT))

.PHONY: proto
proto: $(DONE)/proto ## Generate the Python stubs anew from the .proto
	@$(call generate,.)

# Writes the reference pages into the folder $(2) by way of the contract's descriptors in the folder $(1).
write_pages = (cd proto && ../.venv/proto/bin/python -W ignore -m grpc_tools.protoc -I. \
	--include_source_info --descriptor_set_out="$(1)/contract.binpb" $(CONTRACT)) && \
	$(BIN)/python docs/generate.py "$(1)/contract.binpb" "$(2)"

.PHONY: docs
docs: $(DONE)/own $(DONE)/proto ## Write the reference pages anew from the code and the .proto
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; $(call write_pages,$$folder,docs)

.PHONY: train
train: $(DONE)/own $(DONE)/dev $(DONE)/torch ## Train on the images in DATA for MINUTES, measure, release (INTO=, RELEASE=, ABOUT=)
	@test -n "$(DATA)" || { echo "say where the images are: make train DATA=FOLDER MINUTES=28" >&2; exit 1; }
	@test -z "$(RELEASE)" || test -n "$(ABOUT)" || { \
		echo "say what the images are, and under which licence: make train RELEASE=FOLDER ABOUT=TEXT" >&2; exit 1; }
	@$(BIN)/hndsr-train prepare $(DATA) --into "$(INTO)/data" $(PREPARE_ARGS)
	@$(BIN)/hndsr-train run --manifest "$(INTO)/data/manifest.jsonl" --minutes $(MINUTES) --into "$(INTO)/run" $(ARGS)
	@$(BIN)/hndsr-train evaluate --manifest "$(INTO)/data/manifest.jsonl" --weights "$(INTO)/run/weights" --into "$(INTO)/evaluation" $(EVALUATE_ARGS)
	@test -z "$(RELEASE)" || $(BIN)/hndsr-train release "$(INTO)/run" --set "test=$(INTO)/data/manifest.jsonl" \
		--data "$(ABOUT)" --into "$(RELEASE)" --engine auto $(RELEASE_ARGS)

.PHONY: pipeline
pipeline: $(DONE)/own $(DONE)/dev $(DONE)/torch $(DONE)/dvc ## From the images of params.yaml to a release, by DVC: only what changed (ARGS= for dvc repro)
	@PATH="$(CURDIR)/$(BIN):$$PATH" .venv/dvc/bin/dvc repro $(ARGS)

.PHONY: export
export: $(DONE)/own $(DONE)/dev $(DONE)/torch ## Write the ONNX graphs, and seal manifests and probes
	@$(BIN)/python -m hndsr_ensemble.export model_repository
	@$(BIN)/python -m hndsr_ensemble.release model_repository

.PHONY: wheels
wheels: $(DONE)/own $(DONE)/dev ## Build the three wheels into dist/
	@for folder in proto clients/python .; do \
		$(BIN)/python -m build --quiet --wheel --no-isolation --outdir dist "$$folder"; done
	@ls dist/*.whl

COMPILE = UV_PYTHON_DOWNLOADS=never $(BIN)/uv pip compile --quiet --project requirements --universal \
	--python-version 3.10 --generate-hashes --no-emit-index-url --no-header $(if $(UPGRADE),--upgrade)
COMPILE_OWN = $(COMPILE) $(PYPROJECTS) --excludes requirements/excluded.in \
	--no-emit-package hndsr --no-emit-package hndsr-proto --no-emit-package hndsr-client

# The pins of the big lock are the start of the small one, so that both agree.
.PHONY: lock
lock: $(DONE)/dev ## Resolve the locks anew; pins stay unless UPGRADE=1
	@echo "resolving requirements/*.lock"
	@$(COMPILE_OWN) requirements/dev.in --all-extras --excludes requirements/torch.in -o requirements/dev.lock
	@cp requirements/dev.lock requirements/serve.lock
	@$(subst --upgrade,,$(COMPILE_OWN)) requirements/serve.in --extra embedded --extra demo --extra geo --extra openvino -o requirements/serve.lock
	@$(COMPILE) requirements/proto.in -o requirements/proto.lock
	@$(COMPILE) requirements/dvc.in -o requirements/dvc.lock
	@$(COMPILE) requirements/fuzz.in -o requirements/fuzz.lock
	@$(COMPILE) requirements/audit.in -o requirements/audit.lock

.PHONY: clean
clean: ## Remove caches and built wheels; .venv stays
	@rm -rf dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

# A file under .venv/done says what is installed; it is older than what it was installed from if that has changed.

# Triton's Python backend loads libpython as a shared library, so an interpreter without one does not do on Linux.
define SUITABLE
import ensurepip, pathlib, sys, sysconfig, venv
library = pathlib.Path(sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("INSTSONAME") or "")
shared = ".so" in library.name and library.is_file()
sys.exit(not ((3, 10) <= sys.version_info < (3, 13) and (shared or sys.platform != "linux")))
endef
export SUITABLE

.PHONY: python
python: # Print the Python that .venv would be made from
	@for python in $(or $(PYTHON),python3.11 python3.12 python3.10 python3); do \
		if "$$python" -c "$$SUITABLE" 2>/dev/null; then command -v "$$python"; exit 0; fi; done; \
	echo "$$NO_PYTHON" >&2; exit 1

define NO_PYTHON
No suitable Python: $(if $(PYTHON),$(PYTHON) is not one,none is on PATH). Needed is Python 3.10, 3.11 or 3.12 with the
modules venv and ensurepip and, on Linux, a shared libpython.
Debian and Ubuntu: apt-get install python3-venv libpython3.11 (in the version of your python3).
Elsewhere: a Python built with --enable-shared, given by name: make setup PYTHON=/path/to/python3.11
endef
export NO_PYTHON

$(DONE)/venv:
	@test -x $(BIN)/python || { python=$$($(MAKE) --silent python); \
		echo "making .venv with $$("$$python" --version)"; "$$python" -m venv .venv; }
	@$(BIN)/python -c "$$SUITABLE" || { echo "the Python of .venv will not do: remove .venv, try again" >&2; exit 1; }
	@mkdir -p $(@D) && touch $@

$(DONE)/serve: requirements/serve.lock $(DONE)/venv
	@echo "installing the service's packages (a minute, 0.9 GB)"
	@$(PIP_INSTALL_LOCKED) -r $<
	@touch $@

$(DONE)/own: $(PYPROJECTS) $(DONE)/serve
	@echo "installing hndsr, hndsr-proto and hndsr-client in place"
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e proto -e clients/python -e .
	@touch $@

$(DONE)/dev: requirements/dev.lock $(DONE)/serve
	@echo "installing the developer's packages (a minute, 0.4 GB more)"
	@$(PIP_INSTALL_LOCKED) -r $<
	@touch $@

# Hashes in a constraints file would make pip demand one of torch as well, so they are left out here.
$(DONE)/torch: requirements/torch.in $(DONE)/dev
	@echo "installing torch (0.8 GB for a CPU build, several with CUDA)"
	@sed -nE 's/^([^ #]+==.*[^ ]) \\$$/\1/p' requirements/dev.lock >.venv/constraints.txt
	@$(PIP_INSTALL) -c .venv/constraints.txt -r $<
	@touch $@

$(DONE)/proto: requirements/proto.lock $(DONE)/venv
	@echo "installing the generator of the stubs"
	@test -x .venv/proto/bin/python || $(BIN)/python -m venv .venv/proto
	@$(subst $(BIN),.venv/proto/bin,$(PIP_INSTALL_LOCKED)) -r $<
	@touch $@

$(DONE)/dvc: requirements/dvc.lock $(DONE)/venv
	@echo "installing DVC"
	@test -x .venv/dvc/bin/python || $(BIN)/python -m venv .venv/dvc
	@$(subst $(BIN),.venv/dvc/bin,$(PIP_INSTALL_LOCKED)) -r $<
	@touch $@

$(DONE)/fuzz: requirements/fuzz.lock $(DONE)/venv
	@echo "installing atheris"
	@test -x .venv/fuzz/bin/python || $(BIN)/python -m venv .venv/fuzz
	@$(subst $(BIN),.venv/fuzz/bin,$(PIP_INSTALL_LOCKED)) -r $<
	@packages() { "$$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }; \
		echo "import site; site.addsitedir('$$(packages $(BIN)/python)')" >"$$(packages .venv/fuzz/bin/python)/beside.pth"
	@touch $@

$(DONE)/audit: requirements/audit.lock $(DONE)/venv
	@echo "installing what audits the packages"
	@test -x .venv/audit/bin/python || $(BIN)/python -m venv .venv/audit
	@$(subst $(BIN),.venv/audit/bin,$(PIP_INSTALL_LOCKED)) -r $<
	@touch $@

%/node_modules/.package-lock.json: %/package-lock.json
	@command -v npm >/dev/null || { \
		echo "make lint and make types need node and npm, for buf and pyright" \
			"(Debian and Ubuntu: apt-get install nodejs npm)" >&2; exit 1; }
	@echo "installing the npm packages of $*"
	@cd $* && npm ci --silent
	@touch $@
