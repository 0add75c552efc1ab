"""Layers whose one formula serves numpy and torch: losses and scores of forks, which no export needs.

Engines run the formula in numpy between compiled parts (:mod:`caffezoo.net.host_layer`); as a torch module it has the
gradient of the same function.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.net.host_layer import HostLayer
from caffezoo.net.layer import Shape
from caffezoo.net.layers.losses import LossLayer

if TYPE_CHECKING:
    from caffezoo.net.torch_module import Compute, TorchScope


class FormulaLayer(HostLayer):
    """A layer that is one function of arrays, written with what numpy and torch have in common."""

    differentiable = True

    def formula(self, xp: Any, bottoms: Sequence[Any], blobs: Sequence[Any]) -> list[Any]:
        """Return the tops of these bottoms.

        Parameters
        ----------
        xp : module
            ``numpy`` or ``torch``.
        bottoms, blobs : sequence of ndarray or Tensor
            float64 in numpy.
        """
        raise NotImplementedError(f"{type(self).__name__} has no formula")

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        with np.errstate(all="ignore"):  # what C++ makes of a division by 0 is the answer
            tops = self.formula(np, [x.astype(np.float64) for x in bottoms], [b.astype(np.float64) for b in blobs])
            return [np.asarray(top, np.float32) for top in tops]

    def torch(self, scope: TorchScope) -> Compute:
        torch, count = scope.torch, len(scope.blobs)
        scope.learn()
        if not self.differentiable:
            with_blobs = super().torch(scope)
            return lambda own, *xs: with_blobs(own, *xs)
        return lambda own, *xs: self.formula(torch, xs, [own.blob(i) for i in range(count)])

    def members(self, xp: Any, labels: Any, classes: int) -> Any:
        """Return [N, K]: whether a class is the label of a sample; labels are cut to whole numbers as C++ does.

        Raises
        ------
        EngineError
            A label is none of the classes.
        """
        labels = xp.trunc(labels.reshape(-1, 1))
        if bool(((labels < 0) | (labels >= classes)).any()):
            self.fail_values(f"a label is not among the {classes} classes")
        return labels == self.count_up(xp, classes, labels)

    @staticmethod
    def count_up(xp: Any, count: int, like: Any) -> Any:
        """Return 0 .. count - 1 where ``like`` lies."""
        return xp.arange(count) if xp is np else xp.arange(count, device=like.device)

    def check_samples(self, bottoms: Sequence[Shape], *, labels: int = 1) -> None:
        """Refuse bottoms of which the first has no samples, or another one has not one label for each of them.

        Raises
        ------
        ShapeError
        """
        x, y = bottoms[0], bottoms[labels]
        if len(x) < 2 or int(np.prod(y)) != x[0]:
            self.fail(f"takes samples of values and one label a sample, has {x} and {y}")

    def check_alike(self, bottoms: Sequence[Shape]) -> None:
        """Refuse bottoms that differ in samples or in values.

        Raises
        ------
        ShapeError
        """
        if not bottoms[0] or len({(b[:1], int(np.prod(b))) for b in bottoms}) != 1:
            self.fail(f"bottoms must agree in axis 0 and in their number of values, have {[list(b) for b in bottoms]}")


class FormulaLoss(LossLayer, FormulaLayer):
    """A loss by formula: its first top is one number."""

    bottom_count = (2, 2)
    auto_tops = True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self.check_alike(bottoms)
        return [()]


class LabelLoss(FormulaLoss):
    """A loss by formula over bottoms [N, ...] and N labels."""

    judges = True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self.check_samples(bottoms)
        return [()]
