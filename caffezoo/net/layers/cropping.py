"""Crop and Tile: fewer or more of the same values along some axes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

from caffezoo.net.layer import Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("Crop")
class Crop(Layer):
    """The part of the first bottom that has the size of the second on axes from ``axis`` (2) on, at ``offset``."""

    param_name = "crop_param"
    bottom_count = (2, 2)
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, reference = bottoms
        start = self.axis(self.param.axis, len(x))
        if len(reference) < len(x):
            self.fail(f"second bottom {reference} has fewer axes than the first {x}")
        for i, offset in enumerate(self._offsets(len(x)), start):
            if offset + reference[i] > x[i]:
                self.fail(f"offset {offset} and size {reference[i]} reach beyond axis {i} of {x}")
        return [(*x[:start], *reference[start : len(x)])]

    def _offsets(self, rank: int) -> list[int]:
        start, offsets = self.axis(self.param.axis, rank), [int(o) for o in self.param.offset]
        if len(offsets) > 1 and len(offsets) != rank - start:
            self.fail(f"takes one offset, or one for each of {rank - start} axes, has {len(offsets)}")
        return offsets if len(offsets) > 1 else (offsets or [0]) * (rank - start)

    def onnx(self, scope: LayerScope) -> list[str]:
        x, top = scope.bottom_shapes[0], scope.top_shapes[0]
        start = self.axis(self.param.axis, len(x))
        offsets = dict(enumerate(self._offsets(len(x)), start))
        axes = [i for i in offsets if top[i] != x[i]]
        if 0 in axes:
            scope.fix_batch()
        if not axes:
            return [scope.bottoms[0]]
        starts, ends = [offsets[i] for i in axes], [offsets[i] + top[i] for i in axes]
        return [scope.op("Slice", scope.bottoms[0], scope.ints(starts), scope.ints(ends), scope.ints(axes))]

    def torch(self, scope: TorchScope) -> Compute:
        x, top = scope.bottom_shapes[0], scope.top_shapes[0]
        start = self.axis(self.param.axis, len(x))
        cuts = [(i, offset, top[i]) for i, offset in enumerate(self._offsets(len(x)), start) if top[i] != x[i]]
        return lambda own, x, reference: [reduce(lambda y, cut: y.narrow(*cut), cuts, x)]


@register("Tile")
class Tile(Layer):
    """A bottom repeated ``tiles`` times along an axis (1)."""

    param_name = "tile_param"
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        axis, x = self.axis(self.param.axis, len(bottoms[0])), bottoms[0]
        if self.param.tiles < 1:
            self.fail("tiles must be given and positive")
        return [(*x[:axis], x[axis] * int(self.param.tiles), *x[axis + 1 :])]

    def onnx(self, scope: LayerScope) -> list[str]:
        rank = len(scope.bottom_shapes[0])
        repeats = [1] * rank
        repeats[self.axis(self.param.axis, rank)] = int(self.param.tiles)
        return [scope.op("Tile", scope.bottoms[0], scope.ints(repeats))]

    def torch(self, scope: TorchScope) -> Compute:
        repeats = [1] * len(scope.bottom_shapes[0])
        repeats[self.axis(self.param.axis, len(repeats))] = int(self.param.tiles)
        return lambda own, x: [x.repeat(repeats)]
