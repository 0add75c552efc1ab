"""Layers that join, cut, copy, interleave or consume blobs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Layer, PlainForm, Shape, register
from caffezoo.net.own_fields import fields

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


class AxisLayer(Layer):
    """A layer along one axis that has an older, unsigned spelling."""

    legacy_axis: str

    def along(self, bottom: Shape) -> int:
        """Return the axis from ``axis`` or its legacy spelling."""
        if not self.param.HasField(self.legacy_axis):
            return self.axis(self.param.axis, len(bottom))
        if self.param.HasField("axis"):
            self.fail(f"axis and {self.legacy_axis} exclude each other")
        value = int(getattr(self.param, self.legacy_axis))
        if value >= len(bottom):
            self.fail(f"{self.legacy_axis} {value} is out of range for a blob with {len(bottom)} axes")
        return value


@register("Concat")
class Concat(AxisLayer):
    """Bottoms one after another along an axis (1); all other axes must agree."""

    param_name = "concat_param"
    legacy_axis = "concat_dim"
    bottom_count = (1, None)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        axis, first = self.along(bottoms[0]), bottoms[0]
        for i, shape in enumerate(bottoms):
            if len(shape) != len(first) or shape[:axis] != first[:axis] or shape[axis + 1 :] != first[axis + 1 :]:
                name = self.proto.bottom
                self.fail(f"bottoms may differ on axis {axis} only: '{name[0]}' has {first}, '{name[i]}' has {shape}")
        return [(*first[:axis], sum(s[axis] for s in bottoms), *first[axis + 1 :])]

    def onnx(self, scope: LayerScope) -> list[str]:
        if len(scope.bottoms) == 1:
            return [scope.bottoms[0]]
        return [scope.op("Concat", *scope.bottoms, axis=self.along(scope.bottom_shapes[0]))]

    def torch(self, scope: TorchScope) -> Compute:
        torch, axis = scope.torch, self.along(scope.bottom_shapes[0])
        return lambda own, *xs: [torch.cat(xs, axis)]


@register("Slice")
class Slice(AxisLayer):
    """A bottom cut along an axis (1) at rising ``slice_point``, one less than tops; without points into equal parts."""

    param_name = "slice_param"
    legacy_axis = "slice_dim"
    top_count = (1, None)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        axis, x = self.along(bottoms[0]), bottoms[0]
        return [(*x[:axis], size, *x[axis + 1 :]) for size in self._sizes(x[axis])]

    def _sizes(self, size: int) -> list[int]:
        points, tops = [int(p) for p in self.param.slice_point], len(self.proto.top)
        if not points:
            if size % tops:
                self.fail(f"{size} cannot be cut into {tops} equal parts", hint="give slice_point")
            return [size // tops] * tops
        if len(points) != tops - 1:
            self.fail(f"{tops} tops take {tops - 1} slice_point, has {len(points)}")
        edges = [0, *points, size]
        if any(b <= a for a, b in pairwise(edges)):
            self.fail(f"slice_point {points} must rise and lie within 1..{size - 1}")
        return [b - a for a, b in pairwise(edges)]

    def onnx(self, scope: LayerScope) -> list[str]:
        shape = scope.bottom_shapes[0]
        axis, tops = self.along(shape), len(scope.node.tops)
        if tops == 1:
            return [scope.bottoms[0]]
        if axis == 0:
            scope.fix_batch()
        return scope.ops("Split", scope.bottoms[0], scope.ints(self._sizes(shape[axis])), outputs=tops, axis=axis)

    def torch(self, scope: TorchScope) -> Compute:
        axis = self.along(scope.bottom_shapes[0])
        sizes = self._sizes(scope.bottom_shapes[0][axis])
        return lambda own, x: x.split(sizes, axis)


@register("Split")
class Split(Layer):
    """Copies of a bottom."""

    top_count = (1, None)

    def carries(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def onnx(self, scope: LayerScope) -> list[str]:
        return [scope.bottoms[0]] * len(scope.node.tops)

    def torch(self, scope: TorchScope) -> Compute:
        count = len(scope.node.tops)
        return lambda own, x: [x] * count


@register("Silence")
class Silence(Layer):
    """Takes bottoms that nobody else reads, gives nothing."""

    bottom_count = (1, None)
    top_count = (0, 0)

    def onnx(self, scope: LayerScope) -> list[str]:
        return []

    def torch(self, scope: TorchScope) -> Compute:
        return lambda own, *xs: []


@register("HDF5Output")
class HDF5Output(Silence):
    """Takes bottoms, gives nothing: the file that Caffe writes of them is not written here."""


@register("MatWrite")
class MatWrite(Silence):
    """Takes bottoms, gives nothing: what DeepLab's Caffe writes into .mat files are the network's outputs here."""

    writes = True
    param_name = "mat_write_param"
    own_fields = fields(prefix="", source="", strip=0, period=1)


@register("ShuffleChannel")
class ShuffleChannel(Layer):
    """Channels of ``group`` groups interleaved: output channel ``j g + i`` is input channel ``i C / g + j``."""

    param_name = "shuffle_channel_param"

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        group = int(self.param.group)
        if len(bottoms[0]) < 2:
            self.fail(f"takes a blob with channels on axis 1, has {bottoms[0]}")
        if group == 0 or bottoms[0][1] % group:
            self.fail(f"{bottoms[0][1]} channels cannot be split into {group} groups")
        return [bottoms[0]]

    def onnx(self, scope: LayerScope) -> list[str]:
        shape, group = scope.bottom_shapes[0], int(self.param.group)
        each, area = shape[1] // group, math.prod(shape[2:])
        if group == 1 or each == 1:
            return [scope.bottoms[0]]
        x = scope.reshape(scope.bottoms[0], [0, group, each, area])
        return [scope.reshape(scope.op("Transpose", x, perm=[0, 2, 1, 3]), [0, *shape[1:]])]

    def torch(self, scope: TorchScope) -> Compute:
        group = int(self.param.group)
        return lambda own, x: [x.unflatten(1, (group, -1)).transpose(1, 2).flatten(1, 2)]

    def plain(self, bottoms: Sequence[Shape]) -> PlainForm:
        """Return one slice a group, stacked on a new axis behind the channels, which the last Reshape folds in."""
        shape, group = bottoms[0], int(self.param.group)
        area = math.prod(shape[2:])
        parts = [f"{self.name}/group{i}" for i in range(group)]
        columns = [f"{self.name}/column{i}" for i in range(group)]
        stacked = f"{self.name}/stacked"
        cut = pb.LayerParameter(name=f"{self.name}/slice", type="Slice", bottom=self.proto.bottom, top=parts)
        layers = [cut]
        for part, column in zip(parts, columns, strict=True):
            layers.append(pb.LayerParameter(name=column, type="Reshape", bottom=[part], top=[column]))
            layers[-1].reshape_param.shape.dim.extend([0, shape[1] // group, 1, area])
        layers.append(pb.LayerParameter(name=stacked, type="Concat", bottom=columns, top=[stacked]))
        layers[-1].concat_param.axis = 2
        layers.append(pb.LayerParameter(name=self.name, type="Reshape", bottom=[stacked], top=self.proto.top))
        layers[-1].reshape_param.shape.dim.extend([0, *shape[1:]])
        return PlainForm(layers)
