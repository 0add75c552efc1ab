"""Python layers of one line: rows at length 1 (triplet losses), and the Euclidean loss of Caffe's own example."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Shape
from caffezoo.net.layers.python import Python, known_as

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


class Compiled(Python):
    """A Python layer that has a form in ONNX operators: engines compile it with its neighbours."""

    bottom_count = (1, 1)
    top_count = (1, 1)

    def __init__(self, proto: pb.LayerParameter, where: str = "", phase: int = pb.TEST) -> None:
        super().__init__(proto, where, phase)
        self.on_host = False  # type: ignore[misc]

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return False


@known_as("norm2layer.Norm2Layer", "tripletloss.norm2layer.Norm2Layer", "triplet.l2norm_layer.L2NormLayer")
class UnitRows(Compiled):
    """``x / |x|`` of every sample [N, C]; one of zeros stays (``norm2layer.py`` of the triplet losses that go back to
    luhaofang/tripletloss, and ``l2norm_layer.py`` of their successors, which write the same)."""

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x = bottoms[0]
        if len(x) < 2 or math.prod(x[2:]) != 1:
            self.fail(f"takes a vector a sample, [N, C], has {x}")
        return [x]

    def onnx(self, scope: LayerScope) -> list[str]:
        x = scope.bottoms[0]
        length = scope.op("Sqrt", scope.op("ReduceSum", scope.op("Mul", x, x), scope.ints([1]), keepdims=1))
        none = scope.op("Equal", length, scope.const(0.0))
        return [scope.op("Div", x, scope.op("Where", none, scope.const(1.0), length))]

    def torch(self, scope: TorchScope) -> Compute:
        return lambda own, x: [x / x.norm(dim=1, keepdim=True).clamp(min=float(np.finfo(np.float32).tiny))]


@known_as("pyloss.EuclideanLossLayer")
class ExampleLoss(Compiled):
    """``sum (a - b)^2 / (2 N)`` (``examples/pycaffe/layers/pyloss.py`` of BVLC)."""

    bottom_count = (2, 2)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if math.prod(bottoms[0]) != math.prod(bottoms[1]) or not bottoms[0]:
            self.fail(f"takes two bottoms of one size, has {bottoms[0]} and {bottoms[1]}")
        return [(1,)]

    def onnx(self, scope: LayerScope) -> list[str]:
        a, b = scope.bottoms
        if scope.bottom_shapes[0] != scope.bottom_shapes[1]:
            b = scope.op("Reshape", b, scope.op("Shape", a))
        difference = scope.op("Sub", a, b)
        mean = scope.op("ReduceMean", scope.op("Mul", difference, difference), keepdims=0)
        half = scope.const(math.prod(scope.bottom_shapes[0][1:]) / 2)
        return [scope.reshape(scope.op("Mul", mean, half), [1])]

    def torch(self, scope: TorchScope) -> Compute:
        return lambda own, a, b: [((a - b.reshape(a.shape)).square().sum() / (2 * a.shape[0])).reshape(1)]
