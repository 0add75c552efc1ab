"""Maps of another size as FlowNet 2 has them: Resample and Downsample; and ChannelNorm, the length of its flows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

F = np.float32


def triangle(d: np.ndarray) -> np.ndarray:
    """Return the weight of a pixel at distance d: 1 at 0, 0 from 1 on."""
    return np.asarray(np.maximum(1 - abs(d), 0))


def cubic(d: np.ndarray) -> np.ndarray:
    """Return the weight of a pixel at distance d by the cubic of Catmull and Rom."""
    d = abs(d)
    near, far = d * d * (1.5 * d - 2.5) + 1, d * (d * (2.5 - 0.5 * d) - 4) + 2
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def rounded(place: np.ndarray) -> np.ndarray:
    """Return whole numbers; halves go away from 0, as C's ``round`` has them."""
    return np.asarray(np.sign(place) * np.floor(abs(place) + 0.5), np.int64)


def normalised(matrix: np.ndarray) -> np.ndarray:
    """Return lines of weights whose sum is 1, or that are 0."""
    total = matrix.sum(1, keepdims=True)
    return np.asarray(matrix / np.where(total == 0, 1, total), np.float32)


class ResizedMap(Layer):
    """A map whose rows and columns are sums over those of its bottom."""

    bottom_count = (1, 2)
    in_place_allowed = False

    def _matrices(self, bottom: Shape, top: Shape) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights along height and along width, each [out, in]."""
        raise NotImplementedError

    def onnx(self, scope: LayerScope) -> list[str]:
        rows, columns = self._matrices(scope.bottom_shapes[0], scope.top_shapes[0])
        x = scope.op("MatMul", scope.bottoms[0], scope.const(np.ascontiguousarray(columns.T)))
        return [scope.op("MatMul", scope.const(rows), x)]

    def torch(self, scope: TorchScope) -> Compute:
        rows, columns = self._matrices(scope.bottom_shapes[0], scope.top_shapes[0])
        scope.constant("rows", rows)
        scope.constant("columns", columns)
        return lambda own, x, *size: [own.rows @ x @ own.columns.T]


@register("Resample")
class Resample(ResizedMap):
    """A map of another size: ``width`` x ``height``, ``factor`` times its own, or that of a second bottom.

    Column x of the output looks at ``x fx + fy / 2 - 0.5``, fx and fy the ratios of widths and of heights, and row y
    at ``y fy + fx / 2 - 0.5``. NEAREST takes the pixel there; LINEAR and CUBIC weigh those around it by distance, and
    with ``antialias`` in a smaller map by distance over the ratio; the weights of pixels that exist add up to 1
    (``resample_layer.cu`` of FlowNet 2, which does not have AREA either).
    """

    param_name = "resample_param"

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x = bottoms[0]
        if any(len(b) != 4 for b in bottoms):
            self.fail(f"takes maps with 4 axes, has {x}")
        if len(bottoms) == 2:
            size = bottoms[1][2:]
        elif self.param.HasField("factor"):
            size = tuple(int(d * self.param.factor) for d in x[2:])
        else:
            size = int(self.param.height), int(self.param.width)
        if self.param.type == pb.ResampleParameter.AREA:
            self.fail("takes type NEAREST, LINEAR or CUBIC")
        return [(*x[:2], *size)]

    def _matrices(self, bottom: Shape, top: Shape) -> tuple[np.ndarray, np.ndarray]:
        ratios = [F(size) / F(out) for size, out in zip(bottom[2:], top[2:], strict=True)]
        smooth = bool(self.param.antialias) and bool(max(ratios) > 1)
        found = [
            self._weights(size, out, ratio, other, smooth)
            for size, out, ratio, other in zip(bottom[2:], top[2:], ratios, reversed(ratios), strict=True)
        ]
        return found[0], found[1]

    def _weights(self, size: int, out: int, ratio: F, other: F, smooth: bool) -> np.ndarray:
        place = np.arange(out, dtype=F) * ratio + other / F(2) - F(0.5)
        pixels, centre = np.arange(size), rounded(place)[:, None]
        if self.param.type == pb.ResampleParameter.NEAREST:
            return np.asarray(pixels == centre.clip(0, size - 1), np.float32)
        weight, reach = (triangle, 2) if self.param.type == pb.ResampleParameter.LINEAR else (cubic, 4)
        scale = F(1) / ratio if smooth else F(1)
        radius = 2 if ratio < 1 else math.ceil(reach / scale)
        near = abs(pixels - centre) <= radius
        return normalised(np.where(near, weight(scale * (place[:, None] - pixels)), 0))


@register("Downsample")
class Downsample(ResizedMap):
    """A map of ``top_height`` x ``top_width``, or of the second bottom's size, whose corners stay where they are.

    Every pixel weighs those of the bottom by their distance over the ratio of sizes. NaN values (flows that are not
    known) do not count, and where they hold more than half of what the others weigh the output is NaN. Source:
    ``downsample_layer.cu`` of FlowNet 2; it has no gradient there.
    """

    param_name = "downsample_param"
    differentiable = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x = bottoms[0]
        if any(len(b) != 4 for b in bottoms):
            self.fail(f"takes maps with 4 axes, has {x}")
        size = bottoms[1][2:] if len(bottoms) == 2 else (int(self.param.top_height), int(self.param.top_width))
        if min(size) < 2 or min(x[2:]) < 2:
            self.fail(f"takes and makes maps of 2 x 2 pixels at least, has {x[2:]} and {size}")
        return [(*x[:2], *size)]

    def _matrices(self, bottom: Shape, top: Shape) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = (self._weights(size, out) for size, out in zip(bottom[2:], top[2:], strict=True))
        return rows, columns

    def _weights(self, size: int, out: int) -> np.ndarray:
        ratio = F(size - 1) / F(out - 1)
        place = np.arange(out, dtype=F) / F(out - 1) * F(size - 1)
        pixels = np.arange(size)
        near = abs(pixels - rounded(place)[:, None]) <= math.ceil(ratio)
        return normalised(np.where(near, triangle((pixels - place[:, None]) / ratio), 0))

    def onnx(self, scope: LayerScope) -> list[str]:
        rows, columns = self._matrices(scope.bottom_shapes[0], scope.top_shapes[0])
        left, right = scope.const(rows), scope.const(np.ascontiguousarray(columns.T))

        def small(x: str) -> str:
            return scope.op("MatMul", left, scope.op("MatMul", x, right))

        unknown = scope.op("IsNaN", scope.bottoms[0])
        held = small(scope.op("Cast", unknown, to=1))
        known = small(scope.op("Cast", scope.op("Not", unknown), to=1))
        total = small(scope.op("Where", unknown, scope.const(0.0), scope.bottoms[0]))
        lost = scope.op("Greater", held, scope.op("Mul", known, scope.const(0.5)))
        return [scope.op("Where", lost, scope.const(float("nan")), scope.op("Div", total, known))]

    def torch(self, scope: TorchScope) -> Compute:
        torch = scope.torch
        rows, columns = self._matrices(scope.bottom_shapes[0], scope.top_shapes[0])
        scope.constant("rows", rows)
        scope.constant("columns", columns)

        def compute(own: Any, x: Any, *size: Any) -> list[Any]:
            unknown = x.detach().isnan()
            parts = torch.where(unknown, x.new_zeros(()), x.detach()), unknown.to(x.dtype), (~unknown).to(x.dtype)
            total, held, known = (own.rows @ part @ own.columns.T for part in parts)
            return [torch.where(held > known / 2, x.new_full((), float("nan")), total / known)]

        return compute


@register("ChannelNorm")
class ChannelNorm(Layer):
    """The length ``sqrt(sum_c x_c^2)`` at every pixel, [N, 1, H, W] (``channel_norm_layer.cpp`` of FlowNet 2)."""

    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if len(bottoms[0]) != 4:
            self.fail(f"takes a map with 4 axes, has {bottoms[0]}")
        return [(bottoms[0][0], 1, *bottoms[0][2:])]

    def onnx(self, scope: LayerScope) -> list[str]:
        return [scope.op("ReduceL2", scope.bottoms[0], axes=[1], keepdims=1)]

    def torch(self, scope: TorchScope) -> Compute:
        return lambda own, x: [x.norm(dim=1, keepdim=True)]
