# Needs Python >= 3.11 and a package index that pip is configured with; everything goes into .venv and .oracle.
# Versions are those of requirements/, for Python 3.11 to 3.13; a newer Python gets the newest that setup.cfg allows.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-newest torch test-torch test-slow lint lock bench oracle chromium proto prototxt clean

demo: .venv/.run  ## evaluate a real network on real images
	$(BIN)/caffezoo evaluate --net efficientnet-lite0 --data sample

test: .venv/.test  ## the whole suite but what is marked slow, with the versions of requirements/
	$(BIN)/python -m pytest -m "not slow"

test-newest:  ## the same with the newest versions that setup.cfg allows, in .venv-newest
	test -x .venv-newest/bin/python || $(PYTHON) -m venv .venv-newest
	sh tools/install.sh .venv-newest/bin/python test newest
	.venv-newest/bin/python -m pytest -m "not slow"

torch: .venv/.test  ## PyTorch, where a build without CUDA is to be had (TORCH=torch: whatever the index has)
	sh tools/make_torch.sh $(BIN)/python

test-torch: torch  ## what needs PyTorch
	$(BIN)/python -m pytest -m "torch and not slow"

test-slow: .venv/.test
	$(BIN)/python -m pytest -m slow

lint: .venv/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/caffezoo prototxt --check
	$(BIN)/caffezoo tables --check
	$(BIN)/caffezoo results check

lock:  ## write requirements/ anew, keeping the versions that fit (UPGRADE=1: the newest)
	test -x .lock/bin/uv || { $(PYTHON) -m venv .lock && .lock/bin/pip install -q 'uv>=0.5' packaging; }
	.lock/bin/python tools/lock.py --uv .lock/bin/uv $(if $(UPGRADE),--upgrade)

bench: .venv/.test  ## ratios against real Caffe (after `make oracle`) and against what runs underneath
	@status=0; for part in engines precision evaluation formats fetch report training detection kinds; do \
	  echo "== benchmarks/$$part.py"; $(BIN)/python benchmarks/$$part.py || status=1; done; exit $$status

oracle:  ## real Caffe, where a Python 3.7-3.9 exists, and OpenCV's Caffe importer, each in a venv of its own
	sh tools/make_oracle.sh .oracle .oracle-cv

chromium:  ## for the tests of the page in a browser, from Debian's packages
	sh tools/make_chromium.sh

proto: .venv/.run  ## regenerate the protobuf messages from caffe.proto
	$(PYTHON) -m venv .proto && .proto/bin/pip install -q 'grpcio-tools==1.62.3'
	.proto/bin/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. caffezoo/formats/caffe.proto caffezoo/formats/solver.proto caffezoo/formats/datum.proto

prototxt: .venv/.run  ## rewrite every deploy prototxt from its generator
	$(BIN)/caffezoo prototxt

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "no Python >= 3.11 found; set PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.run: .venv/bin/python setup.cfg pyproject.toml $(wildcard requirements/run-*.txt)
	sh tools/install.sh $< run
	@touch $@

.venv/.test: .venv/.run $(wildcard requirements/test-*.txt)
	sh tools/install.sh $(BIN)/python test
	@touch $@

.venv/.lint: .venv/.test $(wildcard requirements/lint-*.txt)
	sh tools/install.sh $(BIN)/python lint
	@touch $@

clean:
	rm -rf .venv .venv-newest .lock .oracle .oracle-cv .proto build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
