"""``caffe.SGDSolver`` and its kind, on the solvers of :mod:`caffezoo.training`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np

from caffezoo.errors import ZooError
from caffezoo.pycaffe.blob import Blob
from caffezoo.pycaffe.errors import caffe_errors
from caffezoo.pycaffe.net import Net
from caffezoo.pycaffe.python_layer import PythonLayers


class Solver:
    """A training that a script steps.

    Attributes
    ----------
    net : Net
    test_nets : list of Net
    iter : int
    param : SolverParameter
    """

    kind = ""

    @caffe_errors
    def __init__(self, solver_file: str | PathLike[str]) -> None:
        import torch

        from caffezoo.pycaffe.state import STATE
        from caffezoo.training import solvers as own
        from caffezoo.training.feeds.base import FeedOptions

        self._callbacks: list[tuple[Callable[[], Any], Callable[[], Any]]] = []
        python = PythonLayers()
        options = FeedOptions(seed=STATE.seed) if STATE.seed is not None else None
        with python.at_work():
            if self.kind:
                self._solver = getattr(own, f"{self.kind}Solver")(fspath(solver_file), options=options)
            else:
                self._solver = own.make_solver(fspath(solver_file), options=options)
        self._solver.stops_at_nan = False
        self.net = Net.wrapping(self._solver.net, python)
        self.test_nets: list[Net] = []
        for test in self._solver.test_nets:
            one = Net.wrapping(test, PythonLayers() if not python.made else python)
            one.share_with(self.net)
            self.test_nets.append(one)
        # The update adds what stands in the gradients of the params, wherever it came from.
        self._owners = list(self._solver.net.blobs())
        self._torch = torch
        self._before: list[np.ndarray] = []

    @property
    def iter(self) -> int:
        return int(self._solver.iter)

    @property
    def param(self) -> Any:
        return self._solver.param

    @caffe_errors
    def step(self, iterations: int) -> None:
        """Run a number of iterations."""
        self._run(lambda: self._solver.step(int(iterations)))

    @caffe_errors
    def solve(self, resume_file: str | PathLike[str] | None = None) -> None:
        """Train to ``max_iter``, from a solverstate where one is given."""
        self._run(lambda: self._solver.solve(resume_file))

    @caffe_errors
    def snapshot(self) -> None:
        """Write weights and state."""
        self._solver.snapshot()

    @caffe_errors
    def restore(self, state_file: str | PathLike[str]) -> None:
        """Go on from a solverstate and the weights that it names."""
        self._solver.restore(state_file)
        self._forget()

    @caffe_errors
    def apply_update(self) -> None:
        """Change the weights by the gradients that stand in the params' ``diff``."""
        from caffezoo.training.rates import learning_rate

        self._give_gradients()
        self._before = [blob.array.copy() for blob in self._learned]
        self._solver.update.step(learning_rate(self.param, self.iter), self.iter)
        self._show_updates()
        self._forget()

    def add_callback(self, on_start: Callable[[], Any], on_gradients_ready: Callable[[], Any]) -> None:
        """Call functions at the start of each iteration, and when its gradients are there."""
        self._callbacks.append((on_start, on_gradients_ready))

    def _run(self, work: Callable[[], Any]) -> None:
        """Let the solver work with the net's own passes, so that its blobs hold what scripts read."""
        solver = self._solver
        solver._passes = self._passes
        solver.test = self._test
        solver.after_update = lambda _: self._show_updates()
        try:
            work()
        finally:
            del solver._passes, solver.test
            solver.after_update = None
            self._forget()

    def _passes(self, debug: bool) -> float:
        """Run ``iter_size`` passes; return their mean loss."""
        for start, _ in self._callbacks:
            start()
        self.net.clear_param_diffs()
        total = 0.0
        last = len(self.net._network.nodes) - 1
        for _ in range(self.param.iter_size):
            total += self.net._forward(0, last)
            self.net._backward(last, 0)
        self._give_gradients()
        for _, ready in self._callbacks:
            ready()
        self._before = [blob.array.copy() for blob in self._learned]
        return float(total / self.param.iter_size)

    def _test(self, number: int = 0) -> list[Any]:
        """Return the mean outputs of a test net."""
        from caffezoo.training.net import Output

        solver, net = self._solver, self.test_nets[number]
        count = int(self.param.test_iter[number])
        weights = net.blob_loss_weights
        sums: dict[str, Any] = dict.fromkeys(sorted(net.outputs), 0.0)
        for _ in range(count):
            found = net.forward()
            for name in sums:
                sums[name] = sums[name] + found[name].astype(np.float64)
        means = [
            Output(name, (np.asarray(total) / count).astype(np.float32).reshape(-1), weights[name])
            for name, total in sums.items()
        ]
        solver.lines.outputs("Test", means)
        return means

    def _give_gradients(self) -> None:
        """Let torch's update read the params' gradients."""
        arrays = {}
        for layer in self.net._module.layers:
            for i, blob in enumerate(self.net._given.get(layer.node.key, ())):
                arrays[layer.blob(i).data_ptr() if math.prod(blob.shape) else id(blob)] = blob
        for owner in self._owners:
            found = arrays.get(owner.tensor.data_ptr())
            if found is not None and owner.tensor.requires_grad:
                owner.tensor.grad = self._torch.from_numpy(found.gradient)

    def _show_updates(self) -> None:
        """Leave in ``diff`` what was subtracted, as Caffe does: its update is made where the gradient was."""
        for blob, before in zip(self._learned, self._before, strict=True):
            np.subtract(before, blob.array, out=blob.gradient)

    @property
    def _learned(self) -> list[Blob]:
        """Everything that the net learns, once."""
        return list({id(blob): blob for blobs in self.net._given.values() for blob in blobs}.values())

    def _forget(self) -> None:
        for net in (self.net, *self.test_nets):
            net._engine = None


class SGDSolver(Solver):
    """Stochastic gradient descent with momentum."""

    kind = "SGD"


class NesterovSolver(Solver):
    """Nesterov's accelerated gradient."""

    kind = "Nesterov"


class AdaGradSolver(Solver):
    """AdaGrad."""

    kind = "AdaGrad"


class RMSPropSolver(Solver):
    """RMSProp."""

    kind = "RMSProp"


class AdaDeltaSolver(Solver):
    """AdaDelta."""

    kind = "AdaDelta"


class AdamSolver(Solver):
    """Adam."""

    kind = "Adam"


KINDS: Sequence[type[Solver]] = (SGDSolver, NesterovSolver, AdaGradSolver, RMSPropSolver, AdaDeltaSolver, AdamSolver)


@caffe_errors
def get_solver(solver_file: str | PathLike[str]) -> Solver:
    """Return the solver of the class that a file's ``type`` names."""
    from caffezoo.formats.solver import read_solver

    kind = read_solver(fspath(solver_file)).param.type
    for cls in KINDS:
        if cls.kind.lower() == kind.lower():
            return cls(solver_file)
    raise ZooError(f"'{kind}' is no type of solver", where=fspath(solver_file))
