"""Caffe's solvers on torch, a class each: ``step``, ``solve``, ``snapshot``, ``restore``, the net and its test nets.

Importing this module imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from os import PathLike, fspath
from typing import ClassVar, Literal

import numpy as np
import torch

from caffezoo.errors import TrainingError
from caffezoo.formats.caffemodel import read_weights, write_caffemodel
from caffezoo.formats.hdf5 import write_hdf5
from caffezoo.formats.solver import SolverFile, checked_solver, read_solver
from caffezoo.formats.solver_pb2 import SolverParameter
from caffezoo.formats.solverstate import SolverState, read_solverstate, write_solverstate
from caffezoo.training.debugging import log_passes, log_update
from caffezoo.training.feeds.base import FeedOptions
from caffezoo.training.net import Output, TrainingNet
from caffezoo.training.rates import current_step, learning_rate
from caffezoo.training.solver_nets import find_learned, nets_of
from caffezoo.training.train_log import TrainLog, number_text
from caffezoo.training.updates import UPDATES

Action = Literal["none", "snapshot", "stop"]


class Solver:
    """A training.

    Parameters
    ----------
    solver : path, SolverFile or SolverParameter
    log : callable, optional
        Called with each line that ``caffe train`` logs, without glog's prefix.
    device : str, optional
        Of torch: ``cpu``, ``cuda`` or ``cuda:N``; solver_mode is not asked.
    options : FeedOptions, optional
        Of the data layers. Its seed is replaced by ``random_seed`` where the solver has one.

    channels_last : bool
        See :class:`~caffezoo.training.net.TrainingNet`.

    Attributes
    ----------
    param : SolverParameter
    net : TrainingNet
    test_nets : tuple of TrainingNet
        They use the blobs of ``net``.
    iter : int
        How many updates there were.
    loss : float
        The mean over the last ``average_loss`` iterations.
    action : callable or None
        Asked after every iteration: ``"snapshot"`` or ``"stop"`` is done, ``"none"`` goes on.
    stops_at_nan : bool
        Whether a loss that is no number ends the training; Caffe goes on.
    on_gradients : callable or None
        Called before every update, with the solver.
    after_update : callable or None
        Called after every update, with the solver.
    on_test : callable or None
        Called with the number of a test net and its mean outputs.
    on_iteration : callable or None
        Called with the iteration (from 0) and its loss.

    Raises
    ------
    PrototxtError, NetworkError, DataError, TrainingError
    """

    type: ClassVar[str] = ""

    def __init__(
        self,
        solver: str | PathLike[str] | SolverFile | SolverParameter,
        *,
        log: Callable[[str], None] | None = None,
        device: str = "cpu",
        options: FeedOptions | None = None,
        channels_last: bool = False,
    ) -> None:
        if isinstance(solver, SolverParameter):
            solver = checked_solver(solver)
        file = solver if isinstance(solver, SolverFile) else read_solver(solver)
        self.param, self.path, self.device = file.param, file.path, device
        if self.type and self.param.type != self.type:
            raise TrainingError(f"the solver's type is {self.param.type}, not {self.type}", where=self.path)
        self.lines = TrainLog(log or (lambda line: None))
        self._log = self.lines.write
        self.action: Callable[[], Action] | None = None
        self.on_gradients: Callable[[Solver], None] | None = None
        self.after_update: Callable[[Solver], None] | None = None
        self.on_test: Callable[[int, list[Output]], None] | None = None
        self.on_iteration: Callable[[int, float], None] | None = None
        self.stops_at_nan = True
        seed = int(self.param.random_seed) if self.param.random_seed >= 0 else None
        options = options or FeedOptions(seed=seed if seed is not None else int(np.random.SeedSequence().entropy) >> 65)  # type: ignore[arg-type]
        if seed is not None:
            options.seed = seed
            torch.manual_seed(seed)
        sources = nets_of(file)
        self._log(f"Creating training net from net file: {sources.train[0].path}")
        self.net = TrainingNet(*sources.train, options, seed=seed, device=device, channels_last=channels_last)
        self.test_nets = tuple(
            TrainingNet(*test, options, weights=None, seed=seed, device=device) for test in sources.tests
        )
        for test in self.test_nets:
            test.share_with(self.net)
        self._blobs = self.net.blobs()
        self.update = UPDATES[self.param.type](self.param, self._blobs)
        self.iter = 0
        self.loss = 0.0
        self.stopped = False
        self._losses: list[float] = []
        for names in self.param.weights:
            for name in filter(None, names.split(",")):
                self.load_weights(name)

    def load_weights(self, path: str | PathLike[str]) -> list[str]:
        """Begin with the weights of a file where it has a layer's; return the layers that it lacks."""
        self._log(f"Finetuning from {fspath(path)}")
        return self.net.copy_trained(read_weights(path))

    def step(self, iterations: int = 1) -> None:
        """Run a number of iterations.

        Raises
        ------
        TrainingError
            The loss is no number; the message says at which iteration and where it went first.
        """
        self._losses.clear()
        self.loss = 0.0
        self.lines.begin(self.iter)
        stop = self.iter + iterations
        start = self.iter
        param = self.param
        while self.iter < stop:
            if self._tests_now() and (self.iter > 0 or param.test_initialization):
                self.test_all()
            shows = param.display > 0 and self.iter % param.display == 0
            loss = self._passes(debug=shows and param.debug_info)
            self._smooth(loss, start)
            if self.on_iteration is not None:
                self.on_iteration(self.iter, loss)
            if shows:
                self.lines.iteration(self.iter, self.loss, param.display, self.net.results())
            rate = learning_rate(param, self.iter)
            if shows:
                self._log(f"Iteration {self.iter}, lr = {number_text(rate)}")
            if self.on_gradients is not None:
                self.on_gradients(self)
            self.lines.clipping(param.clip_gradients, self.update)
            if shows and param.debug_info:
                log_update(self._blobs, self._log)
            self.update.step(rate, self.iter)
            if self.after_update is not None:
                self.after_update(self)
            self.iter += 1
            asked = self.action() if self.action is not None else "none"
            if (param.snapshot and self.iter % param.snapshot == 0) or asked == "snapshot":
                self.snapshot()
            if asked == "stop":
                self.stopped = True
                break

    def solve(self, resume: str | PathLike[str] | None = None) -> None:
        """Train to ``max_iter``, from a state where one is given.

        Raises
        ------
        TrainingError, WeightsFileError
        """
        self._log(f"Solving {self.net.name}")
        self._log(f"Learning Rate Policy: {self.param.lr_policy}")
        self.stopped = False
        if resume is not None:
            self.restore(resume)
        start = self.iter
        self.step(max(self.param.max_iter - self.iter, 0))
        snapshot = self.param.snapshot
        if self.param.snapshot_after_train and (not snapshot or self.iter % snapshot):
            self.snapshot()
        if self.stopped:
            self._log("Optimization stopped early.")
            return
        if self.param.display and self.iter % self.param.display == 0:
            with torch.no_grad():
                loss = float(self.net.forward())
            self._smooth(loss, start)
            self._log(f"Iteration {self.iter}, loss = {number_text(self.loss)}")
        if self._tests_now():
            self.test_all()
        self._log("Optimization Done.")

    def test_all(self) -> None:
        """Run every test net for its ``test_iter`` batches."""
        for number in range(len(self.test_nets)):
            self.test(number)

    def test(self, number: int = 0) -> list[Output]:
        """Return the mean outputs of a test net over ``test_iter`` batches."""
        self._log(f"Iteration {self.iter}, Testing net (#{number})")
        net, count = self.test_nets[number], self.param.test_iter[number]
        sums: list[np.ndarray] = []
        loss = 0.0
        with torch.no_grad():
            for _ in range(count):
                loss += float(net.forward())
                results = net.results()
                values = [output.values.astype(np.float64) for output in results]
                sums = [a + b for a, b in zip(sums, values, strict=True)] if sums else values
        means = [
            Output(output.name, (total / count).astype(np.float32), output.loss_weight)
            for output, total in zip(results, sums, strict=True)
        ]
        if self.param.test_compute_loss:
            self._log(f"Test loss: {number_text(loss / count)}")
        self.lines.outputs("Test", means)
        if self.on_test is not None:
            self.on_test(number, means)
        return means

    def snapshot(self) -> tuple[str, str]:
        """Write weights and state, and return their paths.

        Raises
        ------
        WeightsFileError
            They cannot be written; earlier ones are as they were.
        """
        hdf5 = self.param.snapshot_format == SolverParameter.HDF5
        stem = f"{self.param.snapshot_prefix}_iter_{self.iter}"
        model, state = (f"{stem}.{kind}{'.h5' if hdf5 else ''}" for kind in ("caffemodel", "solverstate"))
        kind = "HDF5" if hdf5 else "binary proto"
        self._log(f"Snapshotting to {kind} file {model}")
        write = write_hdf5 if hdf5 else write_caffemodel
        write(model, self.net.network.prototxt.net, self.net.weights())
        self._log(f"Snapshotting solver state to {kind} file {state}")
        history = tuple(h.detach().cpu().numpy() for h in self.update.history)
        found = SolverState(self.iter, model, history, current_step(self.param, self.iter))
        write_solverstate(state, found, hdf5=hdf5)
        return model, state

    def restore(self, path: str | PathLike[str]) -> None:
        """Go on from a state and the weights that it names, as they are or beside it.

        Raises
        ------
        WeightsFileError, BindingError, TrainingError
            A file cannot be read, or is of another net or solver.
        """
        self._log(f"Restoring previous solver status from {fspath(path)}")
        state = read_solverstate(path)
        if state.learned_net:
            self.net.copy_trained(read_weights(find_learned(fspath(path), state.learned_net)))
        try:
            self.update.load(state.history)
        except TrainingError as error:
            error.where = fspath(path)
            raise
        self.iter = state.iteration
        self.net.seek(self.iter * self.param.iter_size)

    def close(self) -> None:
        """Stop reading data."""
        for net in (self.net, *self.test_nets):
            net.close()

    def _tests_now(self) -> bool:
        return self.param.test_interval > 0 and self.iter % self.param.test_interval == 0

    def _passes(self, debug: bool) -> float:
        """Run ``iter_size`` passes forward and backward; return their mean loss."""
        self.net.module.zero_grad(set_to_none=True)
        keep, self.net.keep_blobs = self.net.keep_blobs, self.net.keep_blobs or debug
        total = 0.0
        for _ in range(self.param.iter_size):
            inputs = self.net.inputs()
            state = torch.get_rng_state()
            loss = self.net.forward(inputs)
            value = float(loss.detach())
            if self.stops_at_nan and not math.isfinite(value):
                torch.set_rng_state(state)
                reason = self.net.first_not_finite(inputs)
                raise TrainingError(
                    f"the loss is {value:g} at iteration {self.iter}: {reason}",
                    where=self.path,
                    hint="a lower base_lr or clip_gradients may help; the last snapshot is untouched",
                )
            if loss.requires_grad:
                loss.backward()
            total += value
        if debug:
            log_passes(self.net, self._log)
        self.net.keep_blobs = keep
        return total / self.param.iter_size

    def _smooth(self, loss: float, start: int) -> None:
        """Caffe's ``UpdateSmoothedLoss``."""
        average = self.param.average_loss
        if len(self._losses) < average:
            self._losses.append(loss)
            size = len(self._losses)
            self.loss = (self.loss * (size - 1) + loss) / size
        else:
            index = (self.iter - start) % average
            self.loss += (loss - self._losses[index]) / average
            self._losses[index] = loss
