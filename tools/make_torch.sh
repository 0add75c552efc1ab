#!/bin/sh
# Install PyTorch into a Python, where a build without CUDA is to be had: sh tools/make_torch.sh PYTHON
# TORCH names another requirement, which is then taken whatever it weighs (TORCH=torch: the index's own build).
# Exit status 3: only builds with CUDA (gigabytes) are to be had, and nothing was installed.
#
# PyTorch stands in no lock file: its wheels differ by machine, and the one of the index is for CUDA on Linux.
set -eu
python=$1
if "$python" -c 'import torch' 2>/dev/null; then
  "$python" -c 'import torch; print("PyTorch", torch.__version__, "is there already")'
  exit 0
fi
report=$(mktemp)
trap 'rm -f "$report"' EXIT
chosen() { # what pip would install: "torch==VERSION" and how many packages of CUDA come with it
  "$python" - "$report" <<'PY'
import json, sys
found = [(i["metadata"]["name"].lower(), i["metadata"]["version"]) for i in json.load(open(sys.argv[1]))["install"]]
cuda = sum(name.startswith(("nvidia-", "cuda-", "triton")) for name, _ in found)
print("torch==" + dict(found)["torch"], cuda)
PY
}
would() { "$python" -m pip install -q --dry-run --report "$report" "$@" >/dev/null 2>&1 && set -- $(chosen) && torch=$1 cuda=$2; }

if [ -n "${TORCH:-}" ]; then
  torch=$TORCH
elif would 'torch>=2.4' && [ "$cuda" -eq 0 ]; then
  :
# A wheel in one of pip's own find-links folders, and the version that it has.
elif would --no-index --no-deps 'torch>=2.4' && would "$torch" && [ "$cuda" -eq 0 ]; then
  :
else
  echo "make torch: pip finds no build of PyTorch without CUDA here; TORCH=torch takes what the index has" >&2
  exit 3
fi
"$python" -m pip install -q "$torch"
"$python" -c 'import torch; print("PyTorch", torch.__version__)'
