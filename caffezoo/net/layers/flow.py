"""Layers of optical flow: Correlation, Correlation1D, FlowWarp and Warp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

MOST_SHIFTS = 4096
"""Most displacements of a Correlation: each becomes a channel."""


@register("Correlation")
class Correlation(Layer):
    """Products of patches of two maps at displacements, averaged over patch and channels: one channel a displacement.

    Displacements run over ``-max_displacement .. max_displacement`` in steps of ``stride_2``, rows first. Patches are
    ``kernel_size`` wide, their centres lie ``stride_1`` apart, within the maps padded by ``pad`` and less the border
    that displacement and patch need (``correlation_layer.cu`` of FlowNet, Dosovitskiy et al., 2015). With
    ``correlation_type: SUBTRACT`` absolute differences are averaged.
    """

    param_name = "correlation_param"
    bottom_count = (2, 2)
    in_place_allowed = False

    def shifts(self) -> list[tuple[int, int]]:
        """Return the displacements, rows and columns."""
        line = self._line()
        if len(line) ** 2 > MOST_SHIFTS:
            self.fail(f"{len(line) ** 2} displacements are more than {MOST_SHIFTS}")
        return [(row, column) for row in line for column in line]

    def _line(self) -> list[int]:
        """Return the displacements along an axis."""
        step = int(self.param.stride_2)
        if step < 1 or self.param.stride_1 < 1 or self.param.kernel_size % 2 == 0:
            self.fail("strides must be positive, and kernel_size odd")
        radius = int(self.param.max_displacement) // step
        if 2 * radius + 1 > MOST_SHIFTS:
            self.fail(f"{2 * radius + 1} displacements along an axis are more than {MOST_SHIFTS}")
        return [step * i for i in range(-radius, radius + 1)]

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        a, b = bottoms
        if len(a) != 4 or a != b:
            self.fail(f"takes two maps of one shape, has {a} and {b}")
        self._check_direction()
        pads, starts, kernel = self._pads(), self._starts(), int(self.param.kernel_size)
        spans = [d + before + behind for d, (before, behind) in zip(a[2:], pads, strict=True)]
        border = [2 * (start - extra + kernel // 2) for start, extra in zip(starts, self._extra(), strict=True)]
        size = [
            -(-(d - e - c) // int(self.param.stride_1)) for d, e, c in zip(spans, self._extra(), border, strict=True)
        ]
        if min(size) < 1:
            self.fail(f"displacements and kernel do not fit into maps {a}")
        return [(a[0], len(self.shifts()), *size)]

    def _check_direction(self) -> None:
        if self.param.single_direction or self.param.do_abs:
            self.fail("single_direction and do_abs are not supported")

    def _extra(self) -> tuple[int, int]:
        """Return further rows above and columns on the left that displacements reach into."""
        return 0, 0

    def _pads(self) -> list[tuple[int, int]]:
        """Return the rows before and behind the maps, and the columns."""
        pad = int(self.param.pad)
        return [(pad, pad), (pad, pad)]

    def _starts(self) -> tuple[int, int]:
        """Return row and column of the first patch's corner in the padded map."""
        return int(self.param.max_displacement), int(self.param.max_displacement)

    def onnx(self, scope: LayerScope) -> list[str]:
        (_, _, out_h, out_w), pads = scope.top_shapes[0], self._pads()
        start, kernel = self._starts(), int(self.param.kernel_size)
        step, channels = int(self.param.stride_1), scope.bottom_shapes[0][1]
        a, b = scope.bottoms
        if any(p for pair in pads for p in pair):
            sides = scope.ints([0, 0, *(p[0] for p in pads), 0, 0, *(p[1] for p in pads)])
            a, b = (scope.op("Pad", x, sides, scope.const(0.0)) for x in (a, b))
        spans = [(n - 1) * step + kernel for n in (out_h, out_w)]
        axes = scope.ints([2, 3])

        def part(x: str, row: int, column: int) -> str:
            first, last = [row, column], [row + spans[0], column + spans[1]]
            return scope.op("Slice", x, scope.ints(first), scope.ints(last), axes)

        still, found = part(a, *start), []
        for row, column in self.shifts():
            moved = part(b, start[0] + row, start[1] + column)
            if self.param.correlation_type == pb.CorrelationParameter.MULTIPLY:
                y = scope.op("Mul", still, moved)
            else:
                y = scope.op("Abs", scope.op("Sub", still, moved))
            found.append(scope.op("ReduceSum", y, scope.ints([1]), keepdims=1))
        y = scope.op("Concat", *found, axis=1)
        if kernel > 1 or step > 1:
            y = scope.op("AveragePool", y, kernel_shape=[kernel, kernel], strides=[step, step])
        return [scope.op("Mul", y, scope.const(1 / channels))]

    def torch(self, scope: TorchScope) -> Compute:
        torch, F, (rows, columns) = scope.torch, scope.F, self._pads()
        (_, _, out_h, out_w), start, kernel = scope.top_shapes[0], self._starts(), int(self.param.kernel_size)
        step, shifts = int(self.param.stride_1), self.shifts()
        high, wide = ((n - 1) * step + kernel for n in (out_h, out_w))
        product = self.param.correlation_type == pb.CorrelationParameter.MULTIPLY

        def compute(own: Any, a: Any, b: Any) -> list[Any]:
            a, b = (F.pad(x, (*columns, *rows)) for x in (a, b))
            still = a[:, :, start[0] : start[0] + high, start[1] : start[1] + wide]
            found = []
            for row, column in shifts:
                top, left = start[0] + row, start[1] + column
                moved = b[:, :, top : top + high, left : left + wide]
                found.append((still * moved if product else (still - moved).abs()).mean(1))
            return [F.avg_pool2d(torch.stack(found, 1), kernel, step)]

        return compute


