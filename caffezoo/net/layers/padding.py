"""Layers of forks that pad, resize or mask a map: Padding, Pad, Resize, MaskResize and MaskPooling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.net.layer import Layer, Shape, register
from caffezoo.net.own_fields import fields

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

MODES = {"ZERO": None, "REPLICATE": "edge", "REFLECT": "symmetric", "REFLECT_101": "reflect"}
"""What numpy calls the ways to pad."""


class Padded(Layer):
    """A map with ``pads`` rows above and below and columns on both sides."""

    in_place_allowed = False

    def pads(self) -> tuple[int, int]:
        """Return how many rows and columns a side gets."""
        raise NotImplementedError

    def mode(self) -> str | None:
        """Return what they repeat, in numpy's words; None for a constant."""
        return None

    def constant(self) -> float:
        """Return the value of the pads where they are constant."""
        return 0.0

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, pads = bottoms[0], self.pads()
        if len(x) != 4:
            self.fail(f"takes a blob with 4 axes, has {x}")
        if min(pads) < 0:
            self.fail("pads must not be negative")
        limit = {"symmetric": 0, "reflect": 1}.get(self.mode() or "")
        if limit is not None and any(p > d - limit for p, d in zip(pads, x[2:], strict=True)):
            self.fail(f"a map {x} has no {pads} pixels to reflect")
        return [(*x[:2], *(d + 2 * p for d, p in zip(x[2:], pads, strict=True)))]

    def _places(self, bottom: Shape) -> list[list[int]]:
        """Return which row, and which column, of the bottom each of the top repeats."""
        mode: Any = self.mode()
        return [np.pad(np.arange(d), p, mode).tolist() for d, p in zip(bottom[2:], self.pads(), strict=True)]

    def onnx(self, scope: LayerScope) -> list[str]:
        x, (rows, columns) = scope.bottoms[0], self.pads()
        if self.mode() is None:
            sides = scope.ints([0, 0, rows, columns] * 2)
            return [scope.op("Pad", x, sides, scope.const(self.constant()))]
        for axis, places in enumerate(self._places(scope.bottom_shapes[0]), 2):
            x = scope.op("Gather", x, scope.ints(places), axis=axis)
        return [x]

    def torch(self, scope: TorchScope) -> Compute:
        F, (rows, columns), value = scope.F, self.pads(), self.constant()
        if self.mode() is None:
            return lambda own, x: [F.pad(x, (columns, columns, rows, rows), value=value)]
        down, right = self._places(scope.bottom_shapes[0])
        return lambda own, x: [x[:, :, down][:, :, :, right]]


@register("Padding")
class Padding(Padded):
    """A map in a frame of ``value`` (0), ``pad`` wide, or ``pad_h`` and ``pad_w`` (``padding_layer.cpp`` of the first
    Caffe), or of ``pad_beg`` before and ``pad_end`` behind both axes, which cut where they are negative (DeepLab's).
    """

    param_name = "padding_param"

    def _ends(self) -> tuple[int, int]:
        return int(self.param.pad_beg), int(self.param.pad_end)

    def pads(self) -> tuple[int, int]:
        return int(self.param.pad_h or self.param.pad), int(self.param.pad_w or self.param.pad)

    def constant(self) -> float:
        return float(self.param.value)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, ends = bottoms[0], self._ends()
        if ends == (0, 0) or len(x) != 4:
            return super().top_shapes(bottoms)
        if self.pads() != (0, 0):
            self.fail("pad_beg and pad_end exclude pad")
        if min(ends) < 0 < max(ends):
            self.fail(f"pad_beg {ends[0]} and pad_end {ends[1]} must both add or both cut")
        size = [d + sum(ends) for d in x[2:]]
        if min(size) < 1:
            self.fail(f"pad_beg {ends[0]} and pad_end {ends[1]} leave nothing of {x}")
        return [(*x[:2], *size)]

    def onnx(self, scope: LayerScope) -> list[str]:
        begin, end = self._ends()
        if (begin, end) == (0, 0):
            return super().onnx(scope)
        if begin < 0 or end < 0:
            stops = [-begin + d for d in scope.top_shapes[0][2:]]
            return [
                scope.op("Slice", scope.bottoms[0], scope.ints([-begin] * 2), scope.ints(stops), scope.ints([2, 3]))
            ]
        sides = scope.ints([0, 0, begin, begin, 0, 0, end, end])
        return [scope.op("Pad", scope.bottoms[0], sides, scope.const(self.constant()))]

    def torch(self, scope: TorchScope) -> Compute:
        F, (begin, end), value = scope.F, self._ends(), self.constant()
        if (begin, end) == (0, 0):
            return super().torch(scope)
        return lambda own, x: [F.pad(x, (begin, end, begin, end), value=value)]


@register("Pad")
class Pad(Padded):
    """A map in a frame that holds 0, or repeats it by ``type``: REPLICATE its edge, REFLECT from the edge on,
    REFLECT_101 without the edge (``pad_layer.cpp``, a pull request to BVLC's Caffe)."""

    param_name = "pad_param"
    own_fields = fields(pad=0, pad_h=int, pad_w=int, type="ZERO")

    def pads(self) -> tuple[int, int]:
        pad_h, pad_w, pad = self.param.pad_h, self.param.pad_w, self.param.pad
        return (pad if pad_h is None else pad_h), (pad if pad_w is None else pad_w)

    def mode(self) -> str | None:
        if self.param.type not in MODES:
            self.fail(f"type {self.param.type} is none of {', '.join(MODES)}")
        return MODES[self.param.type]


