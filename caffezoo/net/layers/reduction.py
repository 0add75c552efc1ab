"""Reduction, BatchReduction of temporal segment networks, and ArgMax."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


TOP_K_LIMIT = 256
"""Largest top_k of an ArgMax that has an ONNX form: it compares every pair of the places."""


@register("Reduction")
class Reduction(Layer):
    """``coeff`` times sum, sum of magnitudes, sum of squares or mean over all axes from ``axis`` (0) on."""

    param_name = "reduction_param"
    in_place_allowed = False

    def carries(self, bottoms: Sequence[Shape]) -> bool:
        mean = self.param.operation == pb.ReductionParameter.MEAN and self.param.coeff == 1
        return mean and self.axis(self.param.axis, len(bottoms[0])) > 1

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

    def torch(self, scope: TorchScope) -> Compute:
        rank, operation, coeff = len(scope.bottom_shapes[0]), self.param.operation, self.param.coeff
        axes = tuple(range(self.axis(self.param.axis, rank), rank))
        reduced: Callable[[Any], Any] = {
            pb.ReductionParameter.MEAN: lambda x: x.mean(axes),
            pb.ReductionParameter.ASUM: lambda x: x.abs().sum(axes),
            pb.ReductionParameter.SUMSQ: lambda x: x.square().sum(axes),
            pb.ReductionParameter.SUM: lambda x: x.sum(axes),
        }[operation]
        return lambda own, x: [reduced(x) * coeff]


@register("BatchReduction")
class BatchReduction(Layer):
    """Sum or mean along one axis: over all of it, or, with several ``level``, over ``level^2`` places for each in turn.

    With one level of 1, the default, the axis goes; else it has one place a level (``batch_reduction_layer.cpp`` of
    yjxiong/caffe). ``coeff`` has no effect there.
    """

    param_name = "batch_reduction_param"
    in_place_allowed = False

    def _parts(self, size: int) -> list[int] | None:
        """Return how many places each level takes; None where all go into one."""
        levels = [int(v) for v in self.param.level] or [1]
        return None if levels == [1] else [level * level for level in levels]

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return self._axis(bottoms[0]) == 0

    def _axis(self, bottom: Shape) -> int:
        return self.axis(self.param.reduction_param.axis, len(bottom))

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, axis = bottoms[0], self._axis(bottoms[0])
        if self.param.reduction_param.operation not in (pb.ReductionParameter.SUM, pb.ReductionParameter.MEAN):
            self.fail("takes operation SUM or MEAN")
        parts = self._parts(x[axis])
        if parts is not None and (min(parts) < 1 or sum(parts) != x[axis]):
            self.fail(f"levels take {sum(parts)} places, axis {axis} has {x[axis]}")
        return [(*x[:axis], *([] if parts is None else [len(parts)]), *x[axis + 1 :])]

    def onnx(self, scope: LayerScope) -> list[str]:
        shape, x = scope.bottom_shapes[0], scope.bottoms[0]
        axis, parts = self._axis(shape), self._parts(shape[self._axis(shape)])
        if axis == 0:
            scope.fix_batch()
        kind = "ReduceMean" if self.param.reduction_param.operation == pb.ReductionParameter.MEAN else "ReduceSum"

        def reduced(y: str, keep: int) -> str:
            given = {"axes": [axis]} if kind == "ReduceMean" else {}
            return scope.op(kind, y, *([] if given else [scope.ints([axis])]), **given, keepdims=keep)

        if parts is None:
            return [reduced(x, 0)]
        ends = np.cumsum(parts)
        pieces = [
            scope.op("Slice", x, scope.ints([int(end) - part]), scope.ints([int(end)]), scope.ints([axis]))
            for part, end in zip(parts, ends, strict=True)
        ]
        return [scope.op("Concat", *(reduced(piece, 1) for piece in pieces), axis=axis)]

    def torch(self, scope: TorchScope) -> Compute:
        torch, axis = scope.torch, self._axis(scope.bottom_shapes[0])
        parts = self._parts(scope.bottom_shapes[0][axis])
        mean = self.param.reduction_param.operation == pb.ReductionParameter.MEAN

        def compute(own: Any, x: Any) -> list[Any]:
            pieces = [x] if parts is None else x.split(parts, axis)
            found = [p.mean(axis) if mean else p.sum(axis) for p in pieces]
            return found if parts is None else [torch.stack(found, axis)]

        return compute


@register("ArgMax")
class ArgMax(Layer):
    """Indices (or with ``out_max_val`` values) of the ``top_k`` largest; of equal values the larger index comes first.

    With ``axis`` that axis shrinks to top_k. Without, each sample is flattened: top [N, 1, k], or [N, 2, k] with
    indices and then values, with axes of 1 behind for bottoms of more than three axes.
    """

    param_name = "argmax_param"
    differentiable = False
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

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return self._axis(bottoms[0]) == 0

    def _axis(self, bottom: Shape) -> int | None:
        return self.axis(self.param.axis, len(bottom)) if self.param.HasField("axis") else None

    def onnx(self, scope: LayerScope) -> list[str]:
        shape, x = scope.bottom_shapes[0], scope.bottoms[0]
        axis = self._axis(shape)
        if self.param.top_k > TOP_K_LIMIT:
            raise scope.refuse(f"top_k {self.param.top_k} is above {TOP_K_LIMIT}, the most that has an ONNX form")
        if axis is None:
            size = int(np.prod(shape[1:]))
            values, indices = self._largest(scope, scope.reshape(x, [0, size]), size)
            pair = [scope.op("Unsqueeze", t, scope.ints([1, *range(3, len(shape))])) for t in (indices, values)]
            return [scope.op("Concat", *pair, axis=1) if self.param.out_max_val else pair[0]]
        if axis == 0:
            scope.fix_batch()
        last = len(shape) - 1
        order = [i for i in range(last + 1) if i != axis] + [axis]
        if axis != last:
            x = scope.op("Transpose", x, perm=order)
        values, indices = self._largest(scope, x, shape[axis])
        y = values if self.param.out_max_val else indices
        return [y if axis == last else scope.op("Transpose", y, perm=[order.index(i) for i in range(last + 1)])]

    def torch(self, scope: TorchScope) -> Compute:
        torch, k, axis = scope.torch, int(self.param.top_k), self._axis(scope.bottom_shapes[0])
        with_value, rank = self.param.out_max_val, len(scope.bottom_shapes[0])

        def largest(x: Any, dim: int) -> tuple[Any, Any]:
            # A stable sort of the reversed axis puts the larger index of equal values first, as Caffe does.
            values, places = torch.sort(x.flip(dim), dim=dim, descending=True, stable=True)
            return values.narrow(dim, 0, k), (x.shape[dim] - 1 - places.narrow(dim, 0, k)).to(x.dtype)

        def compute(own: Any, x: Any) -> list[Any]:
            if axis is not None:
                return [largest(x, axis)[0 if with_value else 1]]
            values, indices = (t.reshape(-1, 1, k, *(1 for _ in range(rank - 3))) for t in largest(x.flatten(1), 1))
            return [torch.cat([indices, values], 1) if with_value else indices]

        return compute

    def _largest(self, scope: LayerScope, x: str, size: int) -> tuple[str, str]:
        """Append the search along the last axis; return values and indices, both float32.

        Runtimes disagree on the indices of equal values in TopK, never on the values. So the values are found first,
        and then, for the value at place p, all its indices, of which the first equal value takes the largest.
        """
        k, behind, before = int(self.param.top_k), scope.ints([-1]), scope.ints([-2])
        values = scope.ops("TopK", x, scope.ints([k]), outputs=2, axis=-1)[0]
        column = scope.op("Unsqueeze", values, behind)
        same = scope.op("Equal", scope.op("Unsqueeze", x, before), column)
        places = scope.op("Where", same, scope.const(np.arange(size)), scope.const(-1.0))
        if k == 1:
            indices = scope.op("ReduceMax", places, axes=[-1], keepdims=0)
            return values, indices
        falling = scope.ops("TopK", places, scope.ints([k]), outputs=2, axis=-1)[0]
        twins = scope.op("Cast", scope.op("Equal", column, scope.op("Unsqueeze", values, before)), to=1)
        earlier = scope.op("Mul", twins, scope.const(np.tril(np.ones((k, k)), -1)))
        turn = scope.op("Cast", scope.op("ReduceSum", earlier, behind, keepdims=1), to=7)
        return values, scope.op("Squeeze", scope.op("GatherElements", falling, turn, axis=-1), behind)
