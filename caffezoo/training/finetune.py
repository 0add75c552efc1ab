"""A fine-tuning, epoch by epoch: train, validate, keep the best and the last, go on after any end.

Importing this module imports torch.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from caffezoo.errors import FormatError, TrainingError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.caffemodel import read_weights
from caffezoo.formats.solver import checked_solver
from caffezoo.formats.solver_pb2 import SolverParameter
from caffezoo.training.augmentation import augmentation
from caffezoo.training.feeds.base import FeedOptions
from caffezoo.training.job import Job, Plan, make_plan
from caffezoo.training.net import TrainingNet, set_blobs
from caffezoo.training.quantisers import attach, clip_weights
from caffezoo.training.rates import learning_rate
from caffezoo.training.solver import Solver
from caffezoo.training.solver_nets import inline_net
from caffezoo.training.solvers import make_solver
from caffezoo.training.train_val import INPUT, input_weights

CHECKPOINT = "checkpoint.json"


@dataclass(frozen=True)
class Epoch:
    """One row of the history.

    Attributes
    ----------
    epoch : int
        From 1.
    iterations : int
        In all.
    learning_rate : float
        Of the last iteration.
    train_loss : float
        Mean over the epoch's batches.
    val_loss, val_accuracy : float
        Over every validation image once.
    seconds : float
    """

    epoch: int
    iterations: int
    learning_rate: float
    train_loss: float
    val_loss: float
    val_accuracy: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Validation:
    """Answers on the validation images: ``confusion[label, answer]`` counts them."""

    loss: float
    accuracy: float
    confusion: np.ndarray


@dataclass
class Progress:
    """How far a fine-tuning is; what its checkpoint holds beside the weights."""

    history: list[Epoch] = field(default_factory=list)
    best: int = 0
    snapshot: str = ""
    best_weights: str = ""
    rng: str = ""

    @property
    def best_epoch(self) -> Epoch:
        return self.history[self.best]


class FineTuning:
    """A job under way.

    Parameters
    ----------
    job : Job
    log : callable, optional
        Called with the solver's lines.
    on_epoch : callable, optional
        Called with every new row of the history.
    on_iteration : callable, optional
        Called with the number of the iteration (from 0), of all iterations, and its loss.

    Attributes
    ----------
    plan : Plan
    solver : Solver
    progress : Progress
    before : Validation or None
        What the weights that the training began with answer, where there are any.

    Raises
    ------
    ZooError
        The folder, the network or the settings cannot be trained with.
    """

    def __init__(
        self,
        job: Job,
        *,
        log: Callable[[str], None] | None = None,
        on_epoch: Callable[[Epoch], None] = lambda row: None,
        on_iteration: Callable[[int, int, float], None] = lambda i, total, loss: None,
    ) -> None:
        self.job, self._on_epoch = job, on_epoch
        self.plan: Plan = make_plan(job)
        param = SolverParameter()
        param.CopyFrom(self.plan.solver)
        for name in ("test_iter", "test_interval", "test_initialization"):
            param.ClearField(name)  # every validation image counts once here
        param.ClearField("net")
        param.net_param.CopyFrom(self.plan.net)
        path = str(job.output / "solver.prototxt")
        options = FeedOptions(seed=job.seed, strict=job.strict, threads=job.threads, augment=augmentation(job.augment))
        self.solver: Solver = make_solver(
            checked_solver(param, path), log=log, device=job.device, options=options, channels_last=True
        )
        self.solver.net.autocast = torch.bfloat16 if job.bfloat16 else None
        test = pb.NetState(phase="TEST")
        self.val_net = TrainingNet(
            inline_net(self.plan.net, str(job.output / "train_val.prototxt")),
            test,
            options,
            seed=job.seed,
            device=job.device,
            channels_last=True,
        )
        self.val_net.share_with(self.solver.net)
        form = self.plan.form
        if form.weights:
            for net in (self.solver.net, self.val_net):
                attach(net.module, form.weights, form.activations)
            if job.precision.normed:
                self.solver.after_update = lambda solver: clip_weights(solver.net.module, form.weights)
        total = param.max_iter
        self._losses: list[float] = []

        def note(iteration: int, loss: float) -> None:
            self._losses.append(loss)
            on_iteration(iteration, total, loss)

        self.solver.on_iteration = note
        self.progress = Progress()
        self._begin()

    def run(self) -> Progress:
        """Train to the end, from the last checkpoint where the output folder has one.

        Returns
        -------
        Progress
            The net then has the weights of the best epoch.

        Raises
        ------
        TrainingError
            The loss is no number; the checkpoints are those of the epochs before.
        """
        self._resume()
        while len(self.progress.history) < self.job.epochs and not self.solver.stopped and not self._out_of_patience():
            self._epoch()
        if not self.progress.history:
            raise TrainingError("stopped before the first epoch was over: there is nothing to keep")
        self.solver.net.copy_trained(read_weights(self.progress.best_weights))
        return self.progress

    def validate(self) -> Validation:
        """Return the answers on every validation image."""
        split, net = self.plan.split, self.val_net
        net.seek(0)
        size, count = len(split.val), len(split.classes)
        confusion = np.zeros((count, count), np.int64)
        loss = 0.0
        with torch.no_grad():
            done = 0
            while done < size:
                inputs = net.inputs()
                net.forward(inputs)
                prob = next(o.values for o in net.results() if o.name == "prob").reshape(-1, count)
                labels = inputs[1].cpu().numpy().astype(int)
                rows = min(len(labels), size - done)  # the last batch begins the list again
                prob, labels = prob[:rows], labels[:rows]
                loss -= float(np.log(np.maximum(prob[np.arange(rows), labels], np.finfo(np.float32).tiny)).sum())
                np.add.at(confusion, (labels, prob.argmax(1)), 1)
                done += rows
        return Validation(loss / size, float(np.trace(confusion)) / size, confusion)

    def close(self) -> None:
        """Stop reading data."""
        self.solver.close()
        self.val_net.close()

    def _begin(self) -> None:
        """Write the weights that the training begins with: the network's where the layers are still the same."""
        given = {node.name: node for node in self.job.network.nodes}
        weights = self.job.network.weights
        fixed = self.job.precision.kind == "8bit" and self.job.precision.normed
        rescaled = set(self.plan.form.weights) if fixed else set()
        for layer in self.solver.net.module.layers:
            name = layer.layer_name
            if name == INPUT:
                set_blobs(layer, [input_weights(self.job.preprocessing)])
            elif name in given and given[name].key in weights:
                blobs = weights[given[name].key][: len(layer.node.blob_shapes)]
                if tuple(b.shape for b in blobs) == layer.node.blob_shapes:
                    set_blobs(layer, blobs)
            if name in rescaled:  # fixed-point weights live in [-1, 1]; the batch norm behind takes any factor
                with torch.no_grad():
                    layer.blob(0).div_(layer.blob(0).abs().max().clamp(min=1e-12))
        kept = self.job.precision.kind == "full" and not self.job.network.weights
        self.before = None if kept or not self.job.network.weights else self.validate()

    def _epoch(self) -> None:
        job, number = self.job, len(self.progress.history) + 1
        started = time.perf_counter()
        self._losses.clear()
        self.solver.step(self.plan.epoch)
        if self.solver.stopped:
            return
        found = self.validate()
        if not math.isfinite(found.loss):
            raise TrainingError(f"the validation loss is {found.loss:g} after epoch {number}", where=str(job.output))
        rate = learning_rate(self.solver.param, self.solver.iter - 1)
        losses = math.fsum(self._losses) / len(self._losses)
        seconds = time.perf_counter() - started
        row = Epoch(number, self.solver.iter, rate, losses, found.loss, found.accuracy, seconds)
        history = self.progress.history
        better = not history or row.val_accuracy > self.progress.best_epoch.val_accuracy
        history.append(row)
        old = self.progress.snapshot
        model, state = self.solver.snapshot()
        self.progress.snapshot = state
        replaced = self.progress.best_weights if better else ""
        if better:
            self.progress.best, self.progress.best_weights = number - 1, model
        self._write_checkpoint()
        for path in (old, old.replace(".solverstate", ".caffemodel"), replaced):
            if path and path not in (self.progress.best_weights, model, state):
                Path(path).unlink(missing_ok=True)
        self._on_epoch(row)

    def _out_of_patience(self) -> bool:
        patience, history = self.job.patience, self.progress.history
        return patience is not None and bool(history) and len(history) - 1 - self.progress.best >= patience

    def _write_checkpoint(self) -> None:
        """Replace the checkpoint whole: a kill leaves the one before."""
        self.progress.rng = torch.get_rng_state().numpy().tobytes().hex()
        content = {"settings": self._settings(), **asdict(self.progress)}
        path = self.job.output / CHECKPOINT
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps(content))
        temporary.replace(path)

    def _resume(self) -> None:
        path = self.job.output / CHECKPOINT
        if not path.exists():
            return
        try:
            content: dict[str, Any] = json.loads(path.read_text())
            settings = content.pop("settings")
            history = [Epoch(**row) for row in content.pop("history")]
            progress = Progress(history, **content)
        except (ValueError, KeyError, TypeError):
            raise FormatError(
                "this is no checkpoint of a training", where=str(path), hint="remove the folder"
            ) from None
        for name, value in self._settings().items():
            if settings.get(name) != value:
                message = f"the training under way there has {name} {settings.get(name)}, not {value}"
                raise TrainingError(message, where=str(self.job.output), hint="give the same, or another --output")
        self.progress = progress
        self.solver.restore(progress.snapshot)
        torch.set_rng_state(torch.frombuffer(bytearray.fromhex(progress.rng), dtype=torch.uint8))

    def _settings(self) -> dict[str, Any]:
        """What must be the same for a training to go on: all that its numbers depend on."""
        job = self.job
        names = (
            "epochs batch_size solver rate policy decay head_mult balance mirror augment width seed bfloat16".split()
        )
        found = {name: getattr(job, name) for name in names}
        split = self.plan.split
        images = [len(split.train), len(split.val), len(split.classes)]
        return {**found, "freeze": list(job.freeze), "precision": asdict(job.precision), "images": images}
