# Works with GNU make 3.81 (macOS) and 4.x; recipes are plain POSIX shell.

DOCUMENTS ?= 1000
KIND_CLUSTER ?= pdf-fleet
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Variables of the user's shell that would change the result are unset. Where packages come from is the user's choice.
PACKAGE_SOURCE := PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS PIP_NO_INDEX PIP_PROXY PIP_CERT PIP_CLIENT_CERT \
  PIP_TRUSTED_HOST PIP_CONFIG_FILE PIP_CACHE_DIR PIP_DEFAULT_TIMEOUT PIP_TIMEOUT PIP_RETRIES PIP_KEYRING_PROVIDER
WITHOUT_PIP := env $(foreach name,$(filter-out $(PACKAGE_SOURCE),$(filter PIP_%,$(.VARIABLES))),-u $(name))
WITHOUT_CELERY := env $(foreach name,$(filter CELERY_%,$(.VARIABLES)),-u $(name))
WITHOUT_FLEET := $(WITHOUT_CELERY) $(foreach name,$(filter FLEET_%,$(.VARIABLES)),-u $(name))
unexport PYTHONHOME PYTHONPATH
# Compiled modules make every worker start sooner.
unexport PYTHONDONTWRITEBYTECODE

FITS := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))

.DEFAULT_GOAL := help
.PHONY: help venv demo test tutorial lint types bench docs lock clean cluster deploy kind-demo e2e cluster-down

help: ## Show this list
	@echo 'make TARGET, where TARGET is one of:'
	@awk 'BEGIN {FS = ":.*## "} /^[a-z][a-z0-9-]*:.*## / {printf "  %-12s %s\n", $$1, $$2}' Makefile

venv: $(STAMP) ## Make the environment in .venv (the only target that needs a network, besides lock)

demo: $(STAMP) ## Run 1,000 PDFs through a fleet that grows and shrinks (DOCUMENTS=50 SEED=7 REPORT=dir ARGS=...)
	@exec $(WITHOUT_CELERY) $(BIN)/fleet demo --documents $(DOCUMENTS) $(if $(SEED),--seed $(SEED)) $(if $(REPORT),--report $(REPORT)) $(ARGS)

test: $(STAMP) ## Run every test that needs no cluster (ARGS='-k name' picks some)
	@$(WITHOUT_FLEET) $(BIN)/python -m pytest -n auto --dist loadscope --no-loadscope-reorder --cov --cov-report=term --ignore=tests/e2e $(ARGS)

tutorial: $(STAMP) ## Celery for newcomers: a server, a worker and a client, step by step
	@exec $(WITHOUT_CELERY) $(BIN)/python -m examples

lint: $(STAMP) ## Check style, form, layers, dependencies, the Dockerfile and the YAML
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/hadolint Dockerfile
	$(BIN)/yamllint --strict .
	@if command -v helm >/dev/null; then helm lint --strict --quiet helm/pdf-fleet && \
	  helm lint --strict --quiet helm/pdf-fleet --values k8s/values-kind.yaml; fi

types: $(STAMP) ## Check types (mypy --strict)
	$(BIN)/mypy

bench: $(STAMP) ## Measure speed against plain processes and plain Celery, into bench/results
	@$(WITHOUT_FLEET) $(BIN)/python -m bench $(ARGS)

docs: $(STAMP) ## Write the pages that come from code, values and figures, and build the site into build/site
	@$(BIN)/python -m tools.settings_table
	@$(BIN)/python -m tools.chart_readme
	@$(BIN)/python -m tools.figures_table
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

ON_CLUSTER = exec $(WITHOUT_FLEET) $(BIN)/python -m tools.kind --name '$(KIND_CLUSTER)'

cluster: $(STAMP) ## Make a kind cluster of four nodes with KEDA (KIND_CLUSTER=pdf-fleet; needs docker, kind, kubectl)
	@$(ON_CLUSTER) up

deploy: $(STAMP) ## Build the image and install or upgrade the fleet on the cluster (ARGS='--set ...' goes to helm)
	@$(ON_CLUSTER) deploy -- $(ARGS)

kind-demo: $(STAMP) ## Flood the fleet on the cluster, watch it until it is idle, write a report (DOCUMENTS=1000 REPORT=dir)
	@$(ON_CLUSTER) demo --documents '$(DOCUMENTS)' $(if $(REPORT),--report '$(REPORT)') -- $(ARGS)

e2e: $(STAMP) ## Run the tests on the cluster, which is made if it is missing (ARGS='-k name' picks some, '-m figures' measures)
	@$(ON_CLUSTER) e2e -- $(ARGS)

cluster-down: $(STAMP) ## Remove the cluster and everything in it
	@$(ON_CLUSTER) down

LOCK := $(BIN)/uv --no-config --quiet pip compile --universal --python-version 3.11 \
  --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links --no-header $(ARGS)

lock: $(STAMP) ## Rewrite the lock files after a change of dependencies (ARGS=--upgrade takes newer versions)
	$(LOCK) pyproject.toml requirements/build.in --extra local --extra dev -o requirements/dev.txt
	$(LOCK) pyproject.toml -c requirements/dev.txt --extra producer --extra reload -o requirements/image.txt
	$(LOCK) pyproject.toml -c requirements/dev.txt --extra local -o requirements/local.txt

clean: ## Remove caches and build products (.venv and reports stay)
	rm -rf build dist .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*
	find app bench examples tests tools -type d -name __pycache__ -prune -exec rm -rf {} +

# One environment serves every target. It is recreated if it is missing, broken, or was created for another folder
# (a moved or copied checkout: its scripts would start the other one's Python).
HERE := $(shell grep -qsF '$(CURDIR)/$(VENV)' $(VENV)/pyvenv.cfg && $(BIN)/python -c '$(FITS)' 2>/dev/null && echo yes)
ifneq ($(HERE),yes)
.PHONY: $(STAMP)
endif

$(STAMP): requirements/dev.txt pyproject.toml
	@if [ '$(HERE)' != yes ]; then \
	  found=; \
	  for python in $(PYTHON) python3.13 python3.12 python3.11 python3; do \
	    if "$$python" -c '$(FITS)' >/dev/null 2>&1; then found=$$python; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo 'No Python 3.11 or newer with venv and ensurepip was found: install one (on Debian also python3-venv),' \
	      'or name it: make PYTHON=/path/to/python3' >&2; \
	    exit 1; \
	  fi; \
	  "$$found" -m venv --clear $(VENV); \
	fi
	@echo 'Installing into $(VENV): once, for about a minute.'
	@$(WITHOUT_PIP) $(BIN)/python -m pip install --disable-pip-version-check --no-input --quiet --compile \
	  --require-hashes -r requirements/dev.txt
	@$(WITHOUT_PIP) $(BIN)/python -m pip install --disable-pip-version-check --no-input --quiet \
	  --no-deps --no-index --no-build-isolation -e .
	@$(BIN)/python -m compileall -q app examples
	@touch $@
