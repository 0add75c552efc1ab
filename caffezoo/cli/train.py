"""``caffezoo train``: a user's own solver."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from caffezoo.cli import recipes
from caffezoo.cli.training_session import GlogLines, check_effect, device_of, require_torch, run_solver
from caffezoo.errors import UsageError


def train(
    solver: Annotated[Path | None, typer.Option(metavar="FILE", help="A solver.prototxt.")] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="FILE[,FILE]", help="Begin with these weights, layer by layer, by name.")
    ] = None,
    snapshot: Annotated[
        Path | None, typer.Option(metavar="FILE.solverstate", help="Go on from a snapshot, ours or Caffe's.")
    ] = None,
    log: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the log's lines into a file as well.")] = None,
    gpu: Annotated[
        str | None, typer.Option(metavar="ID", help="A CUDA device. Default: what solver_mode says, if it is there.")
    ] = None,
    threads: recipes.ThreadsOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at an image that cannot be read, as Caffe does.")] = (
        False
    ),
) -> None:
    """Train as `caffe train` does, on PyTorch.

    Paths in the solver are from the current folder. The log's lines are those of `caffe train`: `results add` and
    `plot loss` read them. Ctrl-C writes a snapshot and stops; SIGHUP writes one and goes on.

    Examples:

    `caffezoo train --solver solver.prototxt --log train.log`

    `caffezoo train --solver solver.prototxt --weights bvlc_googlenet.caffemodel`

    `caffezoo train --solver solver.prototxt --snapshot net_iter_1000.solverstate`
    """
    require_torch()
    if solver is None:
        raise UsageError("give --solver FILE")
    if weights is not None and snapshot is not None:
        raise UsageError("give a snapshot to go on from, or weights to begin with, not both")
    train_solver(solver, weights, snapshot, lines=GlogLines("train.py:1", log), gpu=gpu, threads=threads, strict=strict)


def train_solver(
    path: Path,
    weights: str | None,
    snapshot: Path | None,
    *,
    lines: GlogLines,
    gpu: str | None,
    threads: int | None,
    strict: bool,
    effects: tuple[str, str] = ("stop", "snapshot"),
) -> None:
    """Train a solver file; ``effects`` are those of SIGINT and SIGHUP."""
    import torch

    from caffezoo.formats.prototxt import write_prototxt
    from caffezoo.formats.solver import read_solver
    from caffezoo.formats.solver_pb2 import SolverParameter
    from caffezoo.training.feeds.base import FeedOptions
    from caffezoo.training.solvers import make_solver

    if threads is not None:
        torch.set_num_threads(threads)
    file = read_solver(path)
    wants_gpu = file.param.HasField("solver_mode") and file.param.solver_mode == SolverParameter.GPU
    device = device_of(gpu, wants_gpu, file.param.device_id)
    lines("Use CPU." if device == "cpu" else f"Using GPUs {device.removeprefix('cuda:')}")
    lines(f"Initializing solver from parameters: \n{write_prototxt(file.param)}")
    seed = int.from_bytes(os.urandom(4), "little")
    options = FeedOptions(seed=seed, strict=strict, threads=threads or os.cpu_count() or 1)
    solver = make_solver(file, log=lines, device=device, options=options)
    for name in filter(None, (weights or "").split(",")):
        solver.load_weights(name)
    lines("Starting Optimization")
    sigint, sighup = map(check_effect, ("sigint_effect", "sighup_effect"), effects)
    run_solver(solver, None if snapshot is None else str(snapshot), sigint, sighup)
