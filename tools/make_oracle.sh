#!/bin/sh
# Make the oracles of the tests, each in a venv of its own: sh tools/make_oracle.sh [DIR [DIR_CV]]
# DIR (.oracle): real Caffe; x86-64 Linux and a Python 3.7-3.9 (PYTHON_CAFFE names the interpreter to use).
# DIR_CV (.oracle-cv): the last OpenCV that imports Caffe files, for layers of forks that real Caffe lacks; any Python
# from 3.9 on (PYTHON_OPENCV). Exit status 3 where real Caffe cannot be had; OpenCV is made all the same.
set -eu
dir=${1:-.oracle}
dir_cv=${2:-.oracle-cv}

if [ -x "$dir_cv/bin/python" ] && "$dir_cv/bin/python" -c 'import cv2; cv2.dnn.readNetFromCaffe' 2>/dev/null; then
  echo "$dir_cv has OpenCV's Caffe importer already"
else
  "${PYTHON_OPENCV:-python3}" -m venv "$dir_cv"
  "$dir_cv/bin/python" -m pip install -q 'opencv-python-headless==4.12.0.88'
  "$dir_cv/bin/python" -c 'import cv2; cv2.dnn.readNetFromCaffe; print("OpenCV", cv2.__version__)'
fi

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
