"""Warping: an image moved by a flow, in two forks' ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.net.layer import Shape, register
from caffezoo.net.layers.flow import Sampling

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("Warping")
class Warping(Sampling):
    """The first bottom at ``(x + u, y + v)`` of every pixel, bilinearly.

    With bottoms u and v [N, 1, H, W] (``warping_layer.cu`` of Ravi-Garg/Unsupervised_Depth_Estimation) a place that has
    not four pixels around it, 0 <= x < W - 1 and 0 <= y < H - 1, gives 0; the source's gradient of u and v is the
    central difference of what it gives, 0 at the edges, and none goes to the image. With one bottom [N, 2, H, W] of
    both (``warping_layer.cu`` of lxx1991/caffe_mpi) pixels outside are those of the border, and the gradient is the
    function's.
    """

    bottom_count = (2, 3)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, *flow = bottoms
        wanted = (x[0], 2 // len(flow), *x[2:])
        if len(x) != 4 or any(f != wanted for f in flow):
            self.fail(f"takes a map [N, C, H, W] and u and v, apart or in one bottom, has {x} and {flow}")
        return [x]

    @staticmethod
    def _pixels(shape: Shape) -> np.ndarray:
        """Return column and row of every pixel, [1, H, W, 2]."""
        rows, columns = np.indices(shape[2:])
        return np.stack([columns, rows], -1)[None].astype(np.float32)

    def onnx(self, scope: LayerScope) -> list[str]:
        shape = scope.bottom_shapes[0]
        size = np.array([shape[3], shape[2]], np.float32)
        apart = len(scope.bottoms) == 3
        flow = scope.op("Concat", *scope.bottoms[1:], axis=1) if apart else scope.bottoms[1]
        place = scope.op("Add", scope.op("Transpose", flow, perm=[0, 2, 3, 1]), scope.const(self._pixels(shape)))
        grid = scope.op("Add", scope.op("Mul", place, scope.const(2 / size)), scope.const(1 / size - 1))
        moved = self._sampled(scope, grid, "border")
        if not apart:
            return [moved]
        below = scope.op("Less", place, scope.const(size - 1))
        inside = scope.op("And", scope.op("GreaterOrEqual", place, scope.const(0.0)), below)
        inside = scope.op("ReduceMin", scope.op("Cast", inside, to=1), axes=[3], keepdims=0)
        return [scope.op("Mul", moved, scope.op("Unsqueeze", inside, scope.ints([1])))]

    def torch(self, scope: TorchScope) -> Compute:
        torch, F, shape = scope.torch, scope.F, scope.bottom_shapes[0]
        scope.constant("pixels", self._pixels(shape))
        scope.constant("size", np.array([shape[3], shape[2]], np.float32))

        def moved(own: Any, x: Any, flow: Any) -> tuple[Any, Any]:
            place = flow.permute(0, 2, 3, 1) + own.pixels
            grid = (2 * place + 1) / own.size - 1
            inside = ((place >= 0) & (place < own.size - 1)).all(3).unsqueeze(1)
            return F.grid_sample(x, grid, padding_mode="border", align_corners=False), inside

        def apart(own: Any, x: Any, u: Any, v: Any) -> list[Any]:
            with torch.no_grad():
                y, inside = moved(own, x, torch.cat([u, v], 1))
                y = y * inside
                across, down = torch.zeros_like(y), torch.zeros_like(y)
                across[..., 1:-1] = (y[..., 2:] - y[..., :-2]) / 2
                down[..., 1:-1, :] = (y[..., 2:, :] - y[..., :-2, :]) / 2
            return [y + across * (u - u.detach()) + down * (v - v.detach())]

        if len(scope.bottom_shapes) == 3:
            return apart
        return lambda own, x, flow: [moved(own, x, flow)[0]]
