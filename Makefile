# Every command of the project. What a target needs it sets up itself: the two Python environments below, and (for the
# cluster) Go, a container engine and images, each at its first use.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
UV := .uv/bin/uv
PY := .venv/bin/python
KIND := $(PY) tests/kind/cluster.py
export KUBECONFIG := $(CURDIR)/.kube/config
export PATH := $(CURDIR)/.kube/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help run test test-fast cluster cluster-down images deploy demo check generate format golden lock clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/.ready ## serve the whole guide here on :4000, no cluster, no keys (ONCE=1: ask, print, exit)
	@$(PY) tests/run_guide.py

test: test-fast cluster-tests test-ollama ## every test, the kind cluster included; what CI runs

test-fast: .venv/.ready .venv-litellm-1110/.ready .kube/bin/helm ## every test that needs no cluster
	$(MAKE) --no-print-directory check-only
	$(PY) -m pytest tests --ignore=tests/cluster

.PHONY: cluster-tests
cluster-tests: deploy ## the tests on the kind cluster only, without Ollama's
	$(PY) -m pytest tests/cluster --ignore=tests/cluster/ollama

.PHONY: test-ollama
test-ollama: deploy ## pulls, tools, embeddings, disks: a real Ollama on the cluster (10 min more the first time)
	@$(KIND) load-ollama
	$(PY) -m pytest tests/cluster/ollama

.PHONY: bench
bench: deploy .venv-litellm-1110/.ready ## the performance table and its plots (25 min; BENCH_QUICK=1: 5 min)
	$(PY) bench/run.py

cluster: .venv/.ready ## bring up the kind cluster `modelroute`; kubeconfig in .kube/config
	@$(KIND) up

images: .venv/.ready ## pull or build the images the cluster needs
	@$(KIND) images

deploy: cluster ## images loaded, chart installed as release `litellm` in namespace `ai`
	@$(KIND) load
	@$(PY) tests/deploy.py

demo: deploy ## the guide on the cluster: its routes, one answered request of each kind, the table
	@$(PY) tests/demo.py

cluster-down: .venv/.ready ## remove the cluster and what it left
	@$(KIND) down

check: generate format check-only ## regenerate, format, lint, types, contracts

.PHONY: check-only
check-only: .venv/.ready
	$(PY) crds/generate.py --check
	$(PY) operator/generate_cost_map.py --check
	.venv/bin/ruff check -q .
	.venv/bin/ruff format -q --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache > .run/lint-imports.log || { cat .run/lint-imports.log; exit 1; }
	.venv/bin/yamllint -s examples tests/chart/*.yaml
	.venv/bin/codespell

generate: .venv/.ready ## write the CRD and the cost map's extract
	$(PY) crds/generate.py
	$(PY) operator/generate_cost_map.py

format: .venv/.ready ## format the Python code
	.venv/bin/ruff format -q .
	.venv/bin/ruff check -q --fix .

golden: .venv/.ready .kube/bin/helm ## write the expected outputs anew (refused in CI); read the diff
	UPDATE_GOLDEN=1 $(PY) -m pytest -q tests/golden tests/chart

lock: $(UV) ## pin the dependencies anew, by hash
	$(UV) pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate pyproject.toml -o operator/requirements.lock
	$(UV) pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate --all-extras --group dev pyproject.toml -o tests/requirements.lock
	$(UV) pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate tests/litellm-1110.in --override tests/litellm-1110.overrides --excludes tests/litellm-1110.excludes -o tests/litellm-1110.lock

clean: ## remove the environments and caches of this checkout (the cluster: make cluster-down)
	rm -rf .uv .venv .venv-litellm-1110 .run .mypy_cache .ruff_cache .pytest_cache .hypothesis dist

$(UV):
	@echo "setting up: uv"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed ($(PYTHON) is older, or missing): apt-get install python3, or make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv .uv || { echo "the venv module is needed: apt-get install python3-venv"; exit 1; }
	@.uv/bin/pip install -q --disable-pip-version-check uv==0.13.9

.venv/.ready: tests/requirements.lock pyproject.toml | $(UV)
	@echo "setting up: .venv (LiteLLM 1.108.7, the operator, the tools; some minutes the first time, most of them downloads)"
	@$(UV) venv -q --clear --python $(PYTHON) .venv
	@$(UV) pip install --python $(PY) --require-hashes -r tests/requirements.lock 2>&1 | { grep -vE '^ [+-] ' || true; }
	@$(UV) pip install -q --python $(PY) --no-deps -e .
	@mkdir -p .run && touch $@

.venv-litellm-1110/.ready: tests/litellm-1110.lock | $(UV)
	@echo "setting up: .venv-litellm-1110 (LiteLLM's other router generation)"
	@$(UV) venv -q --clear --python $(PYTHON) .venv-litellm-1110
	@$(UV) pip install --python .venv-litellm-1110/bin/python --require-hashes --no-deps -r tests/litellm-1110.lock 2>&1 | { grep -vE '^ [+-] ' || true; }
	@touch $@

.kube/bin/helm: | .venv/.ready
	@$(KIND) binaries
