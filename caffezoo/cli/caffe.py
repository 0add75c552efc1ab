"""``caffezoo caffe``: the commands and flags of Caffe's own program, for the scripts that people have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caffezoo.cli.train import train_solver
from caffezoo.cli.training_session import GlogLines, device_of, require_torch
from caffezoo.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from caffezoo.training.net import TrainingNet

FLAGS = {
    "gpu": "",
    "solver": "",
    "model": "",
    "phase": "",
    "level": "0",
    "stage": "",
    "snapshot": "",
    "weights": "",
    "iterations": "50",
    "sigint_effect": "stop",
    "sighup_effect": "snapshot",
}
COMMANDS = ("train", "test", "time", "device_query")


def caffe(
    context: typer.Context,
    command: Annotated[str, typer.Argument(metavar="train|test|time|device_query")],
    flags: Annotated[
        list[str] | None, typer.Argument(metavar="[-FLAG VALUE]...", help="As `caffe` takes them.")
    ] = None,
) -> None:
    """Do what Caffe's program `caffe` does, with its flags (`-solver x`, `--solver=x`) and its log lines.

    Flags: -solver, -snapshot, -weights, -model, -phase, -level, -stage, -iterations, -gpu, -sigint_effect,
    -sighup_effect.

    Examples:

    `caffezoo caffe train -solver solver.prototxt -gpu 0`

    `caffezoo caffe test -model train_val.prototxt -weights net.caffemodel -iterations 100`

    `caffezoo caffe time -model deploy.prototxt -iterations 10`
    """
    given = parse_flags([*(flags or []), *context.args])
    require_torch()
    if command not in COMMANDS:
        raise UnknownNameError("command of caffe", command, COMMANDS)
    run = {"train": _train, "test": _test, "time": _time, "device_query": _device_query}[command]
    run(given, GlogLines("caffe.cpp:1"))


def parse_flags(arguments: Sequence[str]) -> dict[str, str]:
    """Return gflags' values by name: one dash or two, with ``=`` or the value behind.

    Raises
    ------
    UsageError
        An unknown flag, or one without a value.
    """
    found = dict(FLAGS)
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        name, equals, value = argument.lstrip("-").partition("=")
        if not argument.startswith("-"):
            raise UsageError(f"'{argument}' is no flag")
        if name not in FLAGS:
            raise UnknownNameError("flag", name, FLAGS)
        if not equals:
            if not waiting:
                raise UsageError(f"flag -{name} has no value")
            value = waiting.pop(0)
        found[name] = value
    return found


def _train(flags: dict[str, str], lines: GlogLines) -> None:
    if not flags["solver"]:
        raise UsageError("Need a solver definition to train.", hint="give -solver FILE")
    if flags["snapshot"] and flags["weights"]:
        raise UsageError("Give a snapshot to resume training or weights to finetune but not both.")
    for name in ("stage", "level"):
        if flags[name] != FLAGS[name]:
            raise UsageError(f"-{name} is not taken in training", hint="set train_state and test_state in the solver")
    train_solver(
        Path(flags["solver"]),
        flags["weights"] or None,
        Path(flags["snapshot"]) if flags["snapshot"] else None,
        lines=lines,
        gpu=flags["gpu"] or None,
        threads=None,
        strict=True,
        effects=(flags["sigint_effect"], flags["sighup_effect"]),
    )


def _net(flags: dict[str, str], phase: str, lines: GlogLines) -> TrainingNet:
    from caffezoo.formats import caffe_pb2 as pb
    from caffezoo.formats.caffemodel import read_weights
    from caffezoo.formats.prototxt import read_prototxt
    from caffezoo.training.feeds.base import FeedOptions
    from caffezoo.training.net import TrainingNet

    if not flags["model"]:
        raise UsageError("Need a model definition.", hint="give -model FILE")
    if phase not in ("TRAIN", "TEST"):
        raise UsageError('phase must be "TRAIN" or "TEST"')
    device = device_of(flags["gpu"] or None)
    lines("Use CPU." if device == "cpu" else f"Use GPU with device ID {flags['gpu']}")
    stages = [stage for stage in flags["stage"].split(",") if stage]
    state = pb.NetState(phase=phase, level=_number(flags, "level"), stage=stages)
    net = TrainingNet(read_prototxt(flags["model"]), state, FeedOptions(strict=True), device=device)
    for name in filter(None, flags["weights"].split(",")):
        net.copy_trained(read_weights(name))
    return net


def _number(flags: dict[str, str], name: str) -> int:
    try:
        return int(flags[name])
    except ValueError:
        raise UsageError(f"-{name} takes a number, not '{flags[name]}'") from None


def _test(flags: dict[str, str], lines: GlogLines) -> None:
    from caffezoo.training.scoring import score_batches

    if not flags["weights"]:
        raise UsageError("Need model weights to score.", hint="give -weights FILE")
    net = _net(flags, flags["phase"] or "TEST", lines)
    try:
        score_batches(net, _number(flags, "iterations"), lines)
    finally:
        net.close()


def _time(flags: dict[str, str], lines: GlogLines) -> None:
    from caffezoo.timing.subjects import Settings
    from caffezoo.timing.torch_subject import TorchSubject

    count = _number(flags, "iterations")
    net = _net(flags, flags["phase"] or "TRAIN", lines)
    inputs = {name: x.cpu().numpy() for name, x in zip(net.network.inputs, net.inputs(), strict=True)}
    net.close()
    settings = Settings("torch", gpu=int(flags["gpu"]) if flags["gpu"] else None)
    subject = TorchSubject(net.network.with_weights(net.weights()), settings, inputs)
    try:
        subject.whole()
        lines("*** Benchmark begins ***")
        lines(f"Testing for {count} iterations.")
        whole = []
        for number in range(1, count + 1):
            forward, backward = subject.whole()
            whole.append((forward, backward or 0.0))
            lines(f"Iteration: {number} forward-backward time: {round(1e3 * (forward + (backward or 0)))} ms.")
        turns = iter(range(count))
        layers = subject.layers(lambda: next(turns, None) is not None)
    finally:
        subject.close()
    lines("Average time per layer: ")
    for layer in layers:
        lines(f"{layer.layer:>10}\tforward: {layer.forward_ms:.6g} ms.")
        lines(f"{layer.layer:>10}\tbackward: {layer.backward_ms or 0:.6g} ms.")
    forward, backward = (1e3 * sum(part) / count for part in zip(*whole, strict=True))
    lines(f"Average Forward pass: {forward:.6g} ms.")
    lines(f"Average Backward pass: {backward:.6g} ms.")
    lines(f"Average Forward-Backward: {forward + backward:.6g} ms.")
    lines(f"Total Time: {(forward + backward) * count:.6g} ms.")
    lines("*** Benchmark ends ***")


def _device_query(flags: dict[str, str], lines: GlogLines) -> None:
    import torch

    asked = flags["gpu"]
    lines(f"Querying GPUs {asked}")
    numbers = range(torch.cuda.device_count()) if asked == "all" else [asked]
    for number in numbers:
        device_of(str(number))
        properties = torch.cuda.get_device_properties(int(number))
        for what, value in (
            ("Device id", number),
            ("Major revision number", properties.major),
            ("Minor revision number", properties.minor),
            ("Name", properties.name),
            ("Total global memory", properties.total_memory),
            ("Number of multiprocessors", properties.multi_processor_count),
        ):
            lines(f"{what + ':':<31}{value}")


# Flags of one dash are Caffe's, not this program's: an -h of its own would be found in -weights.
caffe.context = {  # type: ignore[attr-defined]
    "ignore_unknown_options": True,
    "allow_extra_args": True,
    "help_option_names": ["--help"],
}
