"""Pooling over any number of axes: PoolingND, NdPooling, and C3D's Pooling3D."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Layer, Shape, register
from caffezoo.net.layers.pooling import PoolAxis

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

Window = tuple[Shape, Shape, Shape]
"""Kernel, stride and pad, one value an axis."""


@register("PoolingND", "NdPooling")
class PoolingND(Layer):
    """Maximum or average of windows over all axes behind ``axis`` (1), with the rules of Pooling along each.

    ``ceil((size + 2 pad - kernel) / stride) + 1`` windows; where anything is padded, a last one that would start beyond
    ``size + pad`` is dropped; an average divides by the positions before ``size + pad`` (``pooling_nd_layer.cpp`` of
    yulequan/3D-Caffe).
    """

    param_name = "pooling_nd_param"
    in_place_allowed = False

    def window(self, bottom: Shape) -> Window:
        """Return the window over the spatial axes."""
        rank, param = len(bottom) - self.first(bottom), self.param
        if param.global_pooling:
            return bottom[self.first(bottom) :], (1,) * rank, (0,) * rank
        shapes = (param.kernel_shape, param.stride_shape, param.pad_shape)
        lists = (param.kernel_size, param.stride, param.pad)
        kernel, stride, pad = (
            self._each(list(given) or list(shape.dim), rank, default)
            for given, shape, default in zip(lists, shapes, (None, 1, 0), strict=True)
        )
        return kernel, stride, pad

    def first(self, bottom: Shape) -> int:
        """Return the first spatial axis."""
        return self.axis(self.param.axis, len(bottom)) + 1

    def _each(self, values: list[int], rank: int, default: int | None) -> Shape:
        if not values and default is not None:
            return (default,) * rank
        if len(values) == 1:
            return (int(values[0]),) * rank
        if len(values) != rank:
            self.fail(f"takes kernel_size, stride and pad once or {rank} times, has {len(values)} values")
        return tuple(int(v) for v in values)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x = bottoms[0]
        if not 1 <= len(x) - self.first(x) <= 3:
            self.fail(f"takes one to three axes behind the channels, has {x}")
        return [(*x[: self.first(x)], *(a.output for a in self.axes(x)))]

    def axes(self, bottom: Shape) -> tuple[PoolAxis, ...]:
        """Return the windows along every spatial axis."""
        kernel, stride, pad = self.window(bottom)
        if min(kernel) < 1 or min(stride) < 1:
            self.fail("kernel size and stride must be positive")
        if self.param.pool == pb.PoolingParameter.STOCHASTIC:
            self.fail("STOCHASTIC pooling is for two axes only")
        found = []
        for size, k, s, p in zip(bottom[self.first(bottom) :], kernel, stride, pad, strict=True):
            if p >= k:
                self.fail(f"pad {p} must be smaller than the kernel {k}")
            output = -(-(size + 2 * p - k) // s) + 1
            if any(pad) and (output - 1) * s >= size + p:
                output -= 1
            if output < 1:
                self.fail(f"a window of {k} does not fit {size} padded by {p}")
            found.append(PoolAxis(size, k, s, p, output))
        if any(a.outside for a in found):
            self.fail("windows outside the blob have no value: the stride is larger than the kernel")
        return tuple(found)

    def onnx(self, scope: LayerScope) -> list[str]:
        shape = scope.bottom_shapes[0]
        axes = self.axes(shape)
        if self.first(shape) != 2:
            raise scope.refuse("only channels on axis 1 have an ONNX form")
        attributes: dict[str, Any] = {
            "kernel_shape": [a.kernel for a in axes],
            "strides": [a.stride for a in axes],
            "pads": [a.pad for a in axes] + [a.end_pad for a in axes],
        }
        if self.param.pool == pb.PoolingParameter.MAX:
            return [scope.op("MaxPool", scope.bottoms[0], **attributes)]
        y = scope.op("AveragePool", scope.bottoms[0], count_include_pad=1, **attributes)
        return [scope.op("Mul", y, scope.const(self._factors(axes))) if any(a.overhangs for a in axes) else y]

    @staticmethod
    def _factors(axes: Sequence[PoolAxis]) -> np.ndarray:
        """Return what turns means over whole windows into Caffe's, by window."""
        factors = np.ones(())
        for axis in axes:
            factors = np.multiply.outer(factors, axis.kernel / axis.divisors)
        return factors

    def torch(self, scope: TorchScope) -> Compute:
        shape, F = scope.bottom_shapes[0], scope.F
        axes, rank = self.axes(shape), len(shape) - 2
        if self.first(shape) != 2:
            raise scope.refuse("only channels on axis 1 have a torch form")
        kernel, stride = [a.kernel for a in axes], [a.stride for a in axes]
        border = [side for a in reversed(axes) for side in (a.pad, a.end_pad)]
        if self.param.pool == pb.PoolingParameter.MAX:
            pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[rank - 1]
            return lambda own, x: [pool(F.pad(x, border, value=-math.inf), kernel, stride)]
        mean = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[rank - 1]
        scope.constant("factors", self._factors(axes))
        return lambda own, x: [mean(F.pad(x, border), kernel, stride) * own.factors]


@register("Pooling3D")
class Pooling3D(PoolingND):
    """Pooling over depth, height and width (``pooling3d_layer.cpp`` of facebook/C3D).

    ``kernel_size``, ``stride`` and ``pad`` are those of height and width; depth has ``kernel_depth``,
    ``temporal_stride`` and ``temporal_pad``.
    """

    param_name = "pooling3d_param"

    def first(self, bottom: Shape) -> int:
        return 2

    def window(self, bottom: Shape) -> Window:
        param = self.param
        if len(bottom) != 5:
            self.fail(f"takes a blob with 5 axes, has {bottom}")
        if param.global_pooling:
            return bottom[2:], (1, 1, 1), (0, 0, 0)

        def each(depth: str, stem: str, square: str, temporal: str) -> Shape:
            d = getattr(param, depth) if param.HasField(depth) else getattr(param, temporal)
            sides = (getattr(param, f"{stem}_{end}") or getattr(param, square) for end in "hw")
            return (int(d), *(int(side) for side in sides))

        return (
            each("kernel_d", "kernel", "kernel_size", "kernel_depth"),
            each("stride_d", "stride", "stride", "temporal_stride"),
            each("pad_d", "pad", "pad", "temporal_pad"),
        )
