# Everything about hvdsm from one place. The work is in tools/*.py, small programs that need nothing but Python.
#
# PYTHON       the interpreter for .venv (3.11 or 3.10; found on PATH when empty)
# PYTHON38     a Python 3.8 for `make check` (optional)
# TORCH_INDEX  where CPU builds of torch come from; pip's own configuration is used when it does not answer
# IMAGES_FLAGS options of `make images` and `make test-images`: see `python3 tools/images.py --help`

PYTHON ?=
PYTHON38 ?=
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
export PYTHON PYTHON38 TORCH_INDEX

BOOTSTRAP := $(if $(PYTHON),$(PYTHON),python3)
VENV_PYTHON := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-graph test test-browser test-sdk test-template test-workloads test-graph test-trackers images test-images check bench bench-container bench-cloud bench-graph faults docs clean

help: ## show this
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

setup: ## build .venv with hvdsm and all that demo, tests and examples need (6 min once, then at once)
	@"$(BOOTSTRAP)" tools/prepare.py

demo: ## rehearse on 4 emulated hosts, then train with Horovod on 2 hosts x 2 processes (5 min once, then 30 s)
	@"$(BOOTSTRAP)" tools/demo.py

demo-graph: setup ## construct, partition, train and infer a graph with GraphStorm on two emulated hosts (4 min, 2 more once)
	@$(VENV_PYTHON) tools/graph.py --only-prepare
	@.venv/graph/bin/python examples/graphstorm_mag/run.py hvdsm-out/graphstorm_mag-$$(date +%Y%m%d-%H%M%S)

test: setup ## run all checks and all tests (under 20 min)
	@$(VENV_PYTHON) tools/test.py

test-sdk: setup ## run scripts with the SageMaker SDKs 2 and 3 on emulated hosts (6 min, 2 more once)
	@$(VENV_PYTHON) tools/sdk.py sdk

test-template: setup ## look over the network's template with checkov, cfn-lint and every mutant (2 min, 1 more once)
	@$(VENV_PYTHON) tools/checkov.py

test-workloads: setup ## train the TensorFlow and Lightning examples on emulated hosts (8 min, 1 more once)
	@$(VENV_PYTHON) tools/sdk.py workloads

test-graph: setup ## construct, train and infer graphs with GraphStorm and DGL on emulated hosts (6 min, 2 more once)
	@$(VENV_PYTHON) tools/graph.py

test-trackers: setup ## run the recipes for MLflow and Weights & Biases on emulated hosts (2 min, 1 more once)
	@$(VENV_PYTHON) tools/trackers.py

test-browser: setup ## open the network bench's pages in Chromium (1 min, 1 more once)
	@$(VENV_PYTHON) tools/browser.py

images: ## build the images of containers/ with docker, podman or buildah (25 min once; IMAGES_FLAGS="--device gpu pytorch")
	@"$(BOOTSTRAP)" tools/images.py $(IMAGES_FLAGS)

test-images: setup ## build the images for the CPU, and run jobs of two hosts in containers of them (10 min, 25 more once)
	@$(VENV_PYTHON) tools/images.py --test $(IMAGES_FLAGS)

check: setup ## style, types, layers, documentation, unit tests, packaging (1 min)
	@$(VENV_PYTHON) tools/check.py

bench: setup ## measure against bare mpirun (2 min)
	@$(VENV_PYTHON) benchmarks/run.py

bench-container: setup ## measure the container program against bare mpirun and sagemaker-training (4 min)
	@$(VENV_PYTHON) benchmarks/container.py

bench-cloud: setup ## measure hvdsm launch --backend sagemaker against the SageMaker SDK 2 (4 min, 2 more once)
	@$(VENV_PYTHON) benchmarks/cloud.py

bench-graph: setup ## measure hvdsm graph train against GraphStorm's own launcher (5 min, 2 more once)
	@$(VENV_PYTHON) tools/graph.py --only-prepare
	@$(VENV_PYTHON) benchmarks/graph.py

faults: setup ## break running jobs in every way and print the fault matrix (2 min)
	@$(VENV_PYTHON) tools/faults.py

docs: ## check links, paths and code blocks of the documentation
	@"$(BOOTSTRAP)" tools/check_docs.py

clean: ## remove .venv and everything that was built here; cached Horovod wheels stay
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
