"""Upsample and Unpooling of forks: larger maps by repetition, by a pooling's indices, or by interpolation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Layer, Shape, register
from caffezoo.net.layers.interp import interpolation_matrix

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


class Enlarging(Layer):
    """A layer that makes a larger map, by a second bottom's indices where there is one."""

    bottom_count = (1, 2)
    in_place_allowed = False

    def size(self, bottom: Shape) -> tuple[int, int]:
        """Return height and width of the top."""
        raise NotImplementedError

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x = bottoms[0]
        if len(x) != 4:
            self.fail(f"takes a blob with 4 axes, has {x}")
        if len(bottoms) == 2 and bottoms[1] != x:
            self.fail(f"takes an index for every value, has {x} and {bottoms[1]}")
        return [(*x[:2], *self.size(x))]

    def _scattered(self, scope: LayerScope) -> str:
        """Append the values at the places that the second bottom holds, h * W + w, and 0 elsewhere."""
        top, area = scope.top_shapes[0], math.prod(scope.bottom_shapes[0][2:])
        x, places = (scope.reshape(b, [0, top[1], area]) for b in scope.bottoms)
        places = scope.op("Cast", places, to=7)
        batch = scope.op("Slice", scope.op("Shape", x), scope.ints([0]), scope.ints([1]))
        shape = scope.op("Concat", batch, scope.ints([top[1], math.prod(top[2:])]), axis=0)
        zeros = scope.op("Expand", scope.const(0.0), shape)
        y = scope.op("ScatterElements", zeros, places, x, axis=2)
        return scope.reshape(y, [0, *top[1:]])

    @staticmethod
    def _torch_scattered(top: Shape) -> Compute:
        def compute(own: Any, x: Any, places: Any) -> list[Any]:
            zeros = x.new_zeros(x.shape[0], top[1], math.prod(top[2:]))
            return [zeros.scatter(2, places.flatten(2).long(), x.flatten(2)).reshape(-1, *top[1:])]

        return compute

    def _repeated(self, scope: LayerScope, times: Sequence[int]) -> str:
        """Append every pixel repeated along both axes."""
        scales = scope.const(np.array([1, 1, *times], np.float32))
        return scope.op(
            "Resize",
            scope.bottoms[0],
            "",
            scales,
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )


@register("Upsample")
class Upsample(Enlarging):
    """A map of ``scale`` (2) times the size.

    With a second bottom, the mask of a pooling, its values stand at the places that the mask holds, and 0 elsewhere
    (``upsample_layer.cpp`` of alexgkendall/caffe-segnet): ``upsample_h`` and ``upsample_w`` give the size, or the
    scales and ``pad_out_h``, ``pad_out_w``, which take a row or column off. Without, every pixel is repeated (YOLO's
    forks), or, with ``mode: BILINEAR``, the map is interpolated with its corners kept.
    """

    param_name = "upsample_param"

    def scales(self) -> tuple[float, float]:
        """Return the factors of height and width."""
        param = self.param
        pair = tuple(
            float(getattr(param, long) if param.HasField(long) else getattr(param, short) or param.scale)
            if param.HasField(long) or param.HasField(short)
            else float(param.stride if param.HasField("stride") else param.scale)
            for long, short in (("height_scale", "scale_h"), ("width_scale", "scale_w"))
        )
        if min(pair) < 1:
            self.fail(f"scales {pair[0]:g} and {pair[1]:g} must be 1 or more")
        return pair[0], pair[1]

    def size(self, bottom: Shape) -> tuple[int, int]:
        given = int(self.param.upsample_h), int(self.param.upsample_w)
        if min(given) > 0:
            return given
        if max(given) > 0:
            self.fail("takes both upsample_h and upsample_w")
        down, right = self.scales()
        return (
            int(bottom[2] * down) - bool(self.param.pad_out_h),
            int(bottom[3] * right) - bool(self.param.pad_out_w),
        )

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        found = super().top_shapes(bottoms)
        if len(bottoms) == 1 and self.param.mode == pb.UpsampleParameter.NEAREST:
            if any(s != int(s) for s in self.scales()):
                self.fail("repeats pixels a whole number of times", hint="mode: BILINEAR takes other scales")
            if found[0][2:] != tuple(int(d * s) for d, s in zip(bottoms[0][2:], self.scales(), strict=True)):
                self.fail("a size of its own takes a second bottom with indices")
        return found

    def onnx(self, scope: LayerScope) -> list[str]:
        if len(scope.bottoms) == 2:
            return [self._scattered(scope)]
        if self.param.mode == pb.UpsampleParameter.NEAREST:
            return [self._repeated(scope, [int(s) for s in self.scales()])]
        (_, _, h, w), (_, _, out_h, out_w) = scope.bottom_shapes[0], scope.top_shapes[0]
        columns = np.ascontiguousarray(interpolation_matrix(w, 0, w, out_w).T)
        x = scope.op("MatMul", scope.bottoms[0], scope.const(columns))
        return [scope.op("MatMul", scope.const(interpolation_matrix(h, 0, h, out_h)), x)]

    def torch(self, scope: TorchScope) -> Compute:
        F, top = scope.F, scope.top_shapes[0]
        if len(scope.bottom_shapes) == 2:
            return self._torch_scattered(top)
        if self.param.mode == pb.UpsampleParameter.NEAREST:
            down, right = (int(s) for s in self.scales())
            return lambda own, x: [x.repeat_interleave(down, 2).repeat_interleave(right, 3)]
        return lambda own, x: [F.interpolate(x, top[2:], mode="bilinear", align_corners=True)]


