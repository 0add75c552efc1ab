"""A run says in its last lines which parts it tested, and what would bring the others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.oracle import ROOT
from tests.parts import PARTS

WITH_CAFFE = "import pytest\n@pytest.mark.oracle\n@pytest.mark.parametrize('x', range(3))\ndef test_it(x): pass\n"
NEEDS_TORCH = "import pytest\ntorch = pytest.importorskip('torch')\ndef test_it(): pass\n".replace("'", '"')
NEEDS_OTHER = "import pytest\ndef test_it(): pytest.importorskip('no_such_package')\n"


def run(folder: Path, *arguments: str, **files: str) -> tuple[int, dict[str, str], list[str]]:
    """Run tests of files; return the status, what is said by part, and all lines."""
    folder.mkdir(exist_ok=True)
    (folder / "conftest.py").write_text("pytest_plugins = ['tests.conftest']\n")
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder)]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", *arguments, str(folder)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "CAFFE_PYTHON": sys.executable},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    lines = done.stdout.splitlines()
    titles = [part.title for part in PARTS] + ["no_such_package"]
    said = {title: line.removeprefix(title).strip() for title in titles for line in lines if line.startswith(title)}
    return done.returncode, said, lines


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_the_closing_lines(tmp_path: Path, workers: str) -> None:
    absent = "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n"
    files = {"test_a": WITH_CAFFE, "test_b": NEEDS_TORCH, "test_c": NEEDS_OTHER, "torch": absent}
    status, said, lines = run(tmp_path, workers, **files)
    assert status == 0, lines
    assert said["real Caffe"] == "tested, 3 tests"
    assert said["PyTorch"].startswith("NOT TESTED")
    assert "`make torch`" in said["PyTorch"]
    assert said["the page in a browser"] == "no test of this run needs it"
    assert said["no_such_package"].startswith("NOT TESTED, 1 skip")
    end = next(i for i, line in enumerate(lines) if line.startswith("real Caffe"))
    assert len(lines) - end <= len(PARTS) + 2  # nothing but the parts and the count of tests follows


def test_a_module_that_imports_a_package_has_its_mark(tmp_path: Path) -> None:
    status, said, lines = run(tmp_path, "-n0", "-m", "torch", test_a=WITH_CAFFE, test_b=NEEDS_TORCH, torch="")
    assert status == 0, lines
    assert said["PyTorch"] == "tested, 1 tests"
    assert said["real Caffe"] == "no test of this run needs it"
