"""Samples at length 1, and the largest of groups of channels: Normalization, NormL2 and Maxout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from caffezoo.net.layer import Layer, Shape, register
from caffezoo.net.own_fields import fields

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("Normalization")
class Normalization(Layer):
    """Every sample divided by its Euclidean norm, without parameters (``normalization_layer.cpp`` of triplet forks)."""

    epsilon = 0.0

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if len(bottoms[0]) < 2:
            self.fail(f"takes samples of values, has {bottoms[0]}")
        return [bottoms[0]]

    def onnx(self, scope: LayerScope) -> list[str]:
        x, axes = scope.bottoms[0], scope.ints(range(1, len(scope.bottom_shapes[0])))
        squares = scope.op("ReduceSum", scope.op("Mul", x, x), axes, keepdims=1)
        if self.epsilon:
            squares = scope.op("Add", squares, scope.const(self.epsilon))
        return [scope.op("Div", x, scope.op("Sqrt", squares))]

    def torch(self, scope: TorchScope) -> Compute:
        axes, epsilon = tuple(range(1, len(scope.bottom_shapes[0]))), self.epsilon
        return lambda own, x: [x / (x.square().sum(axes, keepdim=True) + epsilon).sqrt()]


@register("NormL2")
class NormL2(Normalization):
    """``x / sqrt(sum x^2 + 1e-7)`` over a sample; its top has four axes (``normL2_layer.cpp`` of arcface-caffe)."""

    epsilon = 1e-7

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        (x,) = super().top_shapes(bottoms)
        if len(x) > 4:
            self.fail(f"takes a blob with 2 to 4 axes, has {x}")
        return [(*x, *(1,) * (4 - len(x)))]

    def onnx(self, scope: LayerScope) -> list[str]:
        return [scope.reshape(top, [0, *scope.top_shapes[0][1:]]) for top in super().onnx(scope)]

    def torch(self, scope: TorchScope) -> Compute:
        inner, compute = scope.top_shapes[0][1:], super().torch(scope)
        return lambda own, x: [compute(own, x)[0].reshape(-1, *inner)]


@register("Maxout")
class Maxout(Layer):
    """The largest of every ``chgroup_sz`` channels that follow each other (Goodfellow et al., 2013).

    The smallest (``minout``) is not supported: the fork compares with -FLT_MAX (``maxout_layer.cpp``).
    """

    param_name = "maxout_param"
    own_fields = fields(chgroup_sz=int, minout=False)
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, size = bottoms[0], self.param.chgroup_sz
        if size is None or size < 1 or self.param.minout:
            self.fail("takes a positive chgroup_sz, and no minout")
        if len(x) != 4 or x[1] % size:
            self.fail(f"takes a map whose channels fall into groups of {size}, has {x}")
        return [(x[0], x[1] // size, *x[2:])]

    def onnx(self, scope: LayerScope) -> list[str]:
        channels, height, width = scope.top_shapes[0][1:]
        x = scope.reshape(scope.bottoms[0], [0, channels, self.param.chgroup_sz, height * width])
        return [scope.reshape(scope.op("ReduceMax", x, axes=[2], keepdims=0), [0, channels, height, width])]

    def torch(self, scope: TorchScope) -> Compute:
        size = int(self.param.chgroup_sz)

        def compute(own: Any, x: Any) -> list[Any]:
            return [x.unflatten(1, (-1, size)).amax(2)]

        return compute