@register("Unpooling")
class Unpooling(Enlarging):
    """The reverse of a pooling with as large a stride as its kernel (``unpooling_layer.cpp`` of DeconvNet's fork).

    MAX puts values where the second bottom, the pooling's mask, says; TILE repeats them over the window; AVE spreads
    them over it. The size is ``unpool_size``, or that of the windows.
    """

    param_name = "unpooling_param"

    def window(self) -> tuple[int, int]:
        """Return height and width of a window."""
        param = self.param
        kernel = int(param.kernel_h or param.kernel_size), int(param.kernel_w or param.kernel_size)
        stride = int(param.stride_h or param.stride), int(param.stride_w or param.stride)
        if min(kernel) < 1:
            self.fail("kernel_size must be positive")
        if param.unpool != pb.UnpoolingParameter.MAX and (kernel != stride or param.pad or param.pad_h or param.pad_w):
            self.fail("TILE and AVE take windows side by side: a stride of the kernel's size, and no pad")
        return kernel

    def size(self, bottom: Shape) -> tuple[int, int]:
        param, (down, right) = self.param, self.window()
        given = int(param.unpool_h or param.unpool_size), int(param.unpool_w or param.unpool_size)
        stride = int(param.stride_h or param.stride), int(param.stride_w or param.stride)
        pad = int(param.pad_h or param.pad), int(param.pad_w or param.pad)
        windows = (
            (bottom[2] - 1) * stride[0] + down - 2 * pad[0],
            (bottom[3] - 1) * stride[1] + right - 2 * pad[1],
        )
        return given if min(given) > 0 else windows

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        with_mask = self.param.unpool == pb.UnpoolingParameter.MAX
        if with_mask and len(bottoms) == 1:
            self.fail("MAX takes the pooling's mask as a second bottom")
        found = super().top_shapes(bottoms)
        if not with_mask and found[0][2:] != tuple(d * k for d, k in zip(bottoms[0][2:], self.window(), strict=True)):
            self.fail(f"windows {self.window()} over {bottoms[0]} do not make a map {found[0]}")
        return found

    def onnx(self, scope: LayerScope) -> list[str]:
        if self.param.unpool == pb.UnpoolingParameter.MAX:
            return [self._scattered(scope)]
        y = self._repeated(scope, self.window())
        if self.param.unpool == pb.UnpoolingParameter.AVE:
            y = scope.op("Mul", y, scope.const(1 / math.prod(self.window())))
        return [y]

    def torch(self, scope: TorchScope) -> Compute:
        if self.param.unpool == pb.UnpoolingParameter.MAX:
            return self._torch_scattered(scope.top_shapes[0])
        down, right = self.window()
        factor = 1 / (down * right) if self.param.unpool == pb.UnpoolingParameter.AVE else 1
        return lambda own, x, *mask: [x.repeat_interleave(down, 2).repeat_interleave(right, 3) * factor]


@register("BilinearInterpolation")
class BilinearInterpolation(Layer):
    """A map interpolated to the second bottom's height and width, corners kept (``interpolation_layers`` of forks)."""

    bottom_count = (2, 2)
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if any(len(b) != 4 for b in bottoms):
            self.fail(f"takes blobs with 4 axes, has {bottoms[0]} and {bottoms[1]}")
        return [(*bottoms[0][:2], *bottoms[1][2:])]

    def onnx(self, scope: LayerScope) -> list[str]:
        (_, _, h, w), (_, _, out_h, out_w) = scope.bottom_shapes[0], scope.top_shapes[0]
        columns = np.ascontiguousarray(interpolation_matrix(w, 0, w, out_w).T)
        x = scope.op("MatMul", scope.bottoms[0], scope.const(columns))
        return [scope.op("MatMul", scope.const(interpolation_matrix(h, 0, h, out_h)), x)]

    def torch(self, scope: TorchScope) -> Compute:
        F, size = scope.F, scope.top_shapes[0][2:]
        return lambda own, x, reference: [F.interpolate(x, size, mode="bilinear", align_corners=True)]
