"""Layers of forks that cut maps into regions, put them together, mirror or repeat them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("Division")
class Division(Layer):
    """One top for every corner (``xcoord``, ``ycoord``): the part of ``width`` x ``height`` px that begins there.

    Of the forks for facial action units (Zhao et al., Deep Region and Multi-label Learning, 2016).
    """

    param_name = "division_param"
    top_count = (1, None)
    in_place_allowed = False

    def corners(self, bottom: Shape) -> list[tuple[int, int]]:
        """Return row and column of every part's first pixel."""
        if len(bottom) != 4:
            self.fail(f"takes a blob with 4 axes, has {bottom}")
        rows, columns = list(self.param.ycoord), list(self.param.xcoord)
        height, width = int(self.param.height), int(self.param.width)
        if not len(rows) == len(columns) == len(self.proto.top):
            self.fail(f"takes an xcoord and a ycoord for each of {len(self.proto.top)} tops")
        if max(rows) + height > bottom[2] or max(columns) + width > bottom[3]:
            self.fail(f"a part of {height} x {width} px reaches beyond the map {bottom}")
        return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True)]

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        part = (*bottoms[0][:2], int(self.param.height), int(self.param.width))
        return [part for _ in self.corners(bottoms[0])]

    def onnx(self, scope: LayerScope) -> list[str]:
        height, width, axes = int(self.param.height), int(self.param.width), scope.ints([2, 3])
        return [
            scope.op("Slice", scope.bottoms[0], scope.ints([r, c]), scope.ints([r + height, c + width]), axes)
            for r, c in self.corners(scope.bottom_shapes[0])
        ]

    def torch(self, scope: TorchScope) -> Compute:
        height, width = int(self.param.height), int(self.param.width)
        corners = self.corners(scope.bottom_shapes[0])
        return lambda own, x: [x[:, :, r : r + height, c : c + width] for r, c in corners]


@register("Combination")
class Combination(Layer):
    """The reverse of Division: every bottom at its corner (``xcoord``, ``ycoord``) of one map, side by side."""

    param_name = "combination_param"
    bottom_count = (1, None)
    in_place_allowed = False

    def rows(self, bottoms: Sequence[Shape]) -> list[list[int]]:
        """Return the indices of the bottoms, row by row from left to right."""
        corners = list(zip(self.param.ycoord, self.param.xcoord, strict=False))
        if len(corners) != len(bottoms) or len(set(corners)) != len(corners):
            self.fail(f"takes an xcoord and a ycoord of its own for each of {len(bottoms)} bottoms")
        if any(len(b) != 4 or b != bottoms[0] for b in bottoms):
            self.fail(f"all parts must have one shape with 4 axes, found {bottoms[0]} and others")
        height, width = bottoms[0][2:]
        found: dict[int, list[int]] = {}
        for i in sorted(range(len(corners)), key=lambda i: corners[i]):
            found.setdefault(corners[i][0], []).append(i)
        for row, (top, places) in enumerate(found.items()):
            if top != row * height or [corners[i][1] for i in places] != [c * width for c in range(len(places))]:
                self.fail(f"parts of {height} x {width} px must stand side by side without gaps")
        if len({len(places) for places in found.values()}) != 1:
            self.fail("every row must have as many parts")
        return list(found.values())

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        rows = self.rows(bottoms)
        n, c, h, w = bottoms[0]
        return [(n, c, h * len(rows), w * len(rows[0]))]

    def onnx(self, scope: LayerScope) -> list[str]:
        lines = [scope.op("Concat", *(scope.bottoms[i] for i in row), axis=3) for row in self.rows(scope.bottom_shapes)]
        return [scope.op("Concat", *lines, axis=2)]

    def torch(self, scope: TorchScope) -> Compute:
        torch, rows = scope.torch, self.rows(scope.bottom_shapes)
        return lambda own, *xs: [torch.cat([torch.cat([xs[i] for i in row], 3) for row in rows], 2)]


