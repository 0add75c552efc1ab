"""SPP: spatial pyramid pooling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import BlobId, Layer, Shape, register
from caffezoo.net.layers.pooling import Pooling

if TYPE_CHECKING:
    from caffezoo.net.node import Node
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

MOST_LEVELS = 16
POOLS = {
    pb.SPPParameter.MAX: pb.PoolingParameter.MAX,
    pb.SPPParameter.AVE: pb.PoolingParameter.AVE,
    pb.SPPParameter.STOCHASTIC: pb.PoolingParameter.STOCHASTIC,
}


@register("SPP")
class SPP(Layer):
    """Poolings into 1, 2, 4 ... ``2^(pyramid_height - 1)`` bins an axis, flattened one after another.

    A bin of an axis of size s is ``ceil(s / bins)`` wide, and half of what is missing, rounded up, is padded in front
    (``spp_layer.cpp`` of BVLC). A pyramid of one level is the pooling itself, not flattened.
    """

    param_name = "spp_param"
    in_place_allowed = False

    def levels(self, bottom: Shape) -> list[Pooling]:
        """Return the poolings of a bottom, the coarsest first."""
        height = int(self.param.pyramid_height)
        if len(bottom) != 4:
            self.fail(f"takes a blob with 4 axes, has {bottom}")
        if not 1 <= height <= MOST_LEVELS:
            self.fail(f"pyramid_height {height} must lie within 1..{MOST_LEVELS}")
        found = []
        for level in range(height):
            bins = 2**level
            proto = pb.LayerParameter(name=self.name, type="Pooling", bottom=self.proto.bottom, top=self.proto.top)
            proto.pooling_param.pool = POOLS[self.param.pool]
            for axis, size in (("h", bottom[2]), ("w", bottom[3])):
                kernel = -(-size // bins)
                setattr(proto.pooling_param, f"kernel_{axis}", kernel)
                setattr(proto.pooling_param, f"stride_{axis}", kernel)
                setattr(proto.pooling_param, f"pad_{axis}", (kernel * bins - size + 1) // 2)
            found.append(Pooling(proto, self.where, self.phase))
        return found

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        shapes = [level.top_shapes(bottoms)[0] for level in self.levels(bottoms[0])]
        if len(shapes) == 1:
            return shapes
        return [(bottoms[0][0], sum(math.prod(s[1:]) for s in shapes))]

    def onnx(self, scope: LayerScope) -> list[str]:
        levels = self.levels(scope.bottom_shapes[0])
        found = [level.onnx(scope.for_part(part(scope.node, level)))[0] for level in levels]
        if len(found) == 1:
            return found
        return [scope.op("Concat", *(scope.op("Flatten", y, axis=1) for y in found), axis=1)]

    def torch(self, scope: TorchScope) -> Compute:
        torch, levels = scope.torch, self.levels(scope.bottom_shapes[0])
        parts: list[Callable[..., Any]] = [level.torch(scope.for_part(part(scope.node, level))) for level in levels]
        if len(parts) == 1:
            return parts[0]
        return lambda own, x: [torch.cat([compute(own, x)[0].flatten(1) for compute in parts], 1)]


def part(node: Node, layer: Layer) -> Node:
    """Return the node of a layer without blobs that stands for a part of another layer, on the same bottoms."""
    tops = tuple(tuple(s) for s in layer.top_shapes(node.bottom_shapes))
    return replace(node, layer=layer, tops=(BlobId(node.name, 0),) * len(tops), top_shapes=tops, blob_shapes=())
