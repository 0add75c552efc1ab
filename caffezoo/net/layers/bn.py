"""BN of forks: batch normalisation and its affine map in one layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Affine, Folded, Layer, Shape, register
from caffezoo.net.layers.affine import scale_layer

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

SEGNET_EPS = 1e-9


@register("BN")
class BN(Layer):
    """``slope (x - mean) / sqrt(variance + eps) + bias`` per channel, of blobs [1, C, 1, 1].

    PSPNet's and ICNet's fork (``bn_layer.cpp`` of yjxiong/caffe): blobs slope, bias, mean, variance; these statistics
    are used at TEST and where ``frozen``. SegNet's and ENet's (``bn_layer.cpp`` of alexgkendall/caffe-segnet), known by
    ``scale_filler``, ``shift_filler`` or ``bn_mode``: blobs scale and shift; with ``bn_mode: INFERENCE`` the statistics
    are part of them, else mean and variance are the batch's own, with an eps of 1e-9.
    """

    param_name = "bn_param"

    @property
    def is_segnet(self) -> bool:
        """Whether it has two blobs."""
        words = ("scale_filler", "shift_filler", "bn_mode")
        other = any(self.param.HasField(word) for word in ("slope_filler", "bias_filler", "frozen", "momentum"))
        return any(self.param.HasField(word) for word in words) or (len(self.proto.param) == 2 and not other)

    @property
    def uses_batch(self) -> bool:
        """Whether mean and variance are the batch's own."""
        if self.is_segnet:
            return bool(self.param.bn_mode != pb.BNParameter.INFERENCE)
        return self.phase == pb.TRAIN and not self.param.frozen

    @property
    def eps(self) -> float:
        return SEGNET_EPS if self.is_segnet else float(self.param.eps)

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return self.uses_batch

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if len(bottoms[0]) < 2:
            self.fail(f"takes a blob with channels on axis 1, has {bottoms[0]}")
        return [bottoms[0]]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [(1, bottoms[0][1], 1, 1)] * (2 if self.is_segnet else 4)

    def numbers(self, blobs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        names = ("gamma", "beta", "mean", "variance")
        found = {name: np.asarray(b, np.float64).reshape(-1) for name, b in zip(names, blobs, strict=False)}
        return found | {"epsilon": np.array([self.eps])}

    def affine(self, blobs: Sequence[np.ndarray], channels: int) -> Affine | None:
        return None if self.uses_batch else self._map(blobs)

    def why_not_affine(self) -> str | None:
        return "it uses the statistics of the batch, not stored ones" if self.uses_batch else None

    def absorb_after(self, blobs: Sequence[np.ndarray], map_: Affine) -> Folded | None:
        if self.uses_batch:
            return None
        own = self._map(blobs)
        return scale_layer(self.proto, map_.a * own.a, map_.a * own.b + map_.b, blobs[0].dtype)

    def absorb_before(self, blobs: Sequence[np.ndarray], map_: Affine) -> Folded | None:
        if self.uses_batch:
            return None
        own = self._map(blobs)
        return scale_layer(self.proto, own.a * map_.a, own.a * map_.b + own.b, blobs[0].dtype)

    def _map(self, blobs: Sequence[np.ndarray]) -> Affine:
        slope, bias, *statistics = (np.asarray(b, np.float64).reshape(-1) for b in blobs)
        if statistics:
            with np.errstate(invalid="ignore", divide="ignore"):
                slope = slope / np.sqrt(statistics[1] + self.eps)
            bias = bias - statistics[0] * slope
        return Affine(slope, bias)

    def onnx(self, scope: LayerScope) -> list[str]:
        shape, x = scope.bottom_shapes[0], scope.bottoms[0]
        line = (1, shape[1], *(1 for _ in shape[2:]))
        if not self.uses_batch:
            own = self._map(scope.blobs)
            y = scope.op("Mul", x, scope.const(own.a.reshape(line)))
            return [scope.op("Add", y, scope.const(own.b.reshape(line)))]
        over = [i for i in range(len(shape)) if i != 1]
        x = scope.op("Sub", x, scope.op("ReduceMean", x, axes=over, keepdims=1))
        variance = scope.op("ReduceMean", scope.op("Mul", x, x), axes=over, keepdims=1)
        x = scope.op("Div", x, scope.op("Sqrt", scope.op("Add", variance, scope.const(self.eps))))
        slope, bias = (scope.const(b.reshape(line)) for b in scope.blobs[:2])
        return [scope.op("Add", scope.op("Mul", x, slope), bias)]

    def torch(self, scope: TorchScope) -> Compute:
        F, eps, line = scope.F, self.eps, (1, -1, *(1 for _ in scope.bottom_shapes[0][2:]))
        scope.learn(0, 1)
        if not self.is_segnet:
            scope.statistic(2, 3)
        if not self.uses_batch and self.is_segnet:
            return lambda own, x: [x * own.blob0.reshape(line) + own.blob1.reshape(line)]
        kept, batch = float(self.param.momentum), self.uses_batch

        def compute(own: Any, x: Any) -> list[Any]:
            slope, bias = own.blob0.reshape(-1), own.blob1.reshape(-1)
            if not batch:
                return [F.batch_norm(x, own.blob2.reshape(-1), own.blob3.reshape(-1), slope, bias, False, 0.0, eps)]
            if own.training and not self.is_segnet:
                over = [i for i in range(x.dim()) if i != 1]
                mean, variance = x.detach().mean(over), x.detach().var(over, unbiased=False)
                own.blob2.mul_(kept).add_((1 - kept) * mean.reshape(own.blob2.shape))
                own.blob3.mul_(kept).add_((1 - kept) * variance.reshape(own.blob3.shape))
            return [F.batch_norm(x, None, None, slope, bias, True, 0.0, eps)]

        return compute
