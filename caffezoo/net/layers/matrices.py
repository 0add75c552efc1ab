"""Layers of forks that multiply matrices: MatMul, MatrixMultiplication and Local."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Layer, Shape, register
from caffezoo.net.own_fields import fields

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

MOST_WEIGHTS = 1 << 30
"""Most weights of a Local layer: it has one kernel for every place."""


class Product(Layer):
    """The product of two matrices, or of two stacks of them: the last two axes are rows and columns."""

    bottom_count = (2, 2)
    in_place_allowed = False

    def transposed(self) -> tuple[bool, bool]:
        """Return whether the first and the second bottom are read as their transposes."""
        return False, False

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return len(bottoms[0]) == 2 or len(bottoms[1]) == 2

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if any(len(b) < 2 for b in bottoms):
            self.fail(f"takes matrices, has {bottoms[0]} and {bottoms[1]}")
        a, b = ((*x[:-2], x[-1], x[-2]) if turned else x for x, turned in zip(bottoms, self.transposed(), strict=True))
        stack = a[:-2] or b[:-2]
        if a[-1] != b[-2] or any(x[:-2] not in ((), stack) for x in (a, b)):
            self.fail(f"{bottoms[0]} and {bottoms[1]} cannot be multiplied")
        return [(*stack, a[-2], b[-1])]

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return math.prod(tops[0]) * bottoms[0][-2 if self.transposed()[0] else -1]

    def onnx(self, scope: LayerScope) -> list[str]:
        sides = []
        for name, shape, turned in zip(scope.bottoms, scope.bottom_shapes, self.transposed(), strict=True):
            order = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
            sides.append(scope.op("Transpose", name, perm=order) if turned else name)
        return [scope.op("MatMul", *sides)]

    def torch(self, scope: TorchScope) -> Compute:
        first, second = self.transposed()
        return lambda own, a, b: [(a.mT if first else a) @ (b.mT if second else b)]


@register("MatMul")
class MatMul(Product):
    """``a b`` over the last two axes, all others alike; ``transpose_a`` and ``transpose_b`` (``matmul_layer.cpp`` of
    synopsys-caffe)."""

    param_name = "matmul_param"

    def transposed(self) -> tuple[bool, bool]:
        return bool(self.param.transpose_a), bool(self.param.transpose_b)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if len(bottoms[0]) != len(bottoms[1]):
            self.fail(f"takes bottoms of as many axes, has {bottoms[0]} and {bottoms[1]}")
        return super().top_shapes(bottoms)


@register("MatrixMultiplication")
class MatrixMultiplication(Product):
    """``a b`` over the last two axes; a matrix is multiplied by every one of a stack
    (``matrix_multiplication_layer.cpp`` of CF-Caffe and video-caffe)."""


@register("Local")
class Local(Layer):
    """A convolution with weights of their own at every place (``local_layer.cpp`` of happynear/caffe-windows).

    Blobs: weights [M, 1, C k^2, places], bias [1, 1, M, places] with ``bias_term``.
    """

    param_name = "local_param"
    own_fields = fields(
        num_output=0,
        bias_term=True,
        pad=0,
        kernel_size=0,
        stride=1,
        weight_filler=pb.FillerParameter,
        bias_filler=pb.FillerParameter,
    )
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, p = bottoms[0], self.param
        if len(x) != 4:
            self.fail(f"takes a blob with 4 axes, has {x}")
        if min(p.num_output, p.kernel_size, p.stride) < 1 or p.pad < 0:
            self.fail("num_output, kernel_size and stride must be positive")
        size = [(d + 2 * p.pad - p.kernel_size) // p.stride + 1 for d in x[2:]]
        if min(size) < 1 or min(x[2:]) < p.kernel_size:
            self.fail(f"a window of {p.kernel_size} does not fit into {x}")
        if p.num_output * self._inputs(x) * math.prod(size) > MOST_WEIGHTS:
            self.fail(f"it would have more than {MOST_WEIGHTS} weights")
        return [(x[0], int(p.num_output), *size)]

    def _inputs(self, bottom: Shape) -> int:
        return int(bottom[1] * self.param.kernel_size**2)

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        places, outputs = math.prod(self.top_shapes(bottoms)[0][2:]), int(self.param.num_output)
        shapes: list[Shape] = [(outputs, 1, self._inputs(bottoms[0]), places), (1, 1, outputs, places)]
        return shapes[: 1 + self.param.bias_term]

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return math.prod(tops[0]) * self._inputs(bottoms[0])

    def onnx(self, scope: LayerScope) -> list[str]:
        p, (_, channels, *_), top = self.param, scope.bottom_shapes[0], scope.top_shapes[0]
        one = np.eye(p.kernel_size**2, dtype=np.float32).reshape(-1, 1, p.kernel_size, p.kernel_size)
        windows = scope.op(  # a convolution whose kernels each pick one value
            "Conv",
            scope.bottoms[0],
            scope.const(np.tile(one, (channels, 1, 1, 1))),
            kernel_shape=[p.kernel_size] * 2,
            strides=[p.stride] * 2,
            pads=[p.pad] * 4,
            group=channels,
        )
        windows = scope.reshape(windows, [0, self._inputs(scope.bottom_shapes[0]), math.prod(top[2:])])
        weight = np.ascontiguousarray(scope.blobs[0][:, 0].transpose(2, 1, 0))
        y = scope.op("MatMul", scope.op("Transpose", windows, perm=[2, 0, 1]), scope.const(weight))
        y = scope.reshape(scope.op("Transpose", y, perm=[1, 2, 0]), [0, *top[1:]])
        if p.bias_term:
            y = scope.op("Add", y, scope.const(scope.blobs[1].reshape(1, *top[1:])))
        return [y]

    def torch(self, scope: TorchScope) -> Compute:
        torch, F, p, top = scope.torch, scope.F, self.param, scope.top_shapes[0]
        scope.learn()

        def compute(own: Any, x: Any) -> list[Any]:
            windows = F.unfold(x, p.kernel_size, padding=p.pad, stride=p.stride)
            y = torch.einsum("nkp,mkp->nmp", windows, own.blob0[:, 0])
            return [(y + own.blob1[0] if p.bias_term else y).reshape(-1, *top[1:])]

        return compute
