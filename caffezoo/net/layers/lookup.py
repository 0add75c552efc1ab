"""Layers that pick rows: Embed, BatchReindex and Filter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from caffezoo.net.layer import Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("Embed")
class Embed(Layer):
    """Row ``x`` of a learned table for every value of the bottom, which holds whole numbers 0 .. ``input_dim`` - 1.

    Blobs: table [input_dim, num_output], bias [num_output] unless ``bias_term: false`` (``embed_layer.cpp`` of BVLC).
    """

    param_name = "embed_param"
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if self.param.num_output < 1 or self.param.input_dim < 1:
            self.fail("num_output and input_dim must be positive")
        return [(*bottoms[0], int(self.param.num_output))]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        rows, width = int(self.param.input_dim), int(self.param.num_output)
        return [(rows, width), (width,)] if self.param.bias_term else [(rows, width)]

    def onnx(self, scope: LayerScope) -> list[str]:
        y = scope.op("Gather", scope.blob(0), scope.op("Cast", scope.bottoms[0], to=7), axis=0)
        return [scope.op("Add", y, scope.blob(1)) if self.param.bias_term else y]

    def torch(self, scope: TorchScope) -> Compute:
        F, biased = scope.F, bool(self.param.bias_term)
        scope.learn()

        def compute(own: Any, x: Any) -> list[Any]:
            y = F.embedding(x.long(), own.blob0)
            return [y + own.blob1 if biased else y]

        return compute


@register("BatchReindex")
class BatchReindex(Layer):
    """Samples of the first bottom at the indices that the second holds (``batch_reindex_layer.cpp`` of BVLC)."""

    bottom_count = (2, 2)
    in_place_allowed = False

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, index = bottoms
        if not x or len(index) != 1:
            self.fail(f"takes samples and one axis of indices, has {x} and {index}")
        return [(*index, *x[1:])]

    def onnx(self, scope: LayerScope) -> list[str]:
        return [scope.op("Gather", scope.bottoms[0], scope.op("Cast", scope.bottoms[1], to=7), axis=0)]

    def torch(self, scope: TorchScope) -> Compute:
        return lambda own, x, index: [x[index.long()]]


@register("Filter")
class Filter(Layer):
    """Samples of all bottoms but the last where the last, a selector, is not 0 (``filter_layer.cpp`` of BVLC).

    How many there are depends on the data: shapes and costs are those of all samples.
    """

    bottom_count = (2, None)
    top_count = (1, None)
    in_place_allowed = False

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        selector = bottoms[-1]
        if len(self.proto.top) != len(bottoms) - 1:
            self.fail(f"takes as many tops as bottoms to filter: {len(bottoms) - 1}, has {len(self.proto.top)}")
        if not selector or math.prod(selector) != selector[0]:
            self.fail(f"takes a selector with one value a sample, has {selector}")
        for shape in bottoms[:-1]:
            if shape[:1] != selector[:1]:
                self.fail(f"has {selector[0]} selected places for a bottom {shape}")
        return list(bottoms[:-1])

    def onnx(self, scope: LayerScope) -> list[str]:
        selector = scope.reshape(scope.bottoms[-1], [-1])
        kept = scope.op("Not", scope.op("Equal", selector, scope.const(0.0)))
        places = scope.reshape(scope.op("NonZero", kept), [-1])
        return [scope.op("Gather", x, places, axis=0) for x in scope.bottoms[:-1]]

    def torch(self, scope: TorchScope) -> Compute:
        return lambda own, *xs: [x[xs[-1].reshape(-1) != 0] for x in xs[:-1]]
