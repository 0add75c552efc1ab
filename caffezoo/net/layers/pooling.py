"""Pooling over two spatial axes, with Caffe's rounding, clipping and divisor rules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Layer, PlainForm, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

LOWEST = float(np.finfo(np.float32).min)


@dataclass(frozen=True)
class PoolAxis:
    """Pooling along one axis, in pixels; ``output`` is the number of windows."""

    size: int
    kernel: int
    stride: int
    pad: int
    output: int

    @property
    def end_pad(self) -> int:
        """Pixels that the last window reaches beyond the image."""
        return max(0, (self.output - 1) * self.stride + self.kernel - self.size - self.pad)

    @property
    def outside(self) -> bool:
        """Whether the last window starts beyond the image (rounded up, no pad, stride above kernel)."""
        return (self.output - 1) * self.stride - self.pad >= self.size

    @property
    def overhangs(self) -> bool:
        """Whether a window reaches beyond the padded image, where Caffe stops counting."""
        return self.end_pad > self.pad

    def torch_output(self, ceil_mode: bool) -> int | None:
        """Return the windows that torch makes of its own settings, or None if they cannot hold this pad."""
        if self.pad > self.kernel // 2:
            return None
        span = self.size + 2 * self.pad - self.kernel
        output = (-(-span // self.stride) if ceil_mode else span // self.stride) + 1
        return output - (ceil_mode and (output - 1) * self.stride >= self.size + self.pad)

    @property
    def inside(self) -> np.ndarray:
        """Pixels of the image in each window."""
        start = np.arange(self.output) * self.stride - self.pad
        return np.minimum(start + self.kernel, self.size) - np.maximum(start, 0)

    @property
    def divisors(self) -> np.ndarray:
        """Positions that Caffe counts in each window: those before ``size + pad``, the left padding among them."""
        start = np.arange(self.output) * self.stride - self.pad
        return np.minimum(start + self.kernel, self.size + self.pad) - start


@register("Pooling")
class Pooling(Layer):
    """Maximum or average of windows: ``round((H + 2 p - k) / s) + 1`` of them, rounded up unless told otherwise.

    With padding, a last window that would start beyond ``H + p`` is dropped. An average divides by the positions before
    ``H + p``, so padding counts and what hangs over the padded image does not. Rounding down is spelled
    ``round_mode: FLOOR`` by BVLC and ``ceil_mode: false`` by forks. A second top of MAX holds h * W + w of the maximum.
    A bottom of five axes, which BVLC refuses and forks for volumes take, is pooled over three alike; their ``dilation``
    is 1.
    STOCHASTIC draws at TRAIN; at TEST it is ``sum x^2 / sum x``, 0 where the sum is not positive, as Caffe has it on a
    GPU (``pooling_layer.cu``; its CPU has none).
    """

    param_name = "pooling_param"
    top_count = (1, 2)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if any(d != 1 for d in self.param.dilation):
            self.fail("dilation other than 1 is not supported")
        if len(bottoms[0]) == 5:
            return self._volume().top_shapes(bottoms)
        if len(bottoms[0]) != 4:
            self.fail(f"takes a blob with 4 axes, has {bottoms[0]}")
        if self.param.pool == pb.PoolingParameter.AVE_TF:
            self.fail("pool AVE_TF is not supported")
        if self.excludes_pad and any(a.outside for a in self.axes(bottoms[0])):
            self.fail("windows outside the image have no average")
        if len(self.proto.top) == 2 and self.param.pool != pb.PoolingParameter.MAX:
            self.fail("a second top is for MAX pooling only")
        rows, columns = self.axes(bottoms[0])
        return [(*bottoms[0][:2], rows.output, columns.output)] * len(self.proto.top)

    def _volume(self) -> Layer:
        """Return the layer that pools over three axes."""
        from caffezoo.net.layers.pooling_nd import PoolingND

        if len(self.proto.top) == 2 or self.rounds_down:
            self.fail("over five axes it has no second top, and rounds up")
        proto, param = pb.LayerParameter(), self.param
        proto.CopyFrom(self.proto)
        own = proto.pooling_nd_param
        own.pool, own.global_pooling = param.pool, param.global_pooling
        if not param.global_pooling:
            own.kernel_size.append(param.kernel_size)
        own.stride.append(param.stride)
        own.pad.append(param.pad)
        return PoolingND(proto, self.where, self.phase)

    def other_rounding(self) -> pb.LayerParameter | None:
        if self.param.global_pooling:
            return None
        proto = pb.LayerParameter()
        proto.CopyFrom(self.proto)
        proto.pooling_param.ClearField("ceil_mode")
        up = self.rounds_down
        proto.pooling_param.round_mode = pb.PoolingParameter.CEIL if up else pb.PoolingParameter.FLOOR
        return proto

    def axes(self, bottom: Shape) -> tuple[PoolAxis, PoolAxis]:
        """Return the windows along height and width.

        Raises
        ------
        ShapeError
            If a setting is missing, given twice, or leaves no window.
        """
        param = self.param
        if param.global_pooling:
            if any(param.HasField(f"kernel_{end}") for end in ("size", "h", "w")):
                self.fail("global_pooling takes no kernel size")
            kernel = (bottom[2], bottom[3])
        else:
            pair = param.HasField("kernel_h") and param.HasField("kernel_w")
            if param.HasField("kernel_size") == pair:
                self.fail("takes kernel_size or both kernel_h and kernel_w")
            kernel = self._pair("kernel", "kernel_size")
        for stem in ("pad", "stride"):
            count = param.HasField(f"{stem}_h") + param.HasField(f"{stem}_w")
            if count == 1 or (count == 2 and param.HasField(stem)):
                self.fail(f"takes {stem} or both {stem}_h and {stem}_w")
        (pad, end), stride = self._pads(), self._pair("stride", "stride")
        if min(kernel) < 1 or min(stride) < 1:
            self.fail("kernel size and stride must be positive")
        if param.global_pooling and (pad != (0, 0) or stride != (1, 1)):
            self.fail("global_pooling takes pad 0 and stride 1 only")
        if pad != (0, 0):
            if param.pool == pb.PoolingParameter.STOCHASTIC:
                self.fail("padding is for MAX and AVE pooling only")
            if pad[0] >= kernel[0] or pad[1] >= kernel[1]:
                self.fail(f"pad {pad[0]}x{pad[1]} must be smaller than the kernel {kernel[0]}x{kernel[1]}")
        rows, columns = (
            self._axis(size, k, s, p, e, pad != (0, 0))
            for size, k, s, p, e in zip(bottom[2:], kernel, stride, pad, end, strict=True)
        )
        return rows, columns

    def carries(self, bottoms: Sequence[Shape]) -> bool:
        if len(bottoms[0]) == 5:
            return False
        axes = self.axes(bottoms[0])
        if self.param.pool == pb.PoolingParameter.AVE:
            return all(a.pad == 0 and not a.outside for a in axes)
        return len(self.proto.top) == 1 and all(a.kernel == 1 and a.pad == 0 for a in axes)

    @property
    def excludes_pad(self) -> bool:
        """Whether an average is that of the image's pixels alone (Synopsys' AVE_EXC_PAD)."""
        return bool(self.param.pool == pb.PoolingParameter.AVE_EXC_PAD)

    def _pads(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the pads before and behind height and width; Synopsys' converter gives one for every side."""
        if not any(self.param.HasField(f"pad_{side}") for side in "lrtb"):
            pad = self._pair("pad", "pad")
            return pad, pad
        left, right, top, bottom = (int(getattr(self.param, f"pad_{side}")) for side in "lrtb")
        if self.param.pad or self.param.pad_h or self.param.pad_w:
            self.fail("pad_l, pad_r, pad_t and pad_b exclude pad")
        if (left, top) != (right, bottom) and self.param.pool == pb.PoolingParameter.AVE:
            self.fail("averages take one pad for both sides of an axis")
        return (top, left), (bottom, right)

    @property
    def rounds_down(self) -> bool:
        """Whether a window that fits only in part is left out."""
        return self.param.round_mode == pb.PoolingParameter.FLOOR or not self.param.ceil_mode

    def _pair(self, stem: str, single: str) -> tuple[int, int]:
        if self.param.HasField(f"{stem}_h"):
            return int(getattr(self.param, f"{stem}_h")), int(getattr(self.param, f"{stem}_w"))
        value = int(getattr(self.param, single))
        return value, value

    def _axis(self, size: int, kernel: int, stride: int, pad: int, end: int, clip: bool) -> PoolAxis:
        span = size + pad + end - kernel
        output = (span // stride if self.rounds_down else -(-span // stride)) + 1
        if clip and (output - 1) * stride >= size + pad:
            output -= 1
        if output < 1:
            self.fail(f"a window of {kernel} px does not fit {size} px padded by {pad}")
        return PoolAxis(size, kernel, stride, pad, output)

    def onnx(self, scope: LayerScope) -> list[str]:
        if len(scope.bottom_shapes[0]) == 5:
            return self._volume().onnx(scope)
        axes = self.axes(scope.bottom_shapes[0])
        if self.param.pool == pb.PoolingParameter.STOCHASTIC:
            return [self._expected(scope, axes)]
        x, two_tops = scope.bottoms[0], len(scope.node.tops) == 2
        average = self.param.pool == pb.PoolingParameter.AVE or self.excludes_pad
        if not two_tops and all(a.output == 1 and a.pad == 0 and a.kernel >= a.size for a in axes):
            return [scope.op("GlobalAveragePool" if average else "GlobalMaxPool", x)]
        inner = tuple(replace(a, output=a.output - a.outside) for a in axes)
        attributes: dict[str, Any] = {
            "kernel_shape": [a.kernel for a in axes],
            "strides": [a.stride for a in axes],
            "pads": [a.pad for a in inner] + [a.end_pad for a in inner],
        }
        if average:
            return [self._average(scope, x, axes, attributes)]
        if not two_tops:
            return [self._extend(scope, scope.op("MaxPool", x, **attributes), axes, LOWEST)]
        top, index = scope.ops("MaxPool", x, outputs=2, **attributes)
        index = scope.op("Mod", index, scope.ints([math.prod(scope.bottom_shapes[0][2:])]))
        index = scope.op("Cast", index, to=1)
        return [self._extend(scope, top, axes, LOWEST), self._extend(scope, index, axes, -1.0)]

    def _expected(self, scope: LayerScope, axes: tuple[PoolAxis, PoolAxis]) -> str:
        """Append the value that STOCHASTIC pooling has on average."""
        if self.phase == pb.TRAIN:
            raise scope.refuse("STOCHASTIC pooling in phase TRAIN draws at random and has no ONNX form")
        if any(a.outside for a in axes):
            raise scope.refuse("STOCHASTIC pooling of windows outside the image has no ONNX form")
        x = scope.bottoms[0]
        attributes: dict[str, Any] = {
            "kernel_shape": [a.kernel for a in axes],
            "strides": [a.stride for a in axes],
            "pads": [0, 0, *(a.end_pad for a in axes)],
            "count_include_pad": 1,
        }
        squares, total = (scope.op("AveragePool", y, **attributes) for y in (scope.op("Mul", x, x), x))
        positive = scope.op("Greater", total, scope.const(0.0))
        ratio = scope.op("Div", squares, scope.op("Where", positive, total, scope.const(1.0)))
        return scope.op("Where", positive, ratio, scope.const(0.0))

    def _average(self, scope: LayerScope, x: str, axes: tuple[PoolAxis, PoolAxis], attributes: dict[str, Any]) -> str:
        if self.excludes_pad:
            return scope.op("AveragePool", x, count_include_pad=0, **attributes)
        if not any(a.overhangs for a in axes):
            return scope.op("AveragePool", x, count_include_pad=1, **attributes)
        if all(a.pad == 0 and not a.outside for a in axes):
            return scope.op("AveragePool", x, count_include_pad=0, **attributes)
        y = self._extend(scope, scope.op("AveragePool", x, count_include_pad=1, **attributes), axes, 0.0)
        divisor = np.outer(axes[0].divisors, axes[1].divisors).astype(np.float64)
        divisor[divisor == 0] = np.nan  # Caffe divides 0 by 0 there
        return scope.op("Mul", y, scope.const(axes[0].kernel * axes[1].kernel / divisor))

    @staticmethod
    def _extend(scope: LayerScope, y: str, axes: tuple[PoolAxis, PoolAxis], value: float) -> str:
        """Append the windows that lie outside the image."""
        # Runtimes refuse pooling pads as large as the kernel (and fuse a Pad before the pooling into it).
        if not any(a.outside for a in axes):
            return y
        pads = [0] * 6 + [int(a.outside) for a in axes]
        return scope.op("Pad", y, scope.ints(pads), scope.const(value), mode="constant")

    def torch(self, scope: TorchScope) -> Compute:
        if len(scope.bottom_shapes[0]) == 5:
            return self._volume().torch(scope)
        axes, F = self.axes(scope.bottom_shapes[0]), scope.F
        if self.param.pool == pb.PoolingParameter.STOCHASTIC:
            return self._torch_expected(scope, axes)
        average, two_tops = self.param.pool == pb.PoolingParameter.AVE or self.excludes_pad, len(scope.node.tops) == 2
        if average and all(a.output == 1 and a.pad == 0 and a.kernel >= a.size for a in axes):
            return lambda own, x: [x.mean((2, 3), keepdim=True)]
        kernel, stride = tuple(a.kernel for a in axes), tuple(a.stride for a in axes)
        pads = tuple(a.pad for a in axes)
        ceil_mode = next((c for c in (False, True) if all(a.torch_output(c) == a.output for a in axes)), None)
        if ceil_mode is not None and not self.excludes_pad:
            # torch counts the positions of a window as Caffe does: padding is in, what hangs over the padding is out.
            if average:
                return lambda own, x: [F.avg_pool2d(x, kernel, stride, pads, ceil_mode)]
            if not two_tops:
                return lambda own, x: [F.max_pool2d(x, kernel, stride, pads, 1, ceil_mode)]
        (top, bottom), (left, right) = ((a.pad, replace(a, output=a.output - a.outside).end_pad) for a in axes)
        border, outside = (left, right, top, bottom), (0, int(axes[1].outside), 0, int(axes[0].outside))
        if average:
            counts = [a.inside if self.excludes_pad else a.divisors for a in axes]
            divisor = np.outer(*counts).astype(np.float64)
            divisor[divisor == 0] = np.nan  # Caffe divides 0 by 0 there
            scope.constant("per_window", 1 / divisor)
            return lambda own, x: [
                F.pad(F.avg_pool2d(F.pad(x, border), kernel, stride, divisor_override=1), outside) * own.per_window
            ]
        width, line = axes[1].size, axes[1].size + left + right

        def compute(own: Any, x: Any) -> list[Any]:
            y, index = F.max_pool2d(F.pad(x, border, value=-math.inf), kernel, stride, return_indices=True)
            index = (index // line - top) * width + index % line - left
            return [F.pad(y, outside, value=LOWEST), F.pad(index.to(x.dtype), outside, value=-1.0)][: 1 + two_tops]

        return compute

    def _torch_expected(self, scope: TorchScope, axes: tuple[PoolAxis, PoolAxis]) -> Compute:
        """Return the form that has the value that STOCHASTIC pooling has on average."""
        if self.phase == pb.TRAIN:
            raise scope.refuse("STOCHASTIC pooling in phase TRAIN draws at random and has no torch form")
        if any(a.outside for a in axes):
            raise scope.refuse("STOCHASTIC pooling of windows outside the image has no torch form")
        F, kernel, stride = scope.F, tuple(a.kernel for a in axes), tuple(a.stride for a in axes)
        border = (0, axes[1].end_pad, 0, axes[0].end_pad)

        def compute(own: Any, x: Any) -> list[Any]:
            x = F.pad(x, border)
            squares, total = (F.avg_pool2d(y, kernel, stride, divisor_override=1) for y in (x.square(), x))
            positive = total > 0
            return [(squares / total.where(positive, total.new_ones(()))).where(positive, total.new_zeros(()))]

        return compute

    def plain(self, bottoms: Sequence[Shape]) -> PlainForm | None:
        if not self.param.HasField("ceil_mode") and not self.param.dilation:
            return None
        layer = pb.LayerParameter()
        layer.CopyFrom(self.proto)
        layer.pooling_param.ClearField("ceil_mode")
        layer.pooling_param.ClearField("dilation")
        if self.rounds_down:
            layer.pooling_param.round_mode = pb.PoolingParameter.FLOOR
        return PlainForm([layer])
