"""The tools that make locks and ten runs: what they decide, without an index and without clones."""

from __future__ import annotations

import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from tests.oracle import ROOT


def load(name: str) -> ModuleType:
    spec = spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def ten_runs() -> ModuleType:
    return load("ten_runs")


LOCK = """# a comment
-r run-3.11.txt
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:aa \\
    --hash=sha256:bb
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:cc
soup==1 ; python_full_version < '3.11.5' \\
    --hash=sha256:dd
soup==2 ; python_full_version >= '3.11.5' \\
    --hash=sha256:ee
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:ff
greenlet==3 ; platform_python_implementation == 'PyPy' \\
    --hash=sha256:00
"""


@pytest.mark.parametrize(
    ("python", "kept"),
    [
        ("3.11", ["numpy==2.4.6", "soup==1", "soup==2", "colorama==0.4.6"]),
        ("3.13", ["numpy==2.5.5", "soup==2", "colorama==0.4.6"]),
    ],
)
def test_a_lock_keeps_what_some_machine_with_its_python_needs(python: str, kept: list[str]) -> None:
    found = load("lock").pins(LOCK, python)
    assert list(found) == kept
    assert found[kept[0]].count("--hash") == (2 if python == "3.11" else 1)


def test_the_ten_conditions(ten_runs: ModuleType) -> None:
    runs = ten_runs.RUNS.values()
    assert len(runs) == 10
    assert {run.python for run in runs} == {"3.11", "3.12", "3.13"}
    assert sum(run.busy for run in runs) == 2
    assert sum(run.offline for run in runs) == 1
    assert any(" " in run.folder and not run.folder.isascii() for run in runs)
    variables = {name for run in runs for name in run.environment}
    assert {"COLUMNS", "LC_ALL", "TZ", "TERM", "HOME"} <= variables


def test_the_variables_of_a_run(ten_runs: ModuleType, tmp_path: Path) -> None:
    home = ten_runs.environment_of(ten_runs.RUNS["empty-home"], tmp_path)["HOME"]
    assert list(Path(home).iterdir()) == []
    assert ten_runs.environment_of(ten_runs.RUNS["narrow"], tmp_path)["COLUMNS"] == "60"
    offline = ten_runs.environment_of(ten_runs.RUNS["offline"], tmp_path)
    assert offline["HTTPS_PROXY"] == offline["https_proxy"] == ten_runs.NOBODY
    assert offline.get("HOME") == os.environ.get("HOME")


def test_the_table(ten_runs: ModuleType) -> None:
    assert ten_runs.table([{"run": "a", "outcome": "green"}, {"run": "long", "outcome": "x"}]) == (
        "run   outcome\na     green\nlong  x"
    )