@register("Correlation1D")
class Correlation1D(Correlation):
    """Correlation at displacements along rows only, for disparities (``correlation_layer1d.cu`` of DispNet, Mayer et
    al., 2016).

    With ``single_direction`` 1 they run over ``0 .. max_displacement``; with -1 the source takes as many, from one step
    below ``-max_displacement`` to one step below 0. Only columns are padded.
    """

    def _check_direction(self) -> None:
        if self.param.do_abs or not -1 <= self.param.single_direction <= 1:
            self.fail("do_abs is not supported, and single_direction is -1, 0 or 1")
        if self.param.single_direction < 0 and self.param.pad < self.param.stride_2:
            self.fail("single_direction -1 takes a pad of stride_2 or more: the source reads beyond its maps otherwise")

    def shifts(self) -> list[tuple[int, int]]:
        line = self._line()
        if self.param.single_direction:
            right = [c for c in line if c >= 0]
            step = int(self.param.stride_2)
            line = right if self.param.single_direction > 0 else [c - right[-1] - step for c in right]
        return [(0, column) for column in line]

    def _extra(self) -> tuple[int, int]:
        return 0, int(self.param.stride_2) if self.param.single_direction < 0 else 0

    def _pads(self) -> list[tuple[int, int]]:
        pad = int(self.param.pad)
        return [(0, 0), (pad + self._extra()[1], pad)]

    def _starts(self) -> tuple[int, int]:
        return 0, int(self.param.max_displacement) + self._extra()[1]


class Sampling(Layer):
    """A map sampled bilinearly at places that are computed."""

    bottom_count = (2, 2)
    in_place_allowed = False

    @staticmethod
    def _sampled(scope: LayerScope, grid: str, padding: str) -> str:
        """Append the first bottom at places [N, h, w, 2], column then row, -1 .. 1 from edge to edge of the image;
        outside of it are ``zeros``, or the pixels of its ``border``."""
        return scope.op("GridSample", scope.bottoms[0], grid, mode="bilinear", padding_mode=padding, align_corners=0)


