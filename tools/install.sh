#!/bin/sh
# Install this checkout and what it needs into a Python: sh tools/install.sh PYTHON run|test|lint [newest]
# The versions are those of requirements/ (exact, hashed; `make lock` writes them). With `newest`, or in a Python that
# has no lock file, they are the newest that setup.cfg allows.
set -eu
python=$1
what=$2
cd "$(dirname "$0")/.."
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
lock=requirements/$what-$version.txt
case $what in
  run) extras='[opencv]';;
  test) extras='[test]';;
  lint) extras='[test,lint]';;
  *) echo "install.sh: run, test or lint, not $what" >&2; exit 2;;
esac
if [ "${3:-}" != newest ] && [ -f "$lock" ]; then
  "$python" -m pip install -q --require-hashes -r "$lock"
  "$python" -m pip install -q --no-deps --no-build-isolation -e .
  exit
fi
[ "${3:-}" = newest ] || echo "install.sh: no lock file for Python $version: the newest versions that setup.cfg allows" >&2
"$python" -m pip install -q --upgrade --upgrade-strategy eager -e ".$extras"
