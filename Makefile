# `make` lists the targets. Every target that needs the environment sets it up first.

PYTHON ?= python3
ARGS ?=
# The job server of a ray cluster, such as http://head:8265: runs are then submitted to it.
ADDRESS ?= $(RAY_API_SERVER_ADDRESS)
LOGDIR ?= $(or $(PATHNET_RL_FOLDER),runs)

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
VIZDOOM := $(VENV)/.set-up-vizdoom
AUDIT := $(VENV)/.set-up-audit
CODE := pathnet_rl workers launch tests

PAPER_LEVELS := labyrinth/lt_chasm labyrinth/seekavoid_arena_01 labyrinth/stairway_to_melon

ON_CLUSTER := RAY_API_SERVER_ADDRESS='$(ADDRESS)' $(BIN)/python -m
RUN := $(if $(ADDRESS),$(ON_CLUSTER) launch.submit $(SUBMIT),$(BIN)/python -m)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup atari-transfer cartpole mnist cifar-svhn compare labyrinth-transfer labyrinth-matrix vizdoom-transfer pong \
  jobs logs stop test test-faults test-fuzz audit lint format bench scaling tensorboard picture report clean

help: ## List the targets
	@echo "PathNet on A3C. Targets:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "Options are passed on with ARGS: make atari-transfer ARGS='--seed 1 --name seed-1'"
	@echo "On a ray cluster, as a job: make atari-transfer ADDRESS=http://head:8265 (README, On a cluster)"
	@echo "Another Python (3.11 or newer): make setup PYTHON=python3.12"

setup: $(STAMP) ## Create .venv and install the tested versions (done once)

atari-transfer: $(STAMP) ## Learn one Atari game, freeze its best pathway, go on to the next
	$(RUN) launch.train laptop $(ARGS)

cartpole: $(STAMP) ## Learn CartPole twice: a small run for trying things out
	$(RUN) launch.train cartpole $(ARGS)

vizdoom-transfer: $(VIZDOOM) ## Learn one scenario of ViZDoom, then another, beside the controls
	$(RUN) launch.train vizdoom $(ARGS)

mnist: $(STAMP) ## Serial PathNet on pairs of MNIST digits, beside its controls
	$(RUN) launch.supervised mnist $(ARGS)

cifar-svhn: $(STAMP) ## Serial PathNet on CIFAR-10 and SVHN, beside its controls
	$(RUN) launch.supervised cifar-svhn $(ARGS)

compare: $(STAMP) ## Compare arms: pairs of games x seeds x settings, many runs side by side
	$(RUN) launch.compare $(or $(PRESET),laptop) $(ARGS)

labyrinth-transfer: $(STAMP) ## Learn a level of DeepMind Lab, then another (docs/labyrinth.md says how to get the engine)
	$(RUN) launch.train labyrinth-laptop $(ARGS)

labyrinth-matrix: $(STAMP) ## The paper's nine pairs of three levels of DeepMind Lab, beside controls (days)
	$(RUN) launch.compare labyrinth --name labyrinth-matrix --matrix $(PAPER_LEVELS) $(ARGS)

pong: $(STAMP) ## Learn Pong from scratch with 64 pathways (half an hour on 2 cores)
	$(RUN) launch.train pong $(ARGS)

jobs: $(STAMP) ## List the jobs of the cluster at ADDRESS
	$(ON_CLUSTER) launch.jobs list

logs: $(STAMP) ## Follow what a job prints: make logs JOB=...
	$(ON_CLUSTER) launch.jobs follow $(JOB)

stop: $(STAMP) ## Let a job save and stop: make stop JOB=...
	$(ON_CLUSTER) launch.jobs stop $(JOB)

test: lint ## Lint, check types and run the tests
	@status=0; \
	$(BIN)/python -m pytest -m 'not alone' --numprocesses auto --dist worksteal $(ARGS) || status=$$?; \
	$(BIN)/python -m pytest -m alone --numprocesses 2 --dist loadgroup $(ARGS) || status=$$?; \
	exit $$status

test-faults: $(STAMP) ## Kill parts of runs at random moments (ARGS='--kills 100 --seed 1' is the long form)
	@status=0; \
	$(BIN)/python -m pytest --long -m long || status=$$?; \
	$(BIN)/python -m tests.faults $(ARGS) || status=$$?; \
	exit $$status

test-fuzz: $(STAMP) ## Fuzz every file and option that is read: 10,000 cases each, or ARGS='--cases 500 --seed 3'
	@status=0; \
	$(BIN)/python -m tests.fuzz $(ARGS) || status=$$?; \
	PATHNET_RL_CASES=10000 $(BIN)/python -m pytest --numprocesses auto tests/test_properties.py || status=$$?; \
	exit $$status

audit: $(AUDIT) ## Look for known vulnerabilities of the tested versions (needs the internet)
	$(BIN)/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

lint: $(STAMP) ## Check style, format and types, the image's file and the shell scripts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint docker/Dockerfile docker/labyrinth.Dockerfile
	$(BIN)/shellcheck docker/entrypoint.sh launch/slurm/train.sbatch .ci/run
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml

format: $(STAMP) ## Format the code and sort its imports
	$(BIN)/ruff check --select I --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## Measure agent steps per CPU-second beside the bare environments
	$(BIN)/python -m launch.bench $(ARGS)

scaling: $(STAMP) ## Measure exchanges of up to 64 simulated nodes with one server (half an hour)
	$(BIN)/python -m launch.bench.nodes $(ARGS)

# A file system that remembered what lies in a bucket would never show anything new.
tensorboard: export FSSPEC_S3 := {"use_listings_cache": false}
tensorboard: export FSSPEC_GS := {"use_listings_cache": false}
tensorboard: $(STAMP) ## Open TensorBoard on PATHNET_RL_FOLDER (else runs/), or on LOGDIR=
	$(BIN)/tensorboard --logdir '$(LOGDIR)' $(ARGS)

picture: $(STAMP) ## Draw the grid of a run: make picture ARGS=runs/laptop
	$(BIN)/python -m launch.picture $(ARGS)

report: $(STAMP) ## Put many runs side by side on one page: make report ARGS=runs
	$(BIN)/python -m launch.report $(ARGS)

clean: ## Delete caches and build files; never runs/ or .venv
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find $(CODE) -type d -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || \
	  { echo "error: there is no $(PYTHON); install Python 3.11 or newer or pass PYTHON=" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11; pass a newer one: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# Compiled at once, since many containers set PYTHONDONTWRITEBYTECODE, and every start would compile torch anew;
# not by pip, which uses one CPU and takes the libraries' tests too. Files for another Python than this may fail.
$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	@$(BIN)/python -m compileall -qq -j 0 -x '/tests?/|/testing/' $(VENV)/lib || true
	@touch $@

$(VIZDOOM): $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[vizdoom]'
	@touch $@

$(AUDIT): $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[audit]'
	@touch $@