@register("FlowWarp")
class FlowWarp(Sampling):
    """The first bottom at ``(x + flow_x, y + flow_y)`` of every pixel; the flow [N, 2, H, W] is in pixels.

    A place left of 0 or from the size on gives 0; beside the last pixel there is that pixel again
    (``flow_warp_layer.cu`` of FlowNet 2). ``fill_value: NOT_A_NUMBER`` is not supported.
    """

    param_name = "flow_warp_param"

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, flow = bottoms
        if len(x) != 4 or flow != (x[0], 2, *x[2:]):
            self.fail(f"takes a map and a flow of two channels for each pixel, has {x} and {flow}")
        if self.param.fill_value == pb.FlowWarpParameter.NOT_A_NUMBER:
            self.fail("fill_value NOT_A_NUMBER is not supported")
        return [x]

    def _pixels(self, shape: Shape) -> np.ndarray:
        """Return column and row of every pixel, [1, H, W, 2]."""
        rows, columns = np.meshgrid(np.arange(shape[2]), np.arange(shape[3]), indexing="ij")
        return np.stack([columns, rows], -1)[None].astype(np.float32)

    def _wide(self) -> bool:
        """Return whether a place counts up to the size of the map, and not only up to its last pixel."""
        return True

    def onnx(self, scope: LayerScope) -> list[str]:
        shape = scope.bottom_shapes[0]
        last = np.array([shape[3] - 1, shape[2] - 1], np.float32)
        place = scope.op("Transpose", scope.bottoms[1], perm=[0, 2, 3, 1])
        place = scope.op("Add", place, scope.const(self._pixels(shape)))
        size = scope.const(2 / (last + 1))
        grid = scope.op("Add", scope.op("Mul", place, size), scope.const(1 / (last + 1) - 1))
        bound = scope.const(last + 1 if self._wide() else last)
        below = scope.op("Less" if self._wide() else "LessOrEqual", place, bound)
        inside = scope.op("And", scope.op("GreaterOrEqual", place, scope.const(0.0)), below)
        inside = scope.op("ReduceMin", scope.op("Cast", inside, to=1), axes=[3], keepdims=0)
        return [scope.op("Mul", self._sampled(scope, grid, "border"), scope.op("Unsqueeze", inside, scope.ints([1])))]

    def torch(self, scope: TorchScope) -> Compute:
        F, shape, wide = scope.F, scope.bottom_shapes[0], self._wide()
        scope.constant("pixels", self._pixels(shape))
        scope.constant("last", np.array([shape[3] - 1, shape[2] - 1], np.float32))

        def compute(own: Any, x: Any, flow: Any) -> list[Any]:
            place = flow.permute(0, 2, 3, 1) + own.pixels
            below = place < own.last + 1 if wide else place <= own.last
            inside = ((place >= 0) & below).all(3).unsqueeze(1)
            grid = (2 * place + 1) / (own.last + 1) - 1
            return [F.grid_sample(x, grid, padding_mode="border", align_corners=False) * inside]

        return compute


@register("Warp")
class Warp(FlowWarp):
    """The first bottom at ``(x + flow_x, y + flow_y)`` of every pixel; a place that is not between pixels gives 0.

    Source: ``warp_layer.cu`` of PWC-Net (Sun et al., arXiv 1709.02371); ``warp_param { outliers: TRUNCATE }`` of
    another fork says the same. Forks whose second bottom holds places, or that take the nearest pixel, are refused.
    """

    param_name = "warp_param"

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, flow = bottoms
        if len(x) != 4 or flow != (x[0], 2, *x[2:]):
            self.fail(f"takes a map and a flow of two channels for each pixel, has {x} and {flow}")
        if self.proto.HasField("warp_param") and self.param.outliers != pb.WarpParameter.TRUNCATE:
            self.fail("outliers NEAREST is not supported")
        return [x]

    def _wide(self) -> bool:
        return False
