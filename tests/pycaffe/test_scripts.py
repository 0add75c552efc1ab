"""Scripts in the manner of Caffe's examples, in this module and in real pycaffe: the same answers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.oracle import oracle_python

SCRIPTS = Path(__file__).parent / "scripts"
GOLDEN = Path(__file__).parent.parent / "golden" / "pycaffe"
NAMES = sorted(path.stem for path in SCRIPTS.glob("*.py"))
TOLERANCE = 1e-4
"""Of an array's largest value: float32 sums in another order, over ten updates."""

pytest.importorskip("torch", reason="needs PyTorch")


def run(python: str, name: str, folder: Path, *ours: str) -> dict[str, np.ndarray]:
    folder.mkdir()
    environment = {
        **os.environ,
        "GLOG_minloglevel": "2",
        "PYTHONPATH": str(SCRIPTS.parent.parent.parent) if ours else "",
    }
    command = [python, *ours, str(SCRIPTS / f"{name}.py"), "out.npz"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(folder / "out.npz", allow_pickle=False) as found:
        return {key: found[key] for key in found.files}


def compare(wanted: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> None:
    assert sorted(found) == sorted(wanted)
    for key, right in wanted.items():
        ours = found[key]
        assert ours.shape == right.shape, key
        if right.dtype.kind == "U":
            assert [normal(t) for t in ours.ravel()] == [normal(t) for t in right.ravel()], key
            continue
        scale = float(np.abs(right.astype(float)).max(initial=0)) or 1.0
        assert np.abs(right.astype(float) - ours).max(initial=0) <= TOLERANCE * scale, key


def normal(text: str) -> str:
    """Return a text with its numbers to six digits: versions of protobuf print more or fewer."""
    return re.sub(r"-?\d+\.\d+(e-?\d+)?", lambda m: f"{float(m[0]):.6g}", text)


@pytest.mark.parametrize("name", NAMES)
def test_as_recorded_from_real_caffe(name: str, tmp_path: Path) -> None:
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as recorded:
        wanted = {key: recorded[key] for key in recorded.files}
    compare(wanted, run(sys.executable, name, tmp_path / "ours", "-m", "caffezoo.pycaffe"))


@pytest.mark.oracle
@pytest.mark.parametrize("name", NAMES)
def test_real_caffe_gives_what_was_recorded(name: str, tmp_path: Path) -> None:
    python = oracle_python()
    assert python is not None
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as recorded:
        compare({key: recorded[key] for key in recorded.files}, run(python, name, tmp_path / "real"))
