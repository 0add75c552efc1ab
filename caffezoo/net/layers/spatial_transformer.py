"""SpatialTransformer: a map sampled where an affine or projective map of places says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.net.layer import Shape, register
from caffezoo.net.layers.flow import Sampling

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

WITH_CORNERS = {"projective": 8, "translation": 2, "translation_scaling": 4}
"""Maps of places that one fork alone has: how many values each takes of a sample."""


@register("SpatialTransformer")
class SpatialTransformer(Sampling):
    """The first bottom under an affine map of places (Jaderberg et al., 2015; ``st_layer.cpp`` of daerduoCarey/caffe).

    The output's pixel (i, j) of H' x W' stands at row ``2 i / H' - 1`` and column ``2 j / W' - 1``. The second bottom
    holds, sample by sample, the two lines of the map of (row, column, 1), less the values that the prototxt fixes as
    ``theta_1_1`` ...; the place found there, -1 .. 1, is pixel ``(1 + r) H / 2``, ``(1 + c) W / 2``, and 0 outside.

    The fork of MarginSoftmaxLoss (``spatial_transformer_layer.cpp``) has corners at -1 and 1, takes (column, row, 1)
    and stays inside of the image: with ``transform_type: "projective"`` eight values are the matrix up to its last, a
    1, and places are divided by its third line; ``"translation_scaling"`` takes scale and shift of columns, then of
    rows, and ``"translation"`` the shifts alone, with the scales ``theta_1_1`` and ``theta_2_2``.
    """

    param_name = "st_param"

    def _fixed(self) -> dict[int, float]:
        names = [f"theta_{i}_{j}" for i in (1, 2) for j in (1, 2, 3)]
        return {i: float(getattr(self.param, name)) for i, name in enumerate(names) if self.param.HasField(name)}

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, theta = bottoms
        kind = self.param.transform_type
        if kind not in ("affine", *WITH_CORNERS) or self.param.sampler_type != "bilinear":
            self.fail(f"a {kind} map with {self.param.sampler_type} sampling is not supported")
        wanted = WITH_CORNERS.get(kind, 6 - len(self._fixed()))
        if len(x) != 4 or not theta or theta[0] != x[0] or int(np.prod(theta[1:])) != wanted:
            self.fail(f"takes a map, and {wanted} values a sample, has {x} and {theta}")
        size = int(self.param.output_H or x[2]), int(self.param.output_W or x[3])
        if kind in WITH_CORNERS and min(size) < 2:
            self.fail(f"a {kind} map takes an output of 2 x 2 pixels at least, has {size}")
        if kind == "translation" and not (self.param.HasField("theta_1_1") and self.param.HasField("theta_2_2")):
            self.fail("a translation takes theta_1_1 and theta_2_2")
        return [(*x[:2], *size)]

    def _places(self, top: Shape) -> np.ndarray:
        """Return row, column and 1 of the output's pixels, [3, H' W']."""
        rows, columns = np.meshgrid(np.arange(top[2]) / top[2], np.arange(top[3]) / top[3], indexing="ij")
        return np.stack([2 * rows.ravel() - 1, 2 * columns.ravel() - 1, np.ones(rows.size)]).astype(np.float32)

    def _expansion(self) -> tuple[np.ndarray, np.ndarray]:
        """Return what makes six values of those that the bottom holds: a matrix, and the fixed ones."""
        fixed = self._fixed()
        free = [i for i in range(6) if i not in fixed]
        matrix, rest = np.zeros((len(free), 6), np.float32), np.zeros(6, np.float32)
        matrix[range(len(free)), free] = 1
        rest[list(fixed)] = list(fixed.values())
        return matrix, rest

    def _matrix_of(self) -> tuple[np.ndarray, np.ndarray]:
        """Return what makes a matrix [3, 3], line by line, of the bottom's values: a matrix, and the fixed entries."""
        kind, rest = self.param.transform_type, np.zeros(9, np.float32)
        places = {"projective": range(8), "translation": (2, 5), "translation_scaling": (0, 2, 4, 5)}[kind]
        rest[8] = 1
        if kind == "translation":
            rest[[0, 4]] = self.param.theta_1_1, self.param.theta_2_2
        return np.eye(9, dtype=np.float32)[list(places)], rest

    @staticmethod
    def _corners(top: Shape) -> np.ndarray:
        """Return column, row and 1 of the output's pixels, -1 and 1 at its corners, [3, H' W']."""
        rows, columns = np.meshgrid(np.linspace(-1, 1, top[2]), np.linspace(-1, 1, top[3]), indexing="ij")
        return np.stack([columns.ravel(), rows.ravel(), np.ones(rows.size)]).astype(np.float32)

    def onnx(self, scope: LayerScope) -> list[str]:
        x, top = scope.bottom_shapes[0], scope.top_shapes[0]
        if self.param.transform_type in WITH_CORNERS:
            matrix, rest = self._matrix_of()
            theta = scope.op("MatMul", scope.reshape(scope.bottoms[1], [0, len(matrix)]), scope.const(matrix))
            theta = scope.reshape(scope.op("Add", theta, scope.const(rest)), [0, 3, 3])
            place = scope.op("MatMul", theta, scope.const(self._corners(top)))
            flat, depth = (scope.op("Gather", place, scope.ints(lines), axis=1) for lines in ([0, 1], [2]))
            grid = scope.op("Transpose", scope.op("Div", flat, depth), perm=[0, 2, 1])
            grid = scope.reshape(grid, [0, top[2], top[3], 2])
            settings = {"mode": "bilinear", "padding_mode": "border", "align_corners": 1}
            return [scope.op("GridSample", scope.bottoms[0], grid, **settings)]
        matrix, rest = self._expansion()
        theta = scope.reshape(scope.bottoms[1], [0, len(matrix)])
        theta = scope.op("Add", scope.op("MatMul", theta, scope.const(matrix)), scope.const(rest))
        place = scope.op("MatMul", scope.reshape(theta, [0, 2, 3]), scope.const(self._places(top)))
        place = scope.op("Gather", place, scope.ints([1, 0]), axis=1)  # column, then row
        place = scope.op("Transpose", place, perm=[0, 2, 1])
        grid = scope.op("Add", place, scope.const(np.array([1 / x[3], 1 / x[2]])))
        return [self._sampled(scope, scope.reshape(grid, [0, top[2], top[3], 2]), "zeros")]

    def torch(self, scope: TorchScope) -> Compute:
        F, x, top = scope.F, scope.bottom_shapes[0], scope.top_shapes[0]
        corners = self.param.transform_type in WITH_CORNERS
        matrix, rest = self._matrix_of() if corners else self._expansion()
        scope.constant("matrix", matrix)
        scope.constant("rest", rest)
        scope.constant("places", self._corners(top) if corners else self._places(top))
        scope.constant("offset", np.array([1 / x[3], 1 / x[2]]))

        def compute(own: Any, x: Any, theta: Any) -> list[Any]:
            if corners:
                place = (theta.flatten(1) @ own.matrix + own.rest).reshape(-1, 3, 3) @ own.places
                grid = (place[:, :2] / place[:, 2:]).transpose(1, 2).reshape(-1, top[2], top[3], 2)
                return [F.grid_sample(x, grid, padding_mode="border", align_corners=True)]
            theta = (theta.flatten(1) @ own.matrix + own.rest).reshape(-1, 2, 3)
            place = (theta @ own.places).flip(1).transpose(1, 2) + own.offset
            return [F.grid_sample(x, place.reshape(-1, top[2], top[3], 2), align_corners=False)]

        return compute
