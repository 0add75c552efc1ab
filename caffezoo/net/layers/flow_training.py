"""Layers around FlowNet 2's networks: Mean, Accum, NegReLU, LpqLoss and its writers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.net.layer import Layer, Shape, register
from caffezoo.net.layers.interp import interpolation_matrix
from caffezoo.net.layers.joining import Silence
from caffezoo.net.layers.losses import LossLayer
from caffezoo.net.own_fields import fields

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("FLOWriter", "ImgWriter", "FloatWriter", "PFMWriter")
class Writer(Silence):
    """Takes bottoms, gives nothing: the files that FlowNet 2's Caffe writes of them are not written here."""

    param_name = "writer_param"
    own_fields = fields(file="", folder="", prefix="", suffix="", normalize=False, scale=1.0)


@register("Mean")
class Mean(Layer):
    """``output_scale (input_scale x + mean_scale m)``, or ``- mean_scale m``, with a ``value`` m for every channel.

    Behind the last value comes the first again (``mean_layer.cpp`` of FlowNet 2). A mean file is not supported.
    """

    param_name = "mean_param"
    own_fields = fields(operation=str, file="", value=[float], mean_scale=1.0, input_scale=1.0, output_scale=1.0)
    bottom_count = (1, None)
    top_count = (1, None)
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        p = self.param
        if len(bottoms) != len(self.proto.top) or p.operation not in ("ADD", "SUBTRACT"):
            self.fail("takes as many tops as bottoms, and operation ADD or SUBTRACT")
        if p.file or not p.value:
            self.fail("takes values: a mean file is not supported")
        if any(len(b) != 4 or b[1] % len(p.value) for b in bottoms):
            self.fail(f"takes 4 axes and a multiple of {len(p.value)} channels")
        return list(bottoms)

    def _shift(self, channels: int) -> np.ndarray:
        p = self.param
        sign = -1 if p.operation == "SUBTRACT" else 1
        values = np.resize(np.array(p.value, np.float64), channels)
        return np.asarray(sign * p.output_scale * p.mean_scale * values, np.float32).reshape(1, -1, 1, 1)

    def onnx(self, scope: LayerScope) -> list[str]:
        factor = scope.const(self.param.output_scale * self.param.input_scale)
        return [
            scope.op("Add", scope.op("Mul", x, factor), scope.const(self._shift(shape[1])))
            for x, shape in zip(scope.bottoms, scope.bottom_shapes, strict=True)
        ]

    def torch(self, scope: TorchScope) -> Compute:
        factor = self.param.output_scale * self.param.input_scale
        for i, shape in enumerate(scope.bottom_shapes):
            scope.constant(f"shift{i}", self._shift(shape[1]))
        return lambda own, *xs: [x * factor + getattr(own, f"shift{i}") for i, x in enumerate(xs)]


