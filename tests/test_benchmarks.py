"""The benchmarks run and leave the rows that tables are made of; what they measure is no matter of a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from caffezoo.report.speed_tables import CHECK, COLD, STEADY
from caffezoo.report.store import Store
from tests.oracle import ROOT

pytestmark = pytest.mark.slow
QUICK = ["--blocks", "2", "--block-seconds", "0.05", "--threads", "1", "--record", "--results"]


def run(script: str, *arguments: str) -> str:
    """Return what a benchmark prints; its exit status may say that a ratio is missed, which this machine decides."""
    command = [sys.executable, str(ROOT / "benchmarks" / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_engines_in_turns_and_the_check_by_caffezoo_time(tmp_path: Path) -> None:
    said = run("engines.py", "--networks", "squeezenet-v1.1", "--caffe-python", "", *QUICK, str(tmp_path))
    contents = Store(tmp_path).speed()
    assert contents.faults == ()
    assert {(row.engine, row.what) for row in contents.rows} >= {
        ("openvino", STEADY),
        ("openvino", COLD),
        ("openvino", CHECK),
        ("onnxruntime", STEADY),
        ("onnxruntime", COLD),
    }
    assert {(row.benchmark, row.network, row.session) for row in contents.rows} == {
        ("engines", "squeezenet-v1.1", contents.rows[0].session)
    }
    assert all(row.cpu and row.cores == 1 for row in contents.rows)
    assert "against openvino here (allowed 5%)" in said


def test_every_network_is_a_mode_of_its_own(tmp_path: Path) -> None:
    said = run("engines.py", "--all", "--networks", "squeezenet-v1.1", *QUICK, str(tmp_path))
    assert {row.benchmark for row in Store(tmp_path).speed().rows} == {"all"}
    assert "of 1 networks" in said


def test_precisions_say_which_cpu_it_is(tmp_path: Path) -> None:
    said = run(
        "precision.py", "--networks", "mobilenet-v1-1.0", "--no-tasks", "--caffe-python", "", *QUICK, str(tmp_path)
    )
    assert "small products: " in said
    assert "openvino float32" in said
    assert {row.what for row in Store(tmp_path).speed().rows} == {STEADY, COLD}
