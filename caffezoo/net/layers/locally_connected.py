"""Local: a convolution with weights of its own at every place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.net.layer import Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("Local")
class Local(Layer):
    """``y[m, p] = sum_k W[m, k, p] x[k, p] + b[m, p]``: k runs over the window's values at place p, channels first.

    Blobs: W [num_output, 1, C kernel^2, H' W'] and b [1, 1, num_output, H' W'] (``local_layer.cpp`` of the forks that
    took it from BVLC's pull request 1271).
    """

    param_name = "local_param"
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, p = bottoms[0], self.param
        if len(x) != 4:
            self.fail(f"takes a map with 4 axes, has {x}")
        if p.num_output < 1 or p.kernel_size < 1 or p.stride < 1:
            self.fail("num_output, kernel_size and stride must be positive")
        if min(x[2:]) < p.kernel_size:
            self.fail(f"a kernel of {p.kernel_size} px does not fit {x[2:]}")
        size = tuple((d + 2 * int(p.pad) - int(p.kernel_size)) // int(p.stride) + 1 for d in x[2:])
        return [(x[0], int(p.num_output), *size)]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        _, outputs, *size = self.top_shapes(bottoms)[0]
        places = math.prod(size)
        weight = (outputs, 1, bottoms[0][1] * int(self.param.kernel_size) ** 2, places)
        return [weight, (1, 1, outputs, places)] if self.param.bias_term else [weight]

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Return every weight once a sample."""
        return bottoms[0][0] * math.prod(self.blob_shapes(bottoms)[0])

    def _windows(self, bottom: Shape, top: Shape) -> np.ndarray:
        """Return where the windows' values lie in a padded channel, [kernel^2, H' W']."""
        side, step, wide = int(self.param.kernel_size), int(self.param.stride), bottom[3] + 2 * int(self.param.pad)
        values = np.arange(side)[:, None] * wide + np.arange(side)
        corners = np.arange(top[2])[:, None] * step * wide + np.arange(top[3]) * step
        return values.reshape(-1, 1) + corners.reshape(1, -1)

    def onnx(self, scope: LayerScope) -> list[str]:
        (_, channels, high, wide), top = scope.bottom_shapes[0], scope.top_shapes[0]
        pad, x = int(self.param.pad), scope.bottoms[0]
        if pad:
            x = scope.op("Pad", x, scope.ints([0, 0, pad, pad] * 2), scope.const(0.0))
        x = scope.reshape(x, [0, channels, (high + 2 * pad) * (wide + 2 * pad)])
        windows = scope.op("Gather", x, scope.const(self._windows(scope.bottom_shapes[0], top), np.int64), axis=2)
        places = math.prod(top[2:])
        windows = scope.reshape(windows, [0, channels * int(self.param.kernel_size) ** 2, places])
        windows = scope.op("Transpose", windows, perm=[2, 0, 1])
        weight = scope.const(np.ascontiguousarray(scope.blobs[0][:, 0].transpose(2, 1, 0)))
        y = scope.op("Transpose", scope.op("MatMul", windows, weight), perm=[1, 2, 0])
        if self.param.bias_term:
            y = scope.op("Add", y, scope.const(scope.blobs[1].reshape(1, top[1], places)))
        return [scope.reshape(y, [0, *top[1:]])]

    def torch(self, scope: TorchScope) -> Compute:
        torch, F, top, bias = scope.torch, scope.F, scope.top_shapes[0], bool(self.param.bias_term)
        window = {"kernel_size": int(self.param.kernel_size), "padding": int(self.param.pad)}
        step = int(self.param.stride)
        scope.learn()

        def compute(own: Any, x: Any) -> list[Any]:
            y = torch.einsum("nkp,mkp->nmp", F.unfold(x, stride=step, **window), own.blob0[:, 0])
            y = y + own.blob1[0] if bias else y
            return [y.reshape(-1, *top[1:])]

        return compute
