"""The doors of the checkout open the checkout's own house, whichever caffezoo else is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import caffezoo

ROOT = Path(caffezoo.__file__).resolve().parent.parent
SCRIPTS = sorted(
    str(path.relative_to(ROOT))
    for folder in ("tools", "cls")
    for path in (ROOT / folder).glob("*.py")
    if "caffezoo" in path.read_text(encoding="utf-8")
)
DOORS = [name for name in SCRIPTS if "enter(" in (ROOT / name).read_text(encoding="utf-8")]
OPENED = """
import runpy, sys
sys.path[0] = sys.argv[2]
runpy.run_path(sys.argv[1], run_name="opened")
print(sys.modules["caffezoo"].__file__ if "caffezoo" in sys.modules else "none")
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, str]:
    """An environment in which another caffezoo is found first, and cannot be used."""
    other = tmp_path / "site" / "caffezoo"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("raise SystemExit('the other caffezoo')")
    return {**os.environ, "PYTHONPATH": str(other.parent)}


def run(command: list[str], cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, encoding="utf-8", timeout=120
    )


def test_the_other_caffezoo_is_in_the_way(elsewhere: dict[str, str], tmp_path: Path) -> None:
    assert "the other caffezoo" in run(["-c", "import caffezoo"], tmp_path, elsewhere).stderr


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_imports_its_own_checkout(name: str, elsewhere: dict[str, str], tmp_path: Path) -> None:
    script = ROOT / name
    done = run(["-c", OPENED, str(script), str(script.parent)], tmp_path, elsewhere)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] in ("none", str(ROOT / "caffezoo" / "__init__.py"))


@pytest.mark.parametrize("name", DOORS)
def test_a_door_runs_its_verb(name: str, elsewhere: dict[str, str], tmp_path: Path) -> None:
    done = run([str(ROOT / name), "--help"], tmp_path, elsewhere)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: caffezoo " in done.stdout


def test_there_are_doors() -> None:
    assert {"cls/evaluation_cls.py", "tools/fetch.py", "tools/tables.py"} <= set(DOORS)


def test_a_door_without_a_house_says_which_one_it_opened(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere" / "tools"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "tools" / "fetch.py", folder)
    done = run([str(folder / "fetch.py"), "--help"], tmp_path, {**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0
    assert len(done.stderr.splitlines()) == 1
    assert str(ROOT / "caffezoo") in done.stderr
    assert str(folder.parent) in done.stderr
