"""What a solver makes of gradients: Caffe's six rules, one class each (``sgd_solver.cpp`` and its siblings).

Importing this module imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from caffezoo.errors import TrainingError
from caffezoo.formats.solver_pb2 import SolverParameter
from caffezoo.net.torch_layer import LearnedBlob


class Update:
    """The update of all blobs that own their values.

    Parameters
    ----------
    solver : SolverParameter
    blobs : sequence of LearnedBlob
        In Caffe's order; the order of ``history``.

    Attributes
    ----------
    history : list of Tensor
        What the rule remembers: one tensor a blob, or two sets of them, one behind the other, as a solverstate has
        them.
    """

    sets: ClassVar[int] = 1

    def __init__(self, solver: SolverParameter, blobs: Sequence[LearnedBlob]) -> None:
        self.solver = solver
        self.blobs = tuple(blobs)
        self.history = [torch.zeros_like(b.tensor, requires_grad=False) for _ in range(self.sets) for b in blobs]

    def step(self, rate: float, iteration: int, scale: float = 1.0) -> None:
        """Update every blob in place from its gradient.

        Clipping comes before the mean over ``iter_size`` passes, as in Caffe.

        Parameters
        ----------
        rate : float
            Learning rate of the iteration.
        iteration : int
            From 0.
        scale : float, optional
            Gradients are multiplied by it before anything else (an outer loss scale).
        """
        with torch.no_grad():
            factor = self._clip_factor() / self.solver.iter_size * scale
            for i, blob in enumerate(self.blobs):
                data = blob.tensor.detach()
                gradient = blob.tensor.grad
                diff = torch.zeros_like(data) if gradient is None else gradient.detach()
                if factor != 1:
                    diff.mul_(factor)
                self._regularise(diff, data, blob)
                data.sub_(self.change(i, diff, rate * blob.lr_mult, iteration))

    def change(self, i: int, diff: Any, rate: float, iteration: int) -> Any:
        """Return what is subtracted from blob ``i``; ``diff`` may be overwritten."""
        raise NotImplementedError

    def clip_norm(self) -> float:
        """Return the L2 norm of all gradients."""
        squares = [b.tensor.grad.detach().double().square().sum() for b in self.blobs if b.tensor.grad is not None]
        return math.sqrt(sum(float(s) for s in squares))

    def load(self, history: Sequence[Any]) -> None:
        """Take over what a solverstate holds (arrays).

        Raises
        ------
        TrainingError
            Another number of blobs, or other shapes.
        """
        if len(history) != len(self.history):
            raise TrainingError(f"the state holds {len(history)} blobs of history, this solver {len(self.history)}")
        with torch.no_grad():
            for i, (own, given) in enumerate(zip(self.history, history, strict=True)):
                value = torch.from_numpy(given.copy())
                if value.numel() != own.numel():
                    blob = self.blobs[i % len(self.blobs)]
                    raise TrainingError(
                        f"the state's history of layer '{blob.layer}' blob {blob.index} has shape "
                        f"{list(given.shape)}, the net's blob {list(own.shape)}"
                    )
                own.copy_(value.reshape(own.shape))

    def _clip_factor(self) -> float:
        limit = self.solver.clip_gradients
        if limit < 0:
            return 1.0
        norm = self.clip_norm()
        return limit / norm if norm > limit else 1.0

    def _regularise(self, diff: Any, data: Any, blob: LearnedBlob) -> None:
        decay = self.solver.weight_decay * blob.decay_mult
        if decay:
            diff.add_(data if self.solver.regularization_type == "L2" else data.sign(), alpha=decay)


class SGD(Update):
    """``h = rate d + momentum h``; the change is ``h``."""

    def change(self, i: int, diff: Any, rate: float, iteration: int) -> Any:
        return self.history[i].mul_(self.solver.momentum).add_(diff, alpha=rate)


class Nesterov(Update):
    """``h' = rate d + momentum h``; the change is ``(1 + momentum) h' - momentum h``."""

    def change(self, i: int, diff: Any, rate: float, iteration: int) -> Any:
        momentum, before = self.solver.momentum, self.history[i].clone()
        after = self.history[i].mul_(momentum).add_(diff, alpha=rate)
        return after * (1 + momentum) - before * momentum


class AdaGrad(Update):
    """``h += d^2``; the change is ``rate d / (sqrt(h) + delta)``."""

    def change(self, i: int, diff: Any, rate: float, iteration: int) -> Any:
        total = self.history[i].addcmul_(diff, diff)
        return diff.div_(total.sqrt().add_(self.solver.delta)).mul_(rate)


class RMSProp(Update):
    """``h = rms_decay h + (1 - rms_decay) d^2``; the change is ``rate d / (sqrt(h) + delta)``."""

    def change(self, i: int, diff: Any, rate: float, iteration: int) -> Any:
        decay = self.solver.rms_decay
        mean = self.history[i].mul_(decay).addcmul_(diff, diff, value=1 - decay)
        return diff.div_(mean.sqrt().add_(self.solver.delta)).mul_(rate)


class AdaDelta(Update):
    """``g = m g + (1 - m) d^2``, ``c = d sqrt((u + delta) / (g + delta))``, ``u = m u + (1 - m) c^2``.

    ``m`` is momentum; the change is ``rate c``. The history is all ``g``, then all ``u``.
    """

    sets = 2

    def change(self, i: int, diff: Any, rate: float, iteration: int) -> Any:
        momentum, delta = self.solver.momentum, self.solver.delta
        gradients, changes = self.history[i], self.history[len(self.blobs) + i]
        gradients.mul_(momentum).addcmul_(diff, diff, value=1 - momentum)
        diff.mul_(((changes + delta) / (gradients + delta)).sqrt_())
        changes.mul_(momentum).addcmul_(diff, diff, value=1 - momentum)
        return diff.mul_(rate)


class Adam(Update):
    """``m = b1 m + (1 - b1) d``, ``v = b2 v + (1 - b2) d^2``; ``b1`` is momentum, ``b2`` momentum2.

    The change is ``rate sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + delta)`` at the t-th update. The history is all
    ``m``, then all ``v``.
    """

    sets = 2

    def change(self, i: int, diff: Any, rate: float, iteration: int) -> Any:
        beta1, beta2, t = self.solver.momentum, self.solver.momentum2, iteration + 1
        first, second = self.history[i], self.history[len(self.blobs) + i]
        first.mul_(beta1).add_(diff, alpha=1 - beta1)
        second.mul_(beta2).addcmul_(diff, diff, value=1 - beta2)
        correction = math.sqrt(1 - beta2**t) / (1 - beta1**t)
        return first / second.sqrt().add_(self.solver.delta) * (rate * correction)


UPDATES: dict[str, type[Update]] = {cls.__name__: cls for cls in (SGD, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam)}
