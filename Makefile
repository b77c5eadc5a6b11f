# make demo   capture, collect, label, check and report on a clip and a town that are drawn on the spot
# make demo-droid   tracks, depth, check and report of drawn episodes of DROID
# make demo-train   train on a drawn town in three stages, and compare with models that have learnt nothing
# make test   everything that needs no cluster; make test-cluster adds Slurm and Ray
# make lint   style, types, import contract
# make docs   the documentation as a site; make bench   the benchmarks
# Each target sets up what it needs first: Debian packages, a virtual environment, Python packages.

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
BENCHMARKS := startup engine png_encoders capture pcd lidar_depth dataset_sample town droid_reading droid_tracks \
	depth_video droid_episode sampler training_loop gradient_checkpointing
EXTRAS := media,sim,droid,upload,torch,train,slurm,docs,dev

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-droid demo-train test test-slow test-cluster test-hydra-next lint docs bench clean

help:
	@sed -n 's/^# //p' Makefile

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt scripts/system_packages.sh
	scripts/system_packages.sh libgl1 libglib2.0-0 libegl1 libegl-mesa0 libgl1-mesa-dri
	$(PYTHON) -c "import ensurepip" 2>/dev/null || scripts/system_packages.sh python3-venv
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[$(EXTRAS)]"
	touch $@

$(VENV)/.browser: scripts/system_packages.sh
	scripts/system_packages.sh chromium
	touch $@

$(VENV)/.cluster: $(VENV)/.installed
	scripts/system_packages.sh slurmctld slurmd slurm-client munge
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[ray]"
	touch $@

demo: $(VENV)/.installed
	PATH="$(abspath $(BIN)):$$PATH" scripts/demo.sh

demo-droid: $(VENV)/.installed
	PATH="$(abspath $(BIN)):$$PATH" scripts/demo_droid.sh

demo-train: $(VENV)/.installed
	PATH="$(abspath $(BIN)):$$PATH" scripts/demo_train.sh

test: $(VENV)/.installed $(VENV)/.browser
	$(BIN)/python -m pytest -m "not slurm and not ray and not slow"

# Long fuzzing of the readers, a scene learnt by heart, a hundred killed uploads; not part of CI.
test-slow: $(VENV)/.installed
	FUZZ_EXAMPLES=10000 $(BIN)/python -m pytest -m slow tests/storage/test_pcd_damage.py
	FUZZ_EXAMPLES=10000 $(BIN)/python -m pytest tests/storage/test_plain_yaml.py tests/storage/test_opv2v_files.py -k damage
	$(BIN)/python -m pytest -m slow tests/train tests/stages

test-cluster: $(VENV)/.cluster
	eval "$$(scripts/local_slurm.sh start)" && $(BIN)/python -m pytest -m "slurm or ray"; \
	result=$$?; scripts/local_slurm.sh stop; exit $$result

# Configuration on the next Hydra, in an environment of its own; not part of CI.
test-hydra-next:
	test -x .venv-hydra-next/bin/python || $(PYTHON) -m venv .venv-hydra-next
	.venv-hydra-next/bin/python -m pip install --quiet --pre "hydra-core>=1.4.0rc1,<1.5" "omegaconf>=2.4.1rc1"
	.venv-hydra-next/bin/python -m pip install --quiet --editable ".[media,slurm,dev]"
	.venv-hydra-next/bin/python -m pytest -m "not slurm and not ray and not slow" tests/config tests/stages

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/.installed
	for name in $(BENCHMARKS); do $(BIN)/python benchmarks/$$name.py || exit 1; done

clean:
	rm -rf $(VENV) .venv-hydra-next build dist site outputs
