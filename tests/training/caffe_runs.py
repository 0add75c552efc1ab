"""Trainings in real Caffe and here, with the log of each."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from tests.oracle import oracle_python


def caffe_solves(*arguments: str) -> dict[str, str]:
    """Let real Caffe run solvers in the current folder; return what it logs of each."""
    command = [str(oracle_python()), str(Path(__file__).with_name("caffe_trainer.py")), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "GLOG_minloglevel": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    logs: dict[str, str] = {}
    for part in done.stderr.split("=== ")[1:]:
        name, _, log = part.partition("\n")
        logs[name] = log
    return logs


def our_log(path: str, **options: Any) -> tuple[str, Any]:
    """Train here; return what ``caffe train`` would have logged, and the solver."""
    import torch

    from caffezoo.training.solvers import make_solver

    torch.set_num_threads(1)
    lines: list[str] = []
    solver = make_solver(path, log=lines.append)
    solver.solve(**options)
    solver.close()
    return "\n".join(f"I1122 12:30:05.123456  4711 solver.cpp:51] {line}" for line in lines), solver
