"""Flatten and Reshape: other axes over the same values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Folded, Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("Flatten")
class Flatten(Layer):
    """Axes ``axis`` (1) to ``end_axis`` (-1), both included, become one."""

    param_name = "flatten_param"
    in_place_allowed = False

    def carries(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, (start, stop) = bottoms[0], self._range(bottoms[0])
        return [(*x[:start], math.prod(x[start:stop]), *x[stop:])]

    def sliding(self, blobs: Sequence[np.ndarray], bottoms: Sequence[Shape]) -> Folded | None:
        if self._range(bottoms[0]) != (1, len(bottoms[0])):
            return None
        proto = pb.LayerParameter(name=self.name, type="Split", bottom=self.proto.bottom, top=self.proto.top)
        return Folded(proto, ())

    def _range(self, bottom: Shape) -> tuple[int, int]:
        start = self.axis(self.param.axis, len(bottom))
        stop = self.axis(self.param.end_axis, len(bottom)) + 1
        if stop < start:
            self.fail(f"end_axis {stop - 1} lies before axis {start}")
        return start, stop

    def onnx(self, scope: LayerScope) -> list[str]:
        start, stop = self._range(scope.bottom_shapes[0])
        if stop - start == 1:
            return [scope.bottoms[0]]
        top = scope.top_shapes[0]
        if start > 0:
            return [scope.reshape(scope.bottoms[0], [0, *top[1:]])]
        # The batch axis lies within the flattened ones, or behind an axis of 1 that is put in front of it.
        batch = 1 if stop == 0 else 0
        return [scope.reshape(scope.bottoms[0], [-1 if i == batch else d for i, d in enumerate(top)])]

    def torch(self, scope: TorchScope) -> Compute:
        start, stop = self._range(scope.bottom_shapes[0])
        return lambda own, x: [x.flatten(start, stop - 1) if stop > start else x.unsqueeze(start)]


@register("Reshape")
class Reshape(Layer):
    """Bottom axes from ``axis`` on, ``num_axes`` of them, replaced by the dims of ``shape``.

    A dim of 0 copies the bottom's axis at the same place, one dim of -1 is inferred. A negative ``axis`` counts from
    behind the last axis: -1 appends. ``pixelshuffler`` of SRResNet's fork stands in place of all that: channels
    c r^2 + i r + j of a place become rows i and columns j of r x r places of channel c.
    """

    param_name = "reshape_param"
    in_place_allowed = False

    def carries(self, bottoms: Sequence[Shape]) -> bool:
        return bool(self.param.pixelshuffler <= 1)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        factor = int(self.param.pixelshuffler)
        if factor > 1:
            if len(bottoms[0]) != 4 or bottoms[0][1] % factor**2:
                self.fail(f"pixelshuffler {factor} takes a multiple of {factor**2} channels, has {bottoms[0]}")
            n, channels, height, width = bottoms[0]
            return [(n, channels // factor**2, height * factor, width * factor)]
        x, (start, stop) = bottoms[0], self._range(bottoms[0])
        dims = [int(d) for d in self.param.shape.dim]
        if dims.count(-1) > 1:
            self.fail(f"shape {dims} has more than one -1")
        for i, dim in enumerate(dims):
            if dim < -1:
                self.fail(f"dim {dim} is below -1")
            if dim == 0:
                if start + i >= len(x):
                    self.fail(f"dim 0 at axis {start + i} copies an axis that the bottom {x} does not have")
                dims[i] = x[start + i]
        if -1 in dims:
            known = math.prod(d for d in dims if d != -1) * math.prod(x[:start]) * math.prod(x[stop:])
            if known == 0 or math.prod(x) % known:
                self.fail(f"{math.prod(x)} values of {x} cannot fill {[*x[:start], *dims, *x[stop:]]}")
            dims[dims.index(-1)] = math.prod(x) // known
        top = (*x[:start], *dims, *x[stop:])
        if math.prod(top) != math.prod(x):
            self.fail(f"bottom {x} has {math.prod(x)} values, top {top} has {math.prod(top)}")
        return [top]

    def _range(self, bottom: Shape) -> tuple[int, int]:
        rank, count = len(bottom), int(self.param.num_axes)
        start = self.axis(self.param.axis, rank, end=True)
        if count < -1:
            self.fail(f"num_axes {count} must be -1 or more")
        stop = rank if count == -1 else start + count
        if stop > rank:
            self.fail(f"axis {start} and num_axes {count} reach beyond the {rank} axes of the bottom")
        return start, stop

    def _dims(self, x: Shape, top: Shape) -> list[int]:
        """Return the top's shape for any batch size: 0 copies the axis at the same place, -1 is inferred."""
        start, stop = self._range(x)
        given, dims = list(self.param.shape.dim), [int(d) for d in top]
        if start == 0 and stop == 0:
            dims[len(given)] = -1  # new axes in front of the batch axis
        elif start > 0 or (given and given[0] == 0) or (-1 not in given and top[:1] == x[:1]):
            dims[0] = 0
        elif -1 in given:
            dims[list(given).index(-1)] = -1
        return dims

    def onnx(self, scope: LayerScope) -> list[str]:
        if self.param.pixelshuffler > 1:
            return [scope.op("DepthToSpace", scope.bottoms[0], blocksize=int(self.param.pixelshuffler), mode="CRD")]
        return [scope.reshape(scope.bottoms[0], self._dims(scope.bottom_shapes[0], scope.top_shapes[0]))]

    def torch(self, scope: TorchScope) -> Compute:
        factor, F = int(self.param.pixelshuffler), scope.F
        if factor > 1:
            return lambda own, x: [F.pixel_shuffle(x, factor)]
        dims = self._dims(scope.bottom_shapes[0], scope.top_shapes[0])
        return lambda own, x: [x.reshape([x.shape[i] if d == 0 else d for i, d in enumerate(dims)])]
