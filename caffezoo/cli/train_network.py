"""``caffezoo train --net``: a network of the zoo, fine-tuned on a folder of images."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caffezoo.cli.console import say, shown
from caffezoo.cli.progress import progress
from caffezoo.cli.training_session import GlogLines, signals
from caffezoo.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from caffezoo.formats.preprocessing import Preprocessing
    from caffezoo.net.graph import Network
    from caffezoo.training.bit_summary import BitSummary
    from caffezoo.training.finetune import Epoch
    from caffezoo.training.job import Job
    from caffezoo.training.outcome import Outcome

PRECISIONS = ("full", "8bit", "binary")


def open_network(
    name: str,
    weights: Path | None,
    from_scratch: bool,
    sizes: tuple[str | None, str | None],
    mean: str | None,
    std: str | None,
    index: Path | None,
) -> tuple[str, Network, Preprocessing]:
    """Return a network's short name, the network, and what its images get.

    Raises
    ------
    UsageError
        A file without the flags that say what its images get.
    FetchError
        The zoo's weights cannot be had.
    """
    from caffezoo.cli.networks import is_file
    from caffezoo.formats.image_size import Size
    from caffezoo.formats.preprocessing import Preprocessing
    from caffezoo.net.graph import Network

    found: dict[str, Any] = {}
    if is_file(name):
        path, title = Path(name), Path(name).stem.removeprefix("deploy_")
    else:
        from caffezoo.zoo.index import load_index

        entry = load_index(index).network(name)
        path, title = entry.prototxt_path, entry.name
        preset = entry.preset()
        found = {
            "mean": preset.mean,
            "std": preset.std,
            "base_size": preset.base_size,
            "crop_size": preset.crop_size,
            "channel_order": preset.channel_order,
        }
        fetchable = any(w.state == "available" for w in entry.weights)
        if weights is None and not from_scratch and fetchable:
            from caffezoo.cli.progress import fetch_with_progress

            weights = fetch_with_progress(entry)
        elif weights is None and not from_scratch:
            say("note", f"there are no weights of {entry.name} to be had: training starts from scratch")
    network = Network.load(path)
    if weights is not None:
        network = network.with_weights_file(weights)
    given = {
        "base_size": sizes[0],
        "crop_size": sizes[1],
        "mean": _levels(mean, "--mean"),
        "std": _levels(std, "--std"),
    }
    found |= {key: value for key, value in given.items() if value is not None}
    channels = 1 if found.get("channel_order") == "grey" else 3
    for key in ("mean", "std"):
        if len(found.get(key, ())) == 1:
            found[key] = found[key] * channels
    crop = found.get("crop_size") or Size(*next(iter(network.inputs.values()))[2:])
    found["crop_size"] = Size.of(crop, "crop size")
    if sizes[1] is not None and sizes[0] is None:
        found["base_size"] = Size.of(round(found["crop_size"].height * 8 / 7))
    found.setdefault("base_size", found["crop_size"])
    base = Size.of(found["base_size"], "base size")
    found["base_size"] = Size(base.height, base.width)
    return title, network, replace(Preprocessing(**found), resize="squash")


def _levels(text: str | None, flag: str) -> tuple[float, ...] | None:
    from caffezoo.evaluation.asked import parse_levels

    if text is None:
        return None
    found = parse_levels(text, flag)
    if isinstance(found, Path):
        raise UsageError(f"{flag} takes numbers here: a mean for each pixel cannot be cropped to another size")
    return found


def check_choices(solver: str, policy: str) -> None:
    """Refuse names of solvers and policies that there are not."""
    from caffezoo.training.job import KINDS

    if solver not in KINDS:
        raise UnknownNameError("solver", solver, KINDS)
    if policy not in ("poly", "fixed"):
        raise UsageError(f"--policy takes poly or fixed, not '{policy}'")


def run_job(job: Job, log: Path | None) -> Outcome:
    """Train a job behind a bar, with a line an epoch, and write its files.

    Raises
    ------
    ZooError
    """
    from caffezoo.training.finetune import FineTuning
    from caffezoo.training.outcome import write_outcome

    write = GlogLines("train.py:1", log, quiet=True) if log is not None else None
    total = 0
    with signals("stop", "snapshot") as asked, progress(100, unit="training") as show:

        def on_iteration(iteration: int, of: int, loss: float) -> None:
            show(100 * (iteration + 1) / of, f"iteration {iteration + 1} of {of}, loss {loss:.4g}")

        training = FineTuning(job, log=write, on_epoch=tell_epoch, on_iteration=on_iteration)
        try:
            split = training.plan.split
            total = len(split.train) + len(split.val)
            print(f"data        {shown(job.data)}: {len(split.train)} images to train on, {len(split.val)} to validate")
            print(f"classes     {len(split.classes)}; {split.how}")
            if training.before is not None:
                print(f"before      validation accuracy {100 * training.before.accuracy:.2f} %, with a new classifier")
            training.solver.action = lambda: "stop" if asked() == "stop" else "none"
            training.run()
            if training.solver.stopped:
                say("note", "stopped: give the same command again to go on from the last whole epoch")
            outcome = write_outcome(training)
        finally:
            training.close()
    skipped = training.solver.net.options.skipped
    for line in skipped[:20]:
        say("warning", f"left out: {line}")
    if skipped:
        say("warning", f"{len(skipped)} of {total} images cannot be read and were left out")
    return outcome


def tell_epoch(row: Epoch) -> None:
    """Print one row of the history."""
    print(
        f"epoch {row.epoch:<5} loss {row.train_loss:.4f}, validation loss {row.val_loss:.4f}, "
        f"accuracy {100 * row.val_accuracy:.2f} %, {row.seconds:.1f} s",
        flush=True,
    )


def tell_outcome(job: Job, outcome: Outcome) -> None:
    """Print the best epoch, the size by precision, and the commands that use the network."""
    from caffezoo.evaluation.metrics import wilson_interval

    correct, total = int(outcome.validation.confusion.trace()), int(outcome.validation.confusion.sum())
    low, high = wilson_interval(correct, total)
    print(
        f"best        epoch {outcome.best.epoch}: {100 * outcome.validation.accuracy:.2f} % of {total} "
        f"(95 %: {100 * low:.2f} to {100 * high:.2f})"
    )
    tell_summary(outcome.summary)
    print(f"wrote       {shown(str(outcome.caffemodel))}, deploy, train_val and solver prototxts, curves beside it")
    index = shown(os.path.relpath(outcome.index))
    print(f"use it      caffezoo classify IMAGE --net {job.name} --index {index}")


def tell_summary(summary: BitSummary) -> None:
    """Print parameters, memory and multiply-accumulates by bits."""
    parameters = ", ".join(f"{count:,} of {bits} bit" for bits, count in summary.parameters.items())
    macs = ", ".join(f"{count:,} of {bits} bit" for bits, count in summary.macs.items())
    print(f"parameters  {parameters}: {summary.memory_bytes / 1024:,.2f} kB, {summary.compression:.1f}x below float32")
    print(f"macs        {macs}")
