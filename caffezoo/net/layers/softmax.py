"""Softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from caffezoo.net.layer import Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("Softmax")
class Softmax(Layer):
    """``exp(x - max) / sum(exp(x - max))`` along an axis (1)."""

    param_name = "softmax_param"
    squashes = "softmax"

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self.axis(self.param.axis, len(bottoms[0]))
        return [bottoms[0]]

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return self.axis(self.param.axis, len(bottoms[0])) == 0

    def squashed(self, bottoms: Sequence[Shape]) -> int:
        return bottoms[0][self.axis(self.param.axis, len(bottoms[0]))]

    def onnx(self, scope: LayerScope) -> list[str]:
        axis = self.axis(self.param.axis, len(scope.bottom_shapes[0]))
        return [scope.op("Softmax", scope.bottoms[0], axis=axis)]

    def torch(self, scope: TorchScope) -> Compute:
        F, axis = scope.F, self.axis(self.param.axis, len(scope.bottom_shapes[0]))
        return lambda own, x: [F.softmax(x, axis)]
