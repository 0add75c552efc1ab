"""caffezoo takes the cv2 that is there, brings none over another, and says what is wrong with one."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from pathlib import Path

import pytest

from caffezoo.opencv import PACKAGES, installed_packages, load_cv2
from tests.oracle import ROOT


def run(code: str, *places: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([*map(str, places), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


def package(folder: Path, name: str, version: str) -> None:
    """Lay down what pip leaves of an installed package."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_no_package_with_a_cv2_is_required() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    assert "opencv" not in config["options"]["install_requires"]
    extras = config["options.extras_require"]
    assert [name for name, text in extras.items() if "opencv-" in text] == ["opencv"]


def test_the_tests_have_one() -> None:
    assert load_cv2().imread
    assert len(installed_packages()) == 1


LOAD = """
from caffezoo.errors import ZooError
from caffezoo.opencv import load_cv2
try:
    load_cv2()
except ZooError as error:
    print(type(error).__name__, error)
"""


def test_without_a_cv2() -> None:
    found = run(f"import sys; sys.modules['cv2'] = None\n{LOAD}")
    assert found.stderr == ""
    assert "UsageError" in found.stdout
    assert "pip install opencv-python-headless" in found.stdout


def test_a_cv2_that_does_not_load(tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')\n")
    found = run(LOAD, tmp_path)
    assert "UsageError" in found.stdout
    assert "libGL.so.1" in found.stdout


@pytest.mark.parametrize("version", ["4.8.1", "3.4.18", "4.5.5-dev"])
def test_a_cv2_that_is_too_old(tmp_path: Path, version: str) -> None:
    (tmp_path / "cv2.py").write_text(f"__version__ = {version!r}\n")
    found = run(LOAD, tmp_path)
    assert "UsageError" in found.stdout
    assert version in found.stdout


def test_two_packages_that_overwrite_each_other(tmp_path: Path) -> None:
    package(tmp_path, "opencv-contrib-python", "4.10.0.84")
    found = run(f"{LOAD}\nload_cv2()", tmp_path)
    assert found.returncode == 0
    assert "opencv-contrib-python 4.10.0.84" in found.stderr
    assert all(name in found.stderr for name in installed_packages())
    assert found.stderr.count("overwrite each other") == 1


@pytest.mark.parametrize("name", PACKAGES)
def test_any_of_the_packages_is_seen(tmp_path: Path, name: str) -> None:
    package(tmp_path, name, "4.9.0.80")
    found = run("from caffezoo.opencv import installed_packages; print(installed_packages())", tmp_path)
    assert f"'{name}': '4.9.0.80'" in found.stdout
