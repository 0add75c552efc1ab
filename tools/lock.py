"""Write the lock files: exact versions with hashes of what runs, tests and lints this project, for each Python.

    make lock              # keeps every version that still fits setup.cfg
    make lock UPGRADE=1    # takes the newest that fits

``requirements/run-3.12.txt`` holds what ``make demo`` installs in Python 3.12; ``test-3.12.txt`` begins with it and
adds what the tests need, and ``lint-3.12.txt`` begins with that. A file holds for every platform. It names no index:
pip takes the packages from wherever it is configured to, and the hashes say that they are the same ones.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.markers import Marker

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "requirements"
PYTHONS = ("3.11", "3.12", "3.13")
LAYERS = {"run": ("opencv",), "test": ("test",), "lint": ("test", "lint")}
"""Extras of setup.cfg that a file holds; each file has all that the one before it has."""
NEVER = ("torch", "nvidia-")
"""Their wheels differ by machine, or weigh gigabytes: `make torch` installs what fits the machine."""
MACHINES = (
    {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux", "platform_machine": "x86_64"},
    {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux", "platform_machine": "aarch64"},
    {"sys_platform": "darwin", "os_name": "posix", "platform_system": "Darwin", "platform_machine": "arm64"},
    {"sys_platform": "win32", "os_name": "nt", "platform_system": "Windows", "platform_machine": "AMD64"},
)
_PIN = re.compile(r"^([A-Za-z0-9._-]+==[^\s;]+)(?: ; (.*?))? \\$.*?(?=^[A-Za-z0-9._-]+==|\Z)", re.MULTILINE | re.DOTALL)


def pins(text: str, python: str) -> dict[str, str]:
    """Return by ``package==version`` the pins that some machine with a Python needs, with their hashes."""
    found = {}
    for pin in _PIN.finditer(text):
        releases = [{"python_version": python, "python_full_version": f"{python}.{patch}"} for patch in (0, 99)]
        environments = [{**machine, **release} for machine in MACHINES for release in releases]
        if not pin[2] or any(Marker(pin[2]).evaluate(environment) for environment in environments):
            found[pin[1].lower()] = pin[0]
    return found


def locked(python: str, what: str) -> str:
    """Return the text of a committed file; empty where there is none."""
    path = FOLDER / f"{what}-{python}.txt"
    return path.read_text("utf-8") if path.exists() else ""


def compile_requirements(uv: str, python: str, extras: tuple[str, ...], output: Path, *more: str) -> dict[str, str]:
    """Let uv choose versions; those in ``output`` are preferred."""
    build = output.with_suffix(".in")
    build.write_text("\n".join(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"]["requires"]))
    command = [uv, "pip", "compile", "setup.cfg", str(build), "--universal", "--python-version", python, *more]
    command += ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    command += ["--no-config", "--quiet", "--output-file", str(output)]
    for extra in extras:
        command += ["--extra", extra]
    done = subprocess.run(command, cwd=ROOT, env=index_settings(), check=False)
    if done.returncode:
        raise SystemExit(f"make lock: no versions fit for Python {python}, see above")
    return pins(output.read_text("utf-8"), python)


def index_settings() -> dict[str, str]:
    """Return the environment for uv, which reads no pip.conf: the index that pip is configured with."""
    if "UV_DEFAULT_INDEX" in os.environ:
        return dict(os.environ)
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    found = os.environ.get("PIP_INDEX_URL") or subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return {**os.environ, **({"UV_DEFAULT_INDEX": found} if found else {})}


def lock(uv: str, python: str, upgrade: bool) -> None:
    """Write one Python's files, all with the same versions."""
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name) / "lint.txt"
        whole.write_text(
            "".join(pin for what in LAYERS for pin in pins(locked(python, what), python).values()), "utf-8"
        )
        found = compile_requirements(uv, python, LAYERS["lint"], whole, *(["--upgrade"] if upgrade else []))
        if wrong := [package for package in found if package.startswith(NEVER)]:
            raise SystemExit(f"make lock: {', '.join(wrong)} must not be locked: which extra of setup.cfg brings it?")
        there: set[str] = set()
        before = None
        for what, extras in LAYERS.items():
            output = Path(name) / f"{what}.txt"
            of_layer = found if output == whole else compile_requirements(uv, python, extras, output, "-c", str(whole))
            head = f"# Python {python}: written by `make lock`, do not edit.\n"
            head += f"-r {before}-{python}.txt\n" if before else ""
            text = head + "".join(pin for package, pin in of_layer.items() if package not in there)
            (FOLDER / f"{what}-{python}.txt").write_text(text, "utf-8")
            print(f"requirements/{what}-{python}.txt: {len(of_layer)} packages")
            there |= of_layer.keys()
            before = what


def main() -> None:
    """Parse and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uv", default="uv", help="the program (default: the one on the path)")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    parser.add_argument("--python", action="append", choices=PYTHONS, help="only this one; may be repeated")
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    for python in options.python or PYTHONS:
        lock(options.uv, python, options.upgrade)


if __name__ == "__main__":
    main()
