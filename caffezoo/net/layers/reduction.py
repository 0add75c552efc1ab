"""Reduction and ArgMax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope


@register("Reduction")
class Reduction(Layer):
    """``coeff`` times sum, sum of magnitudes, sum of squares or mean over all axes from ``axis`` (0) on."""

    param_name = "reduction_param"
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [bottoms[0][: self.axis(self.param.axis, len(bottoms[0]))]]

    def onnx(self, scope: LayerScope) -> list[str]:
        rank, operation, x = len(scope.bottom_shapes[0]), self.param.operation, scope.bottoms[0]
        axes = list(range(self.axis(self.param.axis, rank), rank))
        if operation == pb.ReductionParameter.MEAN:
            y = scope.op("ReduceMean", x, axes=axes, keepdims=0)
        else:
            if operation == pb.ReductionParameter.ASUM:
                x = scope.op("Abs", x)
            elif operation == pb.ReductionParameter.SUMSQ:
                x = scope.op("Mul", x, x)
            y = scope.op("ReduceSum", x, scope.ints(axes), keepdims=0)
        return [y if self.param.coeff == 1 else scope.op("Mul", y, scope.const(self.param.coeff))]


@register("ArgMax")
class ArgMax(Layer):
    """Indices (or with ``out_max_val`` values) of the ``top_k`` largest; of equal values the larger index comes first.

    With ``axis`` that axis shrinks to top_k. Without, each sample is flattened: top [N, 1, k], or [N, 2, k] with
    indices and then values, with axes of 1 behind for bottoms of more than three axes.
    """

    param_name = "argmax_param"
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, k = bottoms[0], int(self.param.top_k)
        if not x:
            self.fail("takes a blob with at least one axis")
        axis = self._axis(x)
        size = int(np.prod(x[1:])) if axis is None else x[axis]
        if not 1 <= k <= size:
            self.fail(f"top_k {k} must lie within 1..{size}")
        if axis is not None:
            return [(*x[:axis], k, *x[axis + 1 :])]
        return [(x[0], 2 if self.param.out_max_val else 1, k, *(1 for _ in x[3:]))]

    def _axis(self, bottom: Shape) -> int | None:
        return self.axis(self.param.axis, len(bottom)) if self.param.HasField("axis") else None

    def onnx(self, scope: LayerScope) -> list[str]:
        shape, x = scope.bottom_shapes[0], scope.bottoms[0]
        axis = self._axis(shape)
        if axis is None:
            x = scope.reshape(x, [0, int(np.prod(shape[1:]))])
            values, indices = self._largest(scope, x, 1, int(np.prod(shape[1:])))
            pair = [scope.op("Unsqueeze", t, scope.ints([1, *range(3, len(shape))])) for t in (indices, values)]
            return [scope.op("Concat", *pair, axis=1) if self.param.out_max_val else pair[0]]
        if axis == 0:
            raise scope.refuse("an arg maximum over the batch axis has no form with a free batch")
        values, indices = self._largest(scope, x, axis, shape[axis])
        return [values if self.param.out_max_val else indices]

    def _largest(self, scope: LayerScope, x: str, axis: int, size: int) -> tuple[str, str]:
        """Append the search; return values and indices (as float32)."""
        # TopK takes the smaller index of equal values, so it looks at the axis backwards.
        back = scope.op("Gather", x, scope.ints(range(size - 1, -1, -1)), axis=axis)
        values, indices = scope.ops("TopK", back, scope.ints([int(self.param.top_k)]), outputs=2, axis=axis)
        indices = scope.op("Sub", scope.const(size - 1, np.int64), indices)
        return values, scope.op("Cast", indices, to=1)
