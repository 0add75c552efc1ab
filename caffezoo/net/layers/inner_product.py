"""InnerProduct: Caffe's fully connected layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Affine, Folded, Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

NORM_EPSILON = 1e-6
"""What ``normalize`` adds to the sum of squares of a row."""


@register("InnerProduct")
class InnerProduct(Layer):
    """``y = x W^T + b`` over the axes from ``axis`` on, flattened to K values; top [bottom axes before, N].

    Blobs: weight [N, K] ([K, N] with ``transpose``), bias [N] unless ``bias_term: false``.

    NormFace's and AM-Softmax's fork (``inner_product_layer.cpp`` of happynear/caffe-windows): ``normalize`` divides
    every row of the weight by ``sqrt(sum w^2 + 1e-6)``, and W and b may be the second and third bottom.
    """

    param_name = "inner_product_param"
    bottom_count = (1, 3)
    idle_fields = frozenset({"inner_distance_param"})

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if self.param.normalize and self.param.transpose:
            self.fail("normalize with transpose is not supported: the fork takes the weight's memory for rows")
        if len(bottoms) > 1:
            return [self._given_weight(bottoms)]
        if self.param.num_output == 0:
            self.fail("num_output must be positive")
        return [(*bottoms[0][: self._start(bottoms[0])], int(self.param.num_output))]

    def _given_weight(self, bottoms: Sequence[Shape]) -> Shape:
        """Return the top's shape where the weight is a bottom."""
        x, weight, *bias = bottoms
        lead, inner = x[: self._start(x)], math.prod(x[self._start(x) :])
        if self.param.transpose or self.param.normalize:
            self.fail("transpose and normalize are not supported with a weight that is a bottom")
        if not weight or math.prod(weight[1:]) != inner:
            self.fail(f"takes a weight of {inner} values a row, has {weight}")
        if bool(bias) != self.param.bias_term or any(math.prod(b) != weight[0] for b in bias):
            self.fail(f"takes a third bottom of {weight[0]} values, or bias_term: false")
        return (*lead, weight[0])

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if len(bottoms) > 1:
            return []
        n, k = int(self.param.num_output), math.prod(bottoms[0][self._start(bottoms[0]) :])
        weight = (k, n) if self.param.transpose else (n, k)
        return [weight, (n,)] if self.param.bias_term else [weight]

    @property
    def is_usual(self) -> bool:
        """Whether the layer multiplies by its blobs as they are."""
        return len(self.proto.bottom) == 1 and not self.param.normalize

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return self._start(bottoms[0]) == 0

    def _start(self, bottom: Shape) -> int:
        return self.axis(self.param.axis, len(bottom))

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Return rows x K x N; the bias is not counted."""
        return math.prod(bottoms[0]) * tops[0][-1]

    def kernel(self, blobs: Sequence[np.ndarray], bottoms: Sequence[Shape]) -> np.ndarray | None:
        if not self.is_usual:
            return None
        weight = blobs[0].T if self.param.transpose else blobs[0]
        return weight.reshape(len(weight), *bottoms[0][self._start(bottoms[0]) :])

    def sliding(self, blobs: Sequence[np.ndarray], bottoms: Sequence[Shape]) -> Folded | None:
        if self._start(bottoms[0]) != 1 or not self.is_usual:
            return None
        shape = bottoms[0] if len(bottoms[0]) == 4 else (*bottoms[0], 1, 1)
        kernel = self.kernel(blobs, [shape])
        if kernel is None or kernel.ndim != 4:
            return None
        proto = pb.LayerParameter()
        proto.CopyFrom(self.proto)
        proto.type = "Convolution"
        proto.ClearField("inner_product_param")
        settings = proto.convolution_param
        settings.num_output, settings.bias_term = self.param.num_output, self.param.bias_term
        settings.kernel_h, settings.kernel_w = kernel.shape[2:]
        return Folded(proto, (np.ascontiguousarray(kernel), *blobs[1:]))

    def absorb_after(self, blobs: Sequence[np.ndarray], map_: Affine) -> Folded | None:
        if self.param.axis != 1 or map_.a.size != self.param.num_output or not self.is_usual:
            return None
        weight, bias = self._float64(blobs)
        return self._folded(weight * map_.a[:, None], map_.a * bias + map_.b, blobs[0].dtype)

    def absorb_before(self, blobs: Sequence[np.ndarray], map_: Affine) -> Folded | None:
        if not self.is_usual:
            return None
        weight, bias = self._float64(blobs)
        if self.param.axis != 1 or weight.shape[1] % map_.a.size:
            return None
        area = weight.shape[1] // map_.a.size
        bias = bias + weight @ np.repeat(map_.b, area)
        return self._folded(weight * np.repeat(map_.a, area), bias, blobs[0].dtype)

    def _float64(self, blobs: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return weight [N, K] and bias [N]."""
        weight = np.asarray(blobs[0], np.float64)
        weight = weight.T if self.param.transpose else weight
        return weight, np.asarray(blobs[1], np.float64) if self.param.bias_term else np.zeros(len(weight))

    def _folded(self, weight: np.ndarray, bias: np.ndarray, dtype: Any) -> Folded:
        proto = pb.LayerParameter()
        proto.CopyFrom(self.proto)
        proto.inner_product_param.ClearField("bias_term")
        weight = weight.T if self.param.transpose else weight
        return Folded(proto, (np.ascontiguousarray(weight, dtype), bias.astype(dtype)))

    def unit_rows(self, weight: Any) -> Any:
        """Return a weight [N, K] with ``normalize``'s rows, of an array or a tensor."""
        return (
            weight / ((weight * weight).sum(1).reshape(-1, 1) + NORM_EPSILON) ** 0.5 if self.param.normalize else weight
        )

    def onnx(self, scope: LayerScope) -> list[str]:
        shape, x = scope.bottom_shapes[0], scope.bottoms[0]
        start = self._start(shape)
        given = [
            scope.reshape(b, [-1, *((math.prod(s[1:]),) if i == 0 else ())])
            for i, (b, s) in enumerate(zip(scope.bottoms[1:], scope.bottom_shapes[1:], strict=True))
        ]
        if start == 0:
            scope.fix_batch()
            x = scope.reshape(x, [math.prod(shape)])
        if start == 1:
            if len(shape) > 2:
                x = scope.op("Flatten", x, axis=1)
            blobs = given or [scope.blob(i) for i in range(len(scope.blobs))]
            if self.param.normalize:
                blobs[0] = scope.const(self.unit_rows(scope.blobs[0]))
            return [scope.op("Gemm", x, *blobs, transB=0 if self.param.transpose else 1)]
        if 0 < start < len(shape) - 1:
            x = scope.reshape(x, [0, *shape[1:start], math.prod(shape[start:])])
        if given:
            y = scope.op("MatMul", x, scope.op("Transpose", given[0], perm=[1, 0]))
            return [scope.op("Add", y, given[1]) if self.param.bias_term else y]
        weight = scope.blobs[0] if self.param.transpose else self.unit_rows(scope.blobs[0]).T
        y = scope.op("MatMul", x, scope.const(np.ascontiguousarray(weight)))
        return [scope.op("Add", y, scope.blob(1)) if self.param.bias_term else y]

    def torch(self, scope: TorchScope) -> Compute:
        F, start, transposed = scope.F, self._start(scope.bottom_shapes[0]), self.param.transpose
        has_bias = bool(self.param.bias_term)
        scope.learn()

        def compute(own: Any, x: Any, *given: Any) -> list[Any]:
            if given:
                return [F.linear(x.flatten(start), given[0].flatten(1), given[1].flatten() if has_bias else None)]
            weight = own.blob0.T if transposed else self.unit_rows(own.blob0)
            return [F.linear(x.flatten(start), weight, own.blob1 if has_bias else None)]

        return compute
