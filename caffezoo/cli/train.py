"""``caffezoo train``: a user's own solver, or a network of the zoo on a folder of images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from caffezoo.cli import recipes
from caffezoo.cli.networks import index_option
from caffezoo.cli.training_session import GlogLines, check_effect, device_of, require_torch, run_solver
from caffezoo.errors import UsageError

TUNING, BITS = "Fine-tuning", "Precision"


def train(
    solver_file: Annotated[
        str | None,
        typer.Option("--solver", metavar="FILE|KIND", help="A solver.prototxt; with --net: sgd, nesterov, adam ..."),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="FILE[,FILE]", help="Begin with these weights, layer by layer, by name.")
    ] = None,
    snapshot: Annotated[
        Path | None, typer.Option(metavar="FILE.solverstate", help="Go on from a snapshot, ours or Caffe's.")
    ] = None,
    log: Annotated[Path | None, typer.Option(metavar="FILE", help="Write `caffe train`'s lines into a file.")] = None,
    gpu: Annotated[
        str | None, typer.Option(metavar="ID", help="A CUDA device. Default: what solver_mode says, if it is there.")
    ] = None,
    threads: recipes.ThreadsOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at an image that cannot be read, as Caffe does.")] = (
        False
    ),
    net: Annotated[
        str | None, typer.Option(metavar="NET|FILE", help="Fine-tune this network on --data.", rich_help_panel=TUNING)
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="A folder a class, or train and val with them.", rich_help_panel=TUNING),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Default: trained/NET-PRECISION.", rich_help_panel=TUNING)
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the trained network.", rich_help_panel=TUNING)] = None,
    epochs: Annotated[int, typer.Option(min=1, rich_help_panel=TUNING)] = 10,
    batch_size: Annotated[int, typer.Option(min=1, rich_help_panel=TUNING)] = 32,
    lr: Annotated[
        float | None, typer.Option(help="Base learning rate. Default: by solver and weights.", rich_help_panel=TUNING)
    ] = None,
    policy: Annotated[
        str, typer.Option(metavar="poly|fixed", help="poly: linear down to 0.", rich_help_panel=TUNING)
    ] = "poly",
    weight_decay: Annotated[float, typer.Option(rich_help_panel=TUNING)] = 0.0005,
    freeze: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Layers that keep their weights: 'conv*'.", rich_help_panel=TUNING),
    ] = None,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Begin without the zoo's weights.", rich_help_panel=TUNING)
    ] = False,
    width: Annotated[
        float, typer.Option(help="Make all layers but the last so much wider.", rich_help_panel=TUNING)
    ] = 1.0,
    base_size: Annotated[str | None, typer.Option(metavar="PX", rich_help_panel=TUNING)] = None,
    crop_size: Annotated[str | None, typer.Option(metavar="PX", rich_help_panel=TUNING)] = None,
    mean: recipes.MeanOption = None,
    std: recipes.StdOption = None,
    mirror: Annotated[bool, typer.Option("--mirror/--no-mirror", rich_help_panel=TUNING)] = True,
    augment: Annotated[
        str, typer.Option(metavar="none|turn|light|strong", help="Also change images so.", rich_help_panel=TUNING)
    ] = "none",
    balance: Annotated[
        bool, typer.Option("--balance", help="Classes count alike in the loss.", rich_help_panel=TUNING)
    ] = False,
    patience: Annotated[
        int | None,
        typer.Option(metavar="EPOCHS", help="End after so many without a better accuracy.", rich_help_panel=TUNING),
    ] = None,
    val_share: Annotated[
        float, typer.Option(min=0.01, max=0.9, help="Of every class, to validate.", rich_help_panel=TUNING)
    ] = 0.2,
    seed: Annotated[int, typer.Option(min=0, rich_help_panel=TUNING)] = 0,
    bfloat16: Annotated[
        bool, typer.Option("--bfloat16", help="Forward passes in bfloat16 where it is safe.", rich_help_panel=TUNING)
    ] = False,
    precision: Annotated[str, typer.Option(metavar="full|8bit|binary", rich_help_panel=BITS)] = "full",
    weight_bits: Annotated[
        int | None, typer.Option(help="With 8bit: DoReFa's weights of so many bits.", rich_help_panel=BITS)
    ] = None,
    activation_bits: Annotated[int | None, typer.Option(help="The same for activations.", rich_help_panel=BITS)] = None,
    scaling: Annotated[
        str, typer.Option(metavar="filter|layer|none", help="Of binary weights.", rich_help_panel=BITS)
    ] = "filter",
    ranges: Annotated[
        str, typer.Option(metavar="scaled|fixed", help="Of 8-bit numbers: see docs/training.md.", rich_help_panel=BITS)
    ] = "scaled",
    first_real: Annotated[bool, typer.Option("--first-real/--first-quantised", rich_help_panel=BITS)] = True,
    last_real: Annotated[bool, typer.Option("--last-real/--last-quantised", rich_help_panel=BITS)] = True,
    index: index_option = None,
) -> None:
    """Train as `caffe train` does, or fine-tune a network on a folder of images; on PyTorch.

    With --solver FILE: paths in it are from the current folder, the lines are those of `caffe train`, Ctrl-C writes a
    snapshot and stops, SIGHUP writes one and goes on.

    With --net and --data: out come a caffemodel, deploy, train_val and solver prototxts, history, curves, confusion and
    an index entry. The same command goes on after any end.

    Examples:

    `caffezoo train --solver solver.prototxt --log train.log`

    `caffezoo train --solver solver.prototxt --snapshot net_iter_1000.solverstate`

    `caffezoo train --net efficientnet-lite0 --data photos/ --epochs 5 --freeze 'blocks_0*'`

    `caffezoo train --net study-alexnet --precision binary --data digits/ --width 0.25 --crop-size 67 --solver adam`
    """
    require_torch()
    if net is None:
        _solver_form(solver_file, weights, snapshot, data, log, gpu, threads, strict)
        return
    if data is None:
        raise UsageError("--net needs --data FOLDER")
    import torch

    from caffezoo.cli import train_network
    from caffezoo.training.job import Job
    from caffezoo.training.precision_forms import PrecisionChoice

    kind = solver_file or ("adam" if precision != "full" else "sgd")
    train_network.check_choices(kind, policy)
    choice = PrecisionChoice(precision, weight_bits, activation_bits, scaling, ranges, first_real, last_real)  # type: ignore[arg-type]
    if threads is not None:
        torch.set_num_threads(threads)
    start = Path(weights) if weights is not None else None
    title, network, preprocessing = train_network.open_network(
        net, start, from_scratch, (base_size, crop_size), mean, std, index
    )
    name = name or f"{title}-{precision}"
    job = Job(
        name,
        network,
        preprocessing,
        data,
        output or Path("trained") / name,
        epochs=epochs,
        batch_size=batch_size,
        solver=kind,
        rate=lr,
        policy=policy,
        decay=weight_decay,
        freeze=tuple(freeze or ()),
        balance=balance,
        mirror=mirror,
        augment=augment,
        patience=patience,
        val_share=val_share,
        width=width,
        precision=choice,
        seed=seed,
        threads=threads or os.cpu_count() or 1,
        strict=strict,
        bfloat16=bfloat16,
        device=device_of(gpu, wants_gpu=True),
    )
    train_network.tell_outcome(job, train_network.run_job(job, log))


def _solver_form(
    solver: str | None,
    weights: str | None,
    snapshot: Path | None,
    data: str | None,
    log: Path | None,
    gpu: str | None,
    threads: int | None,
    strict: bool,
) -> None:
    """Train a solver file, after checking that the flags go with it."""
    if solver is None:
        raise UsageError("give --solver FILE, or --net NET and --data FOLDER")
    if data is not None:
        raise UsageError("--data goes with --net; a solver's data layers name their sources")
    if weights is not None and snapshot is not None:
        raise UsageError("give a snapshot to go on from, or weights to begin with, not both")
    lines = GlogLines("train.py:1", log)
    train_solver(Path(solver), weights, snapshot, lines=lines, gpu=gpu, threads=threads, strict=strict)


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
