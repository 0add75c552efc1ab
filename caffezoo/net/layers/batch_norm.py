"""BatchNorm, BVLC's three blobs and NVCaffe's five."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Affine, Folded, Layer, PlainForm, Shape, register
from caffezoo.net.layers.affine import scale_layer

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("BatchNorm")
class BatchNorm(Layer):
    """``(x - mean / f) / sqrt(variance / f + eps)`` per channel (axis 1), with 1 / f taken as 0 where f is 0.

    Blobs: mean [C], variance [C], factor f [1]; with NVCaffe's ``scale_bias`` also gamma [C] and beta [C], applied
    after. Without global statistics (phase TRAIN, or ``use_global_stats: false``) mean and biased variance are the
    batch's own.
    """

    param_name = "batch_norm_param"

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if len(bottoms[0]) < 2:
            self.fail(f"takes a blob with channels on axis 1, has {bottoms[0]}")
        return [bottoms[0]]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        channels: Shape = bottoms[0][1:2]
        return [channels, channels, (1,)] + [channels] * (2 if self.param.scale_bias else 0)

    def fillers(self, count: int) -> list[pb.FillerParameter]:
        gamma = self.param.scale_filler if self.param.HasField("scale_filler") else pb.FillerParameter(value=1)
        return [*(pb.FillerParameter() for _ in range(3)), gamma, self.param.bias_filler][:count]

    def parameter_count(self, bottoms: Sequence[Shape]) -> int:
        """Return the values of mean and variance (and gamma and beta); the factor is bookkeeping."""
        return super().parameter_count(bottoms) - 1

    @property
    def uses_global_stats(self) -> bool:
        """Whether the learned mean and variance are in force; by default in phase TEST."""
        if self.param.HasField("use_global_stats"):
            return bool(self.param.use_global_stats)
        return self.phase != pb.TRAIN

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return not self.uses_global_stats

    def numbers(self, blobs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        mean, variance, factor = (np.asarray(b, np.float64).reshape(-1) for b in blobs[:3])
        inverse = 0.0 if factor[0] == 0 else 1.0 / factor[0]
        found = {"mean": mean * inverse, "variance": variance * inverse, "epsilon": np.array([float(self.param.eps)])}
        return found | {name: np.asarray(b, np.float64) for name, b in zip(("gamma", "beta"), blobs[3:], strict=False)}

    def unscaled(self, blobs: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        found = self.numbers(blobs)
        mean, variance = (np.asarray(found[k], np.float32) for k in ("mean", "variance"))
        return [mean.reshape(blobs[0].shape), variance.reshape(blobs[1].shape), np.ones_like(blobs[2]), *blobs[3:]]

    def affine(self, blobs: Sequence[np.ndarray], channels: int) -> Affine | None:
        return self._map(blobs) if self.uses_global_stats else None

    def why_not_affine(self) -> str | None:
        return None if self.uses_global_stats else "it uses the statistics of the batch, not stored ones"

    def absorb_after(self, blobs: Sequence[np.ndarray], map_: Affine) -> Folded | None:
        if not self.uses_global_stats:
            return None
        own = self._map(blobs)
        return scale_layer(self.proto, map_.a * own.a, map_.a * own.b + map_.b, blobs[0].dtype)

    def absorb_before(self, blobs: Sequence[np.ndarray], map_: Affine) -> Folded | None:
        if not self.uses_global_stats:
            return None
        own = self._map(blobs)
        return scale_layer(self.proto, own.a * map_.a, own.a * map_.b + own.b, blobs[0].dtype)

    def _map(self, blobs: Sequence[np.ndarray]) -> Affine:
        mean, variance, factor = (np.asarray(b, np.float64).reshape(-1) for b in blobs[:3])
        inverse = 0.0 if factor[0] == 0 else 1.0 / factor[0]
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = 1.0 / np.sqrt(variance * inverse + self.param.eps)
        if self.param.scale_bias:
            scale = scale * np.asarray(blobs[3], np.float64).reshape(-1)
        shift = -mean * inverse * scale
        if self.param.scale_bias:
            shift = shift + np.asarray(blobs[4], np.float64).reshape(-1)
        return Affine(scale, shift)

    def onnx(self, scope: LayerScope) -> list[str]:
        shape, x = scope.bottom_shapes[0], scope.bottoms[0]
        line = (1, shape[1], *(1 for _ in shape[2:]))
        if self.uses_global_stats:
            own = self._map(scope.blobs)
            scale, shift = own.a.reshape(line), own.b.reshape(line)
            return [scope.op("Add", scope.op("Mul", x, scope.const(scale)), scope.const(shift))]
        over = [i for i in range(len(shape)) if i != 1]
        x = scope.op("Sub", x, scope.op("ReduceMean", x, axes=over, keepdims=1))
        variance = scope.op("ReduceMean", scope.op("Mul", x, x), axes=over, keepdims=1)
        x = scope.op("Div", x, scope.op("Sqrt", scope.op("Add", variance, scope.const(self.param.eps))))
        if self.param.scale_bias:
            gamma, beta = (scope.const(b.reshape(line)) for b in scope.blobs[3:])
            x = scope.op("Add", scope.op("Mul", x, gamma), beta)
        return [x]

    def param_specs(self, count: int) -> list[pb.ParamSpec]:
        """Return the specs with a learning rate of 0 for the statistics, which the layer keeps itself.

        Raises
        ------
        ShapeError
            A statistic is given another rate, which Caffe refuses.
        """
        specs = []
        for i, given in enumerate(super().param_specs(count)):
            spec = pb.ParamSpec()
            spec.CopyFrom(given)
            if i < 3:
                if i < len(self.proto.param) and given.lr_mult:
                    self.fail("its statistics cannot be trained", hint="give the first three param lr_mult: 0")
                spec.lr_mult = 0.0
            specs.append(spec)
        return specs

    def torch(self, scope: TorchScope) -> Compute:
        F, torch, eps, learned = scope.F, scope.torch, self.param.eps, bool(self.param.scale_bias)
        scope.statistic(0, 1, 2)
        if learned:
            scope.learn(3, 4)
        if self.uses_global_stats:

            def with_global(own: Any, x: Any) -> list[Any]:
                factor = own.blob2.float()
                inverse = torch.where(factor == 0, factor, 1 / factor)
                statistics = (own.blob0 * inverse, own.blob1 * inverse)
                affine = (own.blob3, own.blob4) if learned else (None, None)
                return [F.batch_norm(x, *statistics, *affine, False, 0.0, eps)]

            return with_global
        kept = float(self.param.moving_average_fraction)

        def with_batch(own: Any, x: Any) -> list[Any]:
            affine = (own.blob3, own.blob4) if learned else (None, None)
            if not own.training:
                return [F.batch_norm(x, None, None, *affine, True, 0.0, eps)]
            # At momentum 1 torch leaves the batch's own mean and its variance times m / (m - 1), as Caffe adds them up.
            mean, variance = torch.zeros_like(own.blob0), torch.zeros_like(own.blob1)
            if x.numel() == x.shape[1]:  # one value a channel, which torch refuses: it is its own mean
                own.blob2.mul_(kept).add_(1)
                own.blob0.mul_(kept).add_(x.detach().reshape(-1))
                own.blob1.mul_(kept)
                return [F.batch_norm(x - x, mean, variance, *affine, False, 0.0, eps)]
            y = F.batch_norm(x, mean, variance, *affine, True, 1.0, eps)
            with torch.no_grad():
                own.blob2.mul_(kept).add_(1)
                own.blob0.mul_(kept).add_(mean)
                own.blob1.mul_(kept).add_(variance)
            return [y]

        return with_batch

    def plain(self, bottoms: Sequence[Shape]) -> PlainForm | None:
        extras = [f for f in ("scale_bias", "scale_filler", "bias_filler") if self.param.HasField(f)]
        if not extras:
            return None
        norm = pb.LayerParameter()
        norm.CopyFrom(self.proto)
        for extra in extras:
            norm.batch_norm_param.ClearField(extra)
        del norm.param[3:]
        if not self.param.scale_bias:
            return PlainForm([norm])
        top = self.proto.top[0]
        scale = pb.LayerParameter(name=f"{self.name}/scale", type="Scale", bottom=[top], top=[top])
        scale.scale_param.bias_term = True
        return PlainForm([norm, scale], moved={norm.name: (0, 1, 2), scale.name: (3, 4)})