@register("MergeCrop")
class MergeCrop(Layer):
    """The first bottom, and the middle of the second, side by side in the channels or (``operation: ADD``) added.

    Of naibaf7's fork for U-nets: the second bottom is as large as the first, or larger.
    """

    param_name = "mergecrop_param"
    bottom_count = (2, 2)
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        a, b = bottoms
        if len(a) < 3 or len(a) != len(b) or a[0] != b[0] or any(x > y for x, y in zip(a[2:], b[2:], strict=True)):
            self.fail(f"the second bottom must be as large as the first or larger: {a} and {b}")
        if self.param.operation == pb.MergeCropParameter.ADD:
            if a[1] != b[1]:
                self.fail(f"ADD takes bottoms of as many channels, has {a[1]} and {b[1]}")
            return [a]
        return [(a[0], a[1] + b[1], *a[2:])]

    @staticmethod
    def _starts(bottoms: Sequence[Shape]) -> list[int]:
        return [(y - x) // 2 for x, y in zip(bottoms[0][2:], bottoms[1][2:], strict=True)]

    def onnx(self, scope: LayerScope) -> list[str]:
        a, b = scope.bottom_shapes
        starts, middle = self._starts(scope.bottom_shapes), scope.bottoms[1]
        if a[2:] != b[2:]:
            ends = [s + d for s, d in zip(starts, a[2:], strict=True)]
            axes = scope.ints(range(2, len(a)))
            middle = scope.op("Slice", middle, scope.ints(starts), scope.ints(ends), axes)
        if self.param.operation == pb.MergeCropParameter.ADD:
            return [scope.op("Add", scope.bottoms[0], middle)]
        return [scope.op("Concat", scope.bottoms[0], middle, axis=1)]

    def torch(self, scope: TorchScope) -> Compute:
        torch, starts = scope.torch, self._starts(scope.bottom_shapes)
        cuts = [slice(s, s + d) for s, d in zip(starts, scope.bottom_shapes[0][2:], strict=True)]
        if self.param.operation == pb.MergeCropParameter.ADD:
            return lambda own, a, b: [a + b[(..., *cuts)]]
        return lambda own, a, b: [torch.cat([a, b[(..., *cuts)]], 1)]


@register("Duplicate")
class Duplicate(Layer):
    """A map of one pixel repeated over ``height`` x ``width`` px (the fork of learned dilations)."""

    param_name = "duplicate_param"
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x = bottoms[0]
        if len(x) != 4 or x[2:] != (1, 1) or not (self.param.height and self.param.width):
            self.fail(f"takes a map of one pixel and a size, has {x}")
        return [(*x[:2], int(self.param.height), int(self.param.width))]

    def onnx(self, scope: LayerScope) -> list[str]:
        return [scope.op("Tile", scope.bottoms[0], scope.ints([1, 1, *scope.top_shapes[0][2:]]))]

    def torch(self, scope: TorchScope) -> Compute:
        height, width = scope.top_shapes[0][2:]
        return lambda own, x: [x.expand(-1, -1, height, width)]


@register("Flip")
class Flip(Layer):
    """A map mirrored left to right (``flip_width``, the default) and upside down (``flip_height``)."""

    param_name = "flip_param"
    in_place_allowed = False

    def _axes(self) -> list[int]:
        return [axis for axis, asked in ((2, self.param.flip_height), (3, self.param.flip_width)) if asked]

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if len(bottoms[0]) != 4:
            self.fail(f"takes a blob with 4 axes, has {bottoms[0]}")
        return [bottoms[0]]

    def onnx(self, scope: LayerScope) -> list[str]:
        axes = self._axes()
        if not axes:
            return [scope.bottoms[0]]
        sides = ([-1] * len(axes), [-(2**31)] * len(axes), axes, [-1] * len(axes))
        return [scope.op("Slice", scope.bottoms[0], *(scope.ints(side) for side in sides))]

    def torch(self, scope: TorchScope) -> Compute:
        axes = self._axes()
        return lambda own, x: [x.flip(axes)]


@register("SliceHalf")
class SliceHalf(Layer):
    """Two halves of a bottom along ``axis`` (1): for MaxFeatureMap and its like."""

    param_name = "slice_half_param"
    top_count = (2, 2)
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, axis = bottoms[0], self.axis(self.param.axis, len(bottoms[0]))
        if axis == 0 or x[axis] % 2:
            self.fail(f"axis {axis} of {x} has no halves")
        half: Shape = (*x[:axis], x[axis] // 2, *x[axis + 1 :])
        return [half, half]

    def onnx(self, scope: LayerScope) -> list[str]:
        axis = self.axis(self.param.axis, len(scope.bottom_shapes[0]))
        return scope.ops("Split", scope.bottoms[0], outputs=2, axis=axis)

    def torch(self, scope: TorchScope) -> Compute:
        axis = self.axis(self.param.axis, len(scope.bottom_shapes[0]))
        return lambda own, x: x.chunk(2, axis)


@register("Tiling", "PixelShuffle", "PixelShuffler")
class Tiling(Layer):
    """``r^2`` channels become one of r times the height and width.

    Channel ``c r^2 + i r + j`` gives row i and column j of the tiles of channel c. PixelShuffle is Shi et al., 2016;
    Tiling that of fcn-object-detectors (``tile_dim``).
    """

    in_place_allowed = False

    def _factor(self) -> int:
        own = (
            self.proto.tiling_param.tile_dim if self.type == "Tiling" else self.proto.pixel_shuffle_param.upscale_factor
        )
        return int(own)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, r = bottoms[0], self._factor()
        if len(x) != 4 or r < 1 or x[1] % (r * r):
            self.fail(f"{x} cannot be spread into tiles of {r} x {r}")
        return [(x[0], x[1] // (r * r), x[2] * r, x[3] * r)]

    def onnx(self, scope: LayerScope) -> list[str]:
        return [scope.op("DepthToSpace", scope.bottoms[0], blocksize=self._factor(), mode="CRD")]

    def torch(self, scope: TorchScope) -> Compute:
        F, r = scope.F, self._factor()
        return lambda own, x: [F.pixel_shuffle(x, r)]
