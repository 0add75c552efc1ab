"""HyperColumns: the features of every pixel, out of maps of several sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.net.layer import Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("HyperColumns")
class HyperColumns(Layer):
    """One row a pixel of the first bottom [N, 3, H, W]: all maps' features there, and the normal that its colour codes.

    Tops: [N H W, channels of all maps], interpolated as if a map's pixel covered ``H // h`` pixels of the first bottom,
    and [N H W, 3], ``x / 128 - 1``. Source: ``hypercolumns_layer.cpp`` of Jiang Qinhong, with ``is_train: false``; with
    ``is_train`` it draws 1000 pixels at random, which is refused.
    """

    param_name = "hypercolumns_param"
    bottom_count = (2, None)
    top_count = (2, 2)
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        normals, *maps = bottoms
        if self.param.is_train:
            self.fail("draws pixels at random", hint="say hypercolumns_param { is_train: false }")
        if any(len(b) != 4 or b[0] != normals[0] for b in bottoms) or normals[1] != 3:
            self.fail(f"takes normals [N, 3, H, W] and maps of N images, has {[list(b) for b in bottoms]}")
        for b in maps:
            step = normals[2] // b[2]
            if step < 1 or any((d - 0.5) / step - 0.5 >= size for d, size in zip(normals[2:], b[2:], strict=True)):
                self.fail(f"a map of {b[2:]} does not cover {normals[2:]}")
        rows = normals[0] * math.prod(normals[2:])
        return [(rows, sum(b[1] for b in maps)), (rows, 3)]

    @staticmethod
    def _weights(size: int, out: int, step: int) -> np.ndarray:
        """Return the interpolation along an axis, [out, in]."""
        place = np.arange(out) / step + 1 / (2 * step) - 0.5
        low = np.floor(place).astype(int)
        part = place - low
        matrix = np.zeros((out, size), np.float32)
        np.add.at(matrix, (np.arange(out), low.clip(0, size - 1)), 1 - part)
        np.add.at(matrix, (np.arange(out), (low + 1).clip(0, size - 1)), part)
        return matrix

    def _matrices(self, bottoms: Sequence[Shape]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the weights of every map along height and along width."""
        (_, _, height, width), *maps = bottoms
        return [(self._weights(b[2], height, height // b[2]), self._weights(b[3], width, height // b[2])) for b in maps]

    def onnx(self, scope: LayerScope) -> list[str]:
        def rows(x: str, channels: int) -> str:
            return scope.reshape(scope.op("Transpose", x, perm=[0, 2, 3, 1]), [-1, channels])

        found = []
        for x, (high, wide) in zip(scope.bottoms[1:], self._matrices(scope.bottom_shapes), strict=True):
            across = scope.op("MatMul", x, scope.const(np.ascontiguousarray(wide.T)))
            found.append(scope.op("MatMul", scope.const(high), across))
        columns = scope.op("Concat", *found, axis=1) if len(found) > 1 else found[0]
        normals = scope.op("Sub", scope.op("Mul", scope.bottoms[0], scope.const(1 / 128)), scope.const(1.0))
        return [rows(columns, scope.top_shapes[0][1]), rows(normals, 3)]

    def torch(self, scope: TorchScope) -> Compute:
        torch, count = scope.torch, len(scope.bottom_shapes) - 1
        for i, (high, wide) in enumerate(self._matrices(scope.bottom_shapes)):
            scope.constant(f"high{i}", high)
            scope.constant(f"wide{i}", wide)

        def compute(own: Any, normals: Any, *maps: Any) -> list[Any]:
            found = [getattr(own, f"high{i}") @ maps[i] @ getattr(own, f"wide{i}").T for i in range(count)]
            tops = torch.cat(found, 1), normals / 128 - 1
            return [y.permute(0, 2, 3, 1).reshape(-1, y.shape[1]) for y in tops]

        return compute
