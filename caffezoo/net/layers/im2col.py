"""Im2col: the windows of a convolution, side by side in the channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.net.layer import Affine, Folded, Shape, register
from caffezoo.net.layers.convolution import ConvolutionBase

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

LARGEST_WINDOW = 1 << 16
"""Most values a window: every one becomes a channel."""


@register("Im2col")
class Im2col(ConvolutionBase):
    """Channel ``(c K + k)`` of the top is value k of the windows over channel c (``im2col_layer.cpp`` of BVLC)."""

    bottom_count = (1, 1)
    top_count = (1, 1)
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, axis = bottoms[0], self.channel_axis(bottoms[0])
        if axis == len(x) - 1:
            self.fail(f"takes a blob with an axis behind the channels, has {x}")
        window = self.window(x)
        if math.prod(window.kernel) > LARGEST_WINDOW:
            self.fail(f"a window of {math.prod(window.kernel)} values is more than {LARGEST_WINDOW}")
        spatial = tuple(
            (size + sum(pads) - e) // s + 1
            for size, pads, e, s in zip(
                x[axis + 1 :], zip(window.pad, window.end_pad, strict=True), window.extent, window.stride, strict=True
            )
        )
        return [(*x[:axis], x[axis] * math.prod(window.kernel), *spatial)]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return []

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return 0

    def kernel(self, blobs: Sequence[np.ndarray], bottoms: Sequence[Shape]) -> np.ndarray | None:
        return None

    def absorb_after(self, blobs: Sequence[np.ndarray], map_: Affine) -> Folded | None:
        return None

    def absorb_before(self, blobs: Sequence[np.ndarray], map_: Affine) -> Folded | None:
        return None

    def onnx(self, scope: LayerScope) -> list[str]:
        shape = scope.bottom_shapes[0]
        window, channels = self.window(shape), shape[1]
        if self.channel_axis(shape) != 1 or len(shape) > 5:
            raise scope.refuse("only channels on axis 1 and one to three spatial axes have an ONNX form")
        size = math.prod(window.kernel)  # a convolution whose kernels each pick one value
        one = np.eye(size, dtype=np.float32).reshape(size, 1, *window.kernel)
        picks = np.tile(one, (channels, *(1 for _ in shape[1:])))
        return [
            scope.op(
                "Conv",
                scope.bottoms[0],
                scope.const(picks),
                kernel_shape=list(window.kernel),
                strides=list(window.stride),
                dilations=list(window.dilation),
                pads=[*window.pad, *window.end_pad],
                group=channels,
            )
        ]

    def torch(self, scope: TorchScope) -> Compute:
        shape, top, F = scope.bottom_shapes[0], scope.top_shapes[0], scope.F
        window = self.window(shape)
        if self.channel_axis(shape) != 1 or len(shape) != 4 or window.end_pad != window.pad:
            raise scope.refuse("only channels on axis 1 and two spatial axes have a torch form")

        def compute(own: Any, x: Any) -> list[Any]:
            y = F.unfold(x, window.kernel, window.dilation, window.pad, window.stride)
            return [y.reshape(-1, *top[1:])]

        return compute
