"""Parameter: a learned blob as a top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from caffezoo.net.layer import Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("Parameter")
class Parameter(Layer):
    """The learned blob itself, of the given ``shape`` (``parameter_layer.hpp`` of BVLC). Blobs: [shape]."""

    param_name = "parameter_param"
    bottom_count = (0, 0)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return self.blob_shapes(bottoms)

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        shape = tuple(int(d) for d in self.param.shape.dim)
        if not shape or min(shape) < 1:
            self.fail("has no shape", hint="give parameter_param { shape { dim: ... } }")
        return [shape]

    def onnx(self, scope: LayerScope) -> list[str]:
        scope.fix_batch()
        return [scope.op("Identity", scope.blob(0))]

    def torch(self, scope: TorchScope) -> Compute:
        scope.learn(0)
        return lambda own: [own.blob0.clone()]
