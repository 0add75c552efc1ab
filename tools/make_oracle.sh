#!/bin/sh
# Make a venv with real Caffe, the oracle of the tests: sh tools/make_oracle.sh [DIR]
# Needs x86-64 Linux and a Python 3.7-3.9; exit status 3 where there is none. PYTHON_CAFFE names the interpreter to use.
set -eu
dir=${1:-.oracle}
if [ -x "$dir/bin/python" ] && "$dir/bin/python" -c 'import caffe' 2>/dev/null; then
  echo "$dir has real Caffe already"
  exit 0
fi
[ "$(uname -m)" = x86_64 ] || { echo "make oracle: real Caffe's wheel is for x86-64, this is $(uname -m)" >&2; exit 3; }

python=${PYTHON_CAFFE:-}
if [ -z "$python" ]; then
  for candidate in python3.9 python3.8 python3.7 \
      "$HOME"/.pyenv/versions/3.9.*/bin/python "$HOME"/.pyenv/versions/3.8.*/bin/python \
      "$HOME"/.pyenv/versions/3.7.*/bin/python /usr/bin/python3 python3; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 7) <= sys.version_info < (3, 10))' 2>/dev/null; then
      python=$candidate
      break
    fi
  done
fi
[ -n "$python" ] || { echo "make oracle: no Python 3.7-3.9 found; set PYTHON_CAFFE=/path/to/python" >&2; exit 3; }

"$python" -m venv "$dir"
"$dir/bin/python" -m pip install -q 'kendryte-caffe==1.0.0.20210829' 'numpy<2' 'protobuf<3.21'
"$dir/bin/python" -c 'import caffe; print("real Caffe", caffe.__version__)'