class Resized(Layer):
    """A map of another size, each of whose pixels is a sum of the bottom's, first along rows and then along columns."""

    in_place_allowed = False

    def matrices(self, bottom: Shape, top: Shape) -> list[np.ndarray]:
        """Return how much each pixel counts, along height and along width, each [out, in]."""
        raise NotImplementedError

    def onnx(self, scope: LayerScope) -> list[str]:
        rows, columns = self.matrices(scope.bottom_shapes[0], scope.top_shapes[0])
        x = scope.op("MatMul", scope.bottoms[0], scope.const(np.ascontiguousarray(columns.T)))
        return [scope.op("MatMul", scope.const(rows), x)]

    def torch(self, scope: TorchScope) -> Compute:
        rows, columns = self.matrices(scope.bottom_shapes[0], scope.top_shapes[0])
        scope.constant("rows", rows)
        scope.constant("columns", columns)
        return lambda own, x: [own.rows @ x @ own.columns.T]


@register("Resize")
class Resize(Resized):
    """A map of ``height`` x ``width``, or with ``is_pyramid_test`` of out_height_scale, out_width_scale times its size.

    Pixel i of the top lies at ``i in / out``, between two pixels of the bottom; behind the last one there is 0
    (``util_img.cpp`` of happynear/caffe-windows and caffe-3dnormal). With ``top_height`` and ``top_width``, multiples
    of the bottom's, pixels are repeated (``resize_layer.cpp`` of piiswrong/caffe). Other forks' Resize have other
    fields, and are refused.
    """

    param_name = "resize_param"
    own_fields = fields(
        height=int,
        width=int,
        is_pyramid_test=False,
        out_height_scale=float,
        out_width_scale=float,
        top_height=int,
        top_width=int,
    )

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, p = bottoms[0], self.param
        if len(x) != 4:
            self.fail(f"takes a blob with 4 axes, has {x}")
        ways = {"height": "width", "out_height_scale": "out_width_scale", "top_height": "top_width"}
        wanted = "out_height_scale" if p.is_pyramid_test else "height" if p.top_height is None else "top_height"
        pair = getattr(p, wanted), getattr(p, ways[wanted])
        if None in pair:
            self.fail(f"takes {wanted} and {ways[wanted]}")
        if p.is_pyramid_test:
            size = [int(np.float32(s) * d) for s, d in zip(pair, x[2:], strict=True)]
        else:
            size = [int(d) for d in pair]
        if min(size) < 1:
            self.fail(f"height and width must be positive, are {size}")
        if wanted == "top_height" and any(s % d for s, d in zip(size, x[2:], strict=True)):
            self.fail(f"{size} is no multiple of {x[2:]}")
        return [(*x[:2], *size)]

    def matrices(self, bottom: Shape, top: Shape) -> list[np.ndarray]:
        found = []
        for size, out in zip(bottom[2:], top[2:], strict=True):
            place = np.arange(out, dtype=np.float32) * (np.float32(size) / np.float32(out))
            if self.param.top_height is not None and not self.param.is_pyramid_test:
                place = (np.arange(out) // (out // size)).astype(np.float32)
            matrix = np.zeros((out, size), np.float32)
            for i, p in enumerate(place):
                low = min(math.floor(p), size - 1)
                matrix[i, low] = 1 - (p - low)
                if low + 1 < size:
                    matrix[i, low + 1] = p - low
            found.append(matrix)
        return found


@register("MaskResize")
class MaskResize(Resized):
    """A mask of ``output_height`` x ``output_width``: pixel i lies at ``i in / out``, on the last pixel behind it, and
    is 0 more than half a pixel behind that (``mask_resize_layer.cu`` of MNC, Dai et al., 2016)."""

    param_name = "mask_resize_param"
    own_fields = fields(output_height=0, output_width=0)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        size = int(self.param.output_height), int(self.param.output_width)
        if len(bottoms[0]) != 4 or min(size) < 1:
            self.fail(f"takes a blob with 4 axes and a positive size, has {bottoms[0]} and {size}")
        return [(*bottoms[0][:2], *size)]

    def matrices(self, bottom: Shape, top: Shape) -> list[np.ndarray]:
        found = []
        for size, out in zip(bottom[2:], top[2:], strict=True):
            place = np.arange(out, dtype=np.float32) * (np.float32(size) / np.float32(out))
            inside = place <= size - 0.5
            place = np.minimum(place, size - 1)
            low = place.astype(int)
            matrix = np.zeros((out, size), np.float32)
            np.add.at(matrix, (np.arange(out), low), (1 - (place - low)) * inside)
            np.add.at(matrix, (np.arange(out), np.minimum(low + 1, size - 1)), (place - low) * inside)
            found.append(matrix)
        return found


@register("MaskPooling")
class MaskPooling(Layer):
    """Maps times a mask of one channel for each (``mask_pooling_layer.cu`` of MNC)."""

    bottom_count = (2, 2)
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, mask = bottoms
        if len(x) != 4 or mask != (x[0], 1, *x[2:]):
            self.fail(f"takes maps and a mask of one channel for each, has {x} and {mask}")
        return [x]

    def onnx(self, scope: LayerScope) -> list[str]:
        return [scope.op("Mul", *scope.bottoms)]

    def torch(self, scope: TorchScope) -> Compute:
        return lambda own, x, mask: [x * mask]
