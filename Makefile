# Needs Python >= 3.11 and a package index that pip is configured with; everything goes into .venv and .oracle.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-torch test-slow lint bench oracle proto prototxt clean

demo: .venv/.core  ## evaluate a real network on real images
	$(BIN)/caffezoo evaluate --net efficientnet-lite0 --data sample

test: .venv/.test  ## the whole suite but what is marked slow
	$(BIN)/python -m pytest -m "not slow"

test-torch: .venv/.test  ## what needs PyTorch, with the `torch` extra (large: its wheels hold CUDA)
	$(BIN)/pip install -q -e '.[test,torch]'
	$(BIN)/python -m pytest tests/net/layers/test_torch_forms.py tests/engines tests/timing tests/cli/test_time.py

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

bench: .venv/.test  ## ratios against real Caffe (after `make oracle`) and against what runs underneath
	@status=0; for part in engines evaluation formats fetch report; do \
	  echo "== benchmarks/$$part.py"; $(BIN)/python benchmarks/$$part.py || status=1; done; exit $$status

oracle:  ## real Caffe, where a Python 3.7-3.9 exists, and OpenCV's Caffe importer, each in a venv of its own
	sh tools/make_oracle.sh .oracle .oracle-cv

proto: .venv/.core  ## regenerate the protobuf messages from caffe.proto
	$(PYTHON) -m venv .proto && .proto/bin/pip install -q 'grpcio-tools==1.62.3'
	.proto/bin/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. caffezoo/formats/caffe.proto caffezoo/formats/solver.proto

prototxt: .venv/.core  ## rewrite every deploy prototxt from its generator
	$(BIN)/caffezoo prototxt

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "no Python >= 3.11 found; set PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.core: .venv/bin/python setup.cfg pyproject.toml
	$(BIN)/pip install -q -e .
	@touch $@

.venv/.test: .venv/.core
	$(BIN)/pip install -q -e '.[test]'
	@touch $@

.venv/.lint: .venv/.core
	$(BIN)/pip install -q -e '.[test,lint]'
	@touch $@

clean:
	rm -rf .venv .oracle .oracle-cv .proto build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
