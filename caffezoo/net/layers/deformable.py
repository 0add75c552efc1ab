"""DeformableConvolution: a convolution whose windows are moved pixel by pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Affine, Folded, Shape, register
from caffezoo.net.layers.convolution import Convolution
from caffezoo.net.own_fields import fields

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

CONVOLUTION = fields(
    num_output=0,
    bias_term=True,
    pad=[int],
    kernel_size=[int],
    stride=[int],
    dilation=[int],
    group=1,
    pad_h=int,
    pad_w=int,
    kernel_h=int,
    kernel_w=int,
    stride_h=int,
    stride_w=int,
    weight_filler=pb.FillerParameter,
    bias_filler=pb.FillerParameter,
    axis=1,
)


@register("DeformableConvolution")
class DeformableConvolution(Convolution):
    """A convolution that reads the bottom at moved places (Dai et al., 2017).

    The second bottom has, for each pixel of the top, row and column that each of a window's k places moves by:
    [N, 2 k G, H', W'], for G groups of channels. A place outside of ``0 <= row < H``, ``0 <= column < W`` counts 0;
    beyond the last pixel's middle there is that pixel (``deformable_im2col.cu`` of Deformable-ConvNets-caffe, after
    MXNet's). Blobs: weight [num_output, in / group, k...], bias.
    """

    param_name = "deformable_convolution_param"
    own_fields = fields(**CONVOLUTION, deformable_group=int, engine=object, force_nd_im2col=False)
    bottom_count = (2, 2)
    top_count = (1, 1)
    in_place_allowed = False
    deformable_group: int | None

    def _read_param(self) -> Any:
        own = super()._read_param()
        self.deformable_group = own.deformable_group
        given = {name: value for name in CONVOLUTION if (value := getattr(own, name)) is not None}
        try:
            return pb.ConvolutionParameter(**given)
        except ValueError:
            self.fail("its sizes must not be negative")

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, offset = bottoms
        if len(x) != 4 or self.channel_axis(x) != 1:
            self.fail(f"takes a map with 4 axes and channels on axis 1, has {x}")
        window = self.window(x)
        self._check_channels(x[1])
        top = (x[0], self.output_channels(x), *self._output_size(x[2:], window))
        places = 2 * math.prod(window.kernel)
        if len(offset) != 4 or offset[1] % places or (offset[0], *offset[2:]) != (x[0], *top[2:]):
            self.fail(f"takes offsets ({x[0]}, a multiple of {places}, {top[2]}, {top[3]}), has {offset}")
        groups = offset[1] // places
        if x[1] % groups or self.deformable_group not in (None, groups):
            self.fail(
                f"{offset[1]} channels of offsets move {groups} groups of the map's {x[1]} channels, not as asked"
            )
        return [top]

    def _geometry(self, shapes: Sequence[Shape], top: Shape) -> tuple[int, int, np.ndarray, np.ndarray]:
        """Return groups, places of a window, row and column of each unmoved, [1, k, H', W', 2], and the map's size."""
        x, offset = shapes
        window = self.window(x)
        taps = [np.arange(k) * d for k, d in zip(window.kernel, window.dilation, strict=True)]
        starts = [np.arange(n) * s - p for n, s, p in zip(top[2:], window.stride, window.pad, strict=True)]
        rows = taps[0][:, None, None, None] + starts[0][None, None, :, None]
        columns = taps[1][None, :, None, None] + starts[1][None, None, None, :]
        places = np.stack(np.broadcast_arrays(rows, columns), -1).reshape(1, -1, *top[2:], 2)
        count = places.shape[1]
        return offset[1] // (2 * count), count, places.astype(np.float32), np.array(x[2:], np.float32)

    def onnx(self, scope: LayerScope) -> list[str]:
        x, top = scope.bottom_shapes[0], scope.top_shapes[0]
        groups, count, places, size = self._geometry(scope.bottom_shapes, top)
        moved = scope.reshape(scope.bottoms[1], [-1, count, 2, *top[2:]])
        place = scope.op("Add", scope.op("Transpose", moved, perm=[0, 1, 3, 4, 2]), scope.const(places))
        inside = scope.op(
            "And",
            scope.op("GreaterOrEqual", place, scope.const(0.0)),
            scope.op("Less", place, scope.const(size)),
        )
        inside = scope.op("ReduceMin", scope.op("Cast", inside, to=1), axes=[4], keepdims=0)
        grid = scope.op("Add", scope.op("Mul", place, scope.const(2 / size)), scope.const(1 / size - 1))
        grid = scope.op("Gather", grid, scope.ints([1, 0]), axis=4)
        grid = scope.reshape(grid, [-1, count * top[2], top[3], 2])
        values = scope.op(
            "GridSample",
            scope.reshape(scope.bottoms[0], [-1, x[1] // groups, *x[2:]]),
            grid,
            mode="bilinear",
            padding_mode="border",
            align_corners=0,
        )
        values = scope.op("Mul", values, scope.reshape(inside, [-1, 1, count * top[2], top[3]]))
        group = int(self.param.group)
        values = scope.reshape(values, [-1, group, x[1] // group * count, math.prod(top[2:])])
        weight = scope.blobs[0].reshape(1, group, -1, x[1] // group * count)
        y = scope.reshape(scope.op("MatMul", scope.const(weight), values), [-1, *top[1:]])
        if self.param.bias_term:
            y = scope.op("Add", y, scope.const(scope.blobs[1].reshape(1, -1, 1, 1)))
        return [y]

    def torch(self, scope: TorchScope) -> Compute:
        F, x, top, group = scope.F, scope.bottom_shapes[0], scope.top_shapes[0], int(self.param.group)
        groups, count, places, size = self._geometry(scope.bottom_shapes, top)
        scope.learn()
        scope.constant("places", places)
        scope.constant("size", size)
        bias = bool(self.param.bias_term)

        def compute(own: Any, maps: Any, offset: Any) -> list[Any]:
            place = offset.reshape(-1, count, 2, *top[2:]).permute(0, 1, 3, 4, 2) + own.places
            inside = ((place >= 0) & (place < own.size)).all(4)
            grid = ((2 * place + 1) / own.size - 1).flip(4).reshape(-1, count * top[2], top[3], 2)
            values = F.grid_sample(
                maps.reshape(-1, x[1] // groups, *x[2:]), grid, padding_mode="border", align_corners=False
            )
            values = values * inside.reshape(-1, 1, count * top[2], top[3])
            values = values.reshape(-1, group, x[1] // group * count, math.prod(top[2:]))
            y = (own.blob0.reshape(group, -1, x[1] // group * count) @ values).reshape(-1, *top[1:])
            return [y + own.blob1.reshape(-1, 1, 1) if bias else y]

        return compute

    def absorb_after(self, blobs: Sequence[np.ndarray], map_: Affine) -> Folded | None:
        return None

    def absorb_before(self, blobs: Sequence[np.ndarray], map_: Affine) -> Folded | None:
        return None