@register("Accum")
class Accum(Layer):
    """Maps one after another in the channels, each interpolated to one size with its corners kept.

    The size is that of the last bottom with ``have_reference`` (which is left out), else the largest of theirs, or
    ``top_height`` x ``top_width``, or what ``size_divisible_by`` makes of the largest, where both are larger
    (``accum_layer.cpp`` of FlowNet 2).
    """

    param_name = "accum_param"
    own_fields = fields(top_height=0, top_width=0, size_divisible_by=int, have_reference=False)
    bottom_count = (1, None)
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        p, maps = self.param, self._maps(bottoms)
        if any(len(b) != 4 for b in bottoms) or not maps or any(b[0] != bottoms[0][0] for b in maps):
            self.fail("takes maps with 4 axes of as many samples, and one more with have_reference")
        size = tuple(max(b[axis] for b in maps) for axis in (2, 3))
        if p.have_reference:
            size = bottoms[-1][2:]
        else:
            asked = (int(p.top_height), int(p.top_width))
            if p.size_divisible_by is not None:
                if p.size_divisible_by < 1:
                    self.fail("size_divisible_by must be positive")
                asked = tuple(-(-d // p.size_divisible_by) * p.size_divisible_by for d in size)
            if asked[0] > size[0] and asked[1] > size[1]:
                size = asked
        if min(size) < 2:
            self.fail(f"takes a size of 2 x 2 pixels at least, has {size}")
        return [(bottoms[0][0], sum(b[1] for b in maps), *size)]

    def _maps(self, bottoms: Sequence[Any]) -> Sequence[Any]:
        return bottoms[: len(bottoms) - bool(self.param.have_reference)]

    def _matrices(self, bottom: Shape, top: Shape) -> list[np.ndarray]:
        return [interpolation_matrix(d, 0, d, out) for d, out in zip(bottom[2:], top[2:], strict=True)]

    def onnx(self, scope: LayerScope) -> list[str]:
        found = []
        for x, shape in zip(self._maps(scope.bottoms), self._maps(scope.bottom_shapes), strict=True):
            rows, columns = self._matrices(shape, scope.top_shapes[0])
            y = scope.op("MatMul", x, scope.const(np.ascontiguousarray(columns.T)))
            found.append(scope.op("MatMul", scope.const(rows), y))
        return [scope.op("Concat", *found, axis=1)]

    def torch(self, scope: TorchScope) -> Compute:
        torch, count = scope.torch, len(self._maps(scope.bottom_shapes))
        for i, shape in enumerate(self._maps(scope.bottom_shapes)):
            for name, matrix in zip(("rows", "columns"), self._matrices(shape, scope.top_shapes[0]), strict=True):
                scope.constant(f"{name}{i}", matrix)

        def compute(own: Any, *xs: Any) -> list[Any]:
            maps = (getattr(own, f"rows{i}") @ x @ getattr(own, f"columns{i}").T for i, x in enumerate(xs[:count]))
            return [torch.cat(list(maps), 1)]

        return compute


@register("NegReLU")
class NegReLU(Layer):
    """``min(x, 0) + negative_slope max(x, 0)`` (``neg_relu_layer.cu`` of FlowNet 2)."""

    param_name = "relu_param"

    def onnx(self, scope: LayerScope) -> list[str]:
        x = scope.bottoms[0]
        low = scope.op("Min", x, scope.const(0.0))
        if not self.param.negative_slope:
            return [low]
        high = scope.op("Mul", scope.op("Relu", x), scope.const(self.param.negative_slope))
        return [scope.op("Add", low, high)]

    def torch(self, scope: TorchScope) -> Compute:
        slope = float(self.param.negative_slope)
        return lambda own, x: [x.clamp(max=0) + slope * x.clamp(min=0)]


@register("LpqLoss")
class LpqLoss(LossLayer):
    """``sum ((sum_c (|a - b| + p_epsilon)^p) + q_epsilon)^q / N`` over places, of one bottom or of two.

    A NaN is no error; with ``normalize_by_num_entries`` the sum is divided by the values that are none over the number
    of channels, and ``l2_prescale_by_channels`` makes the inner sum a mean. Of several p and q the first count: those
    of iteration 0 (``lpq_loss_layer.cu`` of FlowNet 2).
    """

    param_name = "lpq_loss_param"
    own_fields = fields(
        l2_prescale_by_channels=False,
        normalize_by_num_entries=False,
        p_epsilon=0.0,
        q_epsilon=1e-2,
        pq_episode_starts_at_iter=[int],
        p=[float],
        q=[float],
    )
    bottom_count = (1, 2)
    in_place_allowed = False
    auto_tops = True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        p, starts = self.param, self.param.pq_episode_starts_at_iter
        if not p.p or len(p.p) != len(p.q) or ((len(p.p) > 1 or starts) and len(starts) != len(p.p)):
            self.fail("takes p and q, and pq_episode_starts_at_iter where there are several")
        if starts and (starts[0] != 0 or sorted(set(starts)) != starts):
            self.fail("pq_episode_starts_at_iter must begin with 0 and rise")
        if len(bottoms[0]) != 4 or any(b != bottoms[0] for b in bottoms):
            self.fail(f"takes maps of one shape, has {bottoms[0]} and others")
        return [()]

    def onnx(self, scope: LayerScope) -> list[str]:
        x, p, const = scope.bottoms[0], self.param, scope.const
        if len(scope.bottoms) == 2:
            x = scope.op("Sub", x, scope.bottoms[1])
        unknown = scope.op("IsNaN", x)
        x = scope.op("Add", scope.op("Abs", scope.op("Where", unknown, const(0.0), x)), const(p.p_epsilon))
        kind = "ReduceMean" if p.l2_prescale_by_channels else "ReduceSum"
        x = scope.op("Pow", x, const(p.p[0]))
        inner = (
            scope.op(kind, x, axes=[1], keepdims=1)
            if kind == "ReduceMean"
            else scope.op(kind, x, scope.ints([1]), keepdims=1)
        )
        y = scope.op("Pow", scope.op("Add", inner, const(p.q_epsilon)), const(p.q[0]))
        shape = scope.bottom_shapes[0]
        mean = scope.op("ReduceMean", y, keepdims=0)
        if not p.normalize_by_num_entries:
            return [scope.op("Mul", mean, const(math.prod(shape[2:])))]
        known = scope.op("ReduceMean", scope.op("Cast", scope.op("Not", unknown), to=1), keepdims=0)
        return [scope.op("Div", mean, known)]

    def torch(self, scope: TorchScope) -> Compute:
        torch, p = scope.torch, self.param

        def compute(own: Any, x: Any, *other: Any) -> list[Any]:
            x = x - other[0] if other else x
            known = ~x.isnan()
            x = (torch.where(known, x, x.new_zeros(())).abs() + p.p_epsilon) ** p.p[0]
            inner = x.mean(1) if p.l2_prescale_by_channels else x.sum(1)
            total = ((inner + p.q_epsilon) ** p.q[0]).sum()
            return [total / (known.sum() / x.shape[1] if p.normalize_by_num_entries else x.shape[0])]

        return compute
