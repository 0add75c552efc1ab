"""Norms of forks: GroupNorm, InstanceNorm, L2Norm and GRN."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.net.layer import Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


class Standardised(Layer):
    """``(x - mean) / sqrt(variance + eps)`` over groups of channels of one sample; the variance is the biased one."""

    def groups(self, bottom: Shape) -> int:
        """Return how many groups the channels fall into."""
        raise NotImplementedError

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x = bottoms[0]
        if len(x) < 2:
            self.fail(f"takes a blob with channels on axis 1, has {x}")
        groups = self.groups(x)
        if groups < 1 or x[1] % groups:
            self.fail(f"{x[1]} channels cannot be split into {groups} groups")
        return [x]

    def onnx(self, scope: LayerScope) -> list[str]:
        shape = scope.bottom_shapes[0]
        groups = self.groups(shape)
        x = scope.reshape(scope.bottoms[0], [0, groups, math.prod(shape[1:]) // groups])
        x = scope.op("Sub", x, scope.op("ReduceMean", x, axes=[2], keepdims=1))
        variance = scope.op("ReduceMean", scope.op("Mul", x, x), axes=[2], keepdims=1)
        x = scope.op("Div", x, scope.op("Sqrt", scope.op("Add", variance, scope.const(self.param.eps))))
        return [scope.reshape(x, [0, *shape[1:]])]

    def torch(self, scope: TorchScope) -> Compute:
        F, groups, eps = scope.F, self.groups(scope.bottom_shapes[0]), float(self.param.eps)
        return lambda own, x: [F.group_norm(x, groups, None, None, eps)]


@register("GroupNorm")
class GroupNorm(Standardised):
    """Over ``group_num`` groups of channels, without an affine map (Wu and He, 2018): a Scale follows in such files."""

    param_name = "group_norm_param"

    def groups(self, bottom: Shape) -> int:
        return int(self.param.group_num)


@register("InstanceNorm")
class InstanceNorm(Standardised):
    """Over every channel alone; with ``affine`` times a learned scale and plus a learned shift (Ulyanov et al., 2016).

    Blobs with ``affine``: scale [C], shift [C].
    """

    param_name = "instance_norm_param"

    def groups(self, bottom: Shape) -> int:
        return bottom[1]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [bottoms[0][1:2]] * (2 if self.param.affine else 0)

    def onnx(self, scope: LayerScope) -> list[str]:
        (x,) = super().onnx(scope)
        if not self.param.affine:
            return [x]
        line = (1, -1, *(1 for _ in scope.bottom_shapes[0][2:]))
        scale, shift = (scope.const(b.reshape(line)) for b in scope.blobs)
        return [scope.op("Add", scope.op("Mul", x, scale), shift)]

    def torch(self, scope: TorchScope) -> Compute:
        F, eps, affine = scope.F, float(self.param.eps), bool(self.param.affine)
        groups = self.groups(scope.bottom_shapes[0])
        scope.learn()
        return lambda own, x: [
            F.group_norm(x, groups, own.blob0 if affine else None, own.blob1 if affine else None, eps)
        ]


@register("L2Norm")
class L2Norm(Layer):
    """Every sample divided by its Euclidean norm (face recognition's forks); a sample of zeros stays as it is."""

    def onnx(self, scope: LayerScope) -> list[str]:
        shape = scope.bottom_shapes[0]
        axes = scope.ints(range(1, len(shape)))
        squares = scope.op("ReduceSum", scope.op("Mul", scope.bottoms[0], scope.bottoms[0]), axes, keepdims=1)
        norm = scope.op("Sqrt", scope.op("Max", squares, scope.const(float(np.finfo(np.float32).tiny))))
        return [scope.op("Div", scope.bottoms[0], norm)]

    def torch(self, scope: TorchScope) -> Compute:
        axes, least = tuple(range(1, len(scope.bottom_shapes[0]))), float(np.finfo(np.float32).tiny)

        def compute(own: Any, x: Any) -> list[Any]:
            return [x / x.square().sum(axes, keepdim=True).clamp(min=least).sqrt()]

        return compute

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if len(bottoms[0]) < 2:
            self.fail(f"takes samples of values, has {bottoms[0]}")
        return [bottoms[0]]


@register("GRN")
class GRN(Layer):
    """Every place divided by ``sqrt(sum of squares over channels + bias)`` (``grn_layer.cpp`` of OpenVINO's fork)."""

    param_name = "grn_param"

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if len(bottoms[0]) < 2 or self.param.bias < 0:
            self.fail(f"takes channels on axis 1 and a bias of at least 0, has {bottoms[0]} and {self.param.bias:g}")
        return [bottoms[0]]

    def onnx(self, scope: LayerScope) -> list[str]:
        x = scope.bottoms[0]
        squares = scope.op("ReduceSum", scope.op("Mul", x, x), scope.ints([1]), keepdims=1)
        return [scope.op("Div", x, scope.op("Sqrt", scope.op("Add", squares, scope.const(self.param.bias))))]

    def torch(self, scope: TorchScope) -> Compute:
        bias = float(self.param.bias)
        return lambda own, x: [x / (x.square().sum(1, keepdim=True) + bias).sqrt()]
