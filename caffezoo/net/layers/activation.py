"""Activations: one bottom, one top of the same shape, element by element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Layer, PlainForm, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

SOFTPLUS_LINEAR = 50.0
"""Above it log(1 + exp(x)) is x in float32; torch's own limit of 20 is too low for that."""


@register("ReLU")
class ReLU(Layer):
    """``max(x, 0) + negative_slope * min(x, 0)``."""

    param_name = "relu_param"

    def onnx(self, scope: LayerScope) -> list[str]:
        slope = self.param.negative_slope
        x = scope.bottoms[0]
        return [scope.op("LeakyRelu", x, alpha=slope) if slope else scope.op("Relu", x)]

    def torch(self, scope: TorchScope) -> Compute:
        slope, F = self.param.negative_slope, scope.F
        return lambda own, x: [F.leaky_relu(x, slope) if slope else F.relu(x)]


@register("PReLU")
class PReLU(Layer):
    """``max(x, 0) + slope * min(x, 0)`` with a learned slope a channel (axis 1), or one for all of them.

    Blobs: slope [C], or [] with ``channel_shared``.
    """

    param_name = "prelu_param"

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if len(bottoms[0]) < 2:
            self.fail(f"takes a blob with two axes or more, has {bottoms[0]}")
        return [bottoms[0]]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [() if self.param.channel_shared else (bottoms[0][1],)]

    def fillers(self, count: int) -> list[pb.FillerParameter]:
        return [self.param.filler if self.param.HasField("filler") else pb.FillerParameter(value=0.25)]

    def onnx(self, scope: LayerScope) -> list[str]:
        inner = len(scope.bottom_shapes[0]) - 2
        slope = scope.blobs[0].reshape(-1, *(1 for _ in range(inner)))
        return [scope.op("PRelu", scope.bottoms[0], scope.const(slope))]

    def torch(self, scope: TorchScope) -> Compute:
        F = scope.F
        scope.learn(0)
        return lambda own, x: [F.prelu(x, own.blob0.reshape(-1))]


@register("ELU")
class ELU(Layer):
    """``x`` where x > 0, else ``alpha (exp(x) - 1)``."""

    param_name = "elu_param"

    def onnx(self, scope: LayerScope) -> list[str]:
        return [scope.op("Elu", scope.bottoms[0], alpha=self.param.alpha)]

    def torch(self, scope: TorchScope) -> Compute:
        F, alpha = scope.F, self.param.alpha
        return lambda own, x: [F.elu(x, alpha)]


@register("Sigmoid")
class Sigmoid(Layer):
    """``1 / (1 + exp(-x))``."""

    squashes = "sigmoid"

    def onnx(self, scope: LayerScope) -> list[str]:
        return [scope.op("Sigmoid", scope.bottoms[0])]

    def torch(self, scope: TorchScope) -> Compute:
        return lambda own, x: [x.sigmoid()]


@register("TanH")
class TanH(Layer):
    """Hyperbolic tangent."""

    def onnx(self, scope: LayerScope) -> list[str]:
        return [scope.op("Tanh", scope.bottoms[0])]

    def torch(self, scope: TorchScope) -> Compute:
        return lambda own, x: [x.tanh()]


@register("Swish")
class Swish(Layer):
    """``x * sigmoid(beta x)``."""

    param_name = "swish_param"

    def onnx(self, scope: LayerScope) -> list[str]:
        x, beta = scope.bottoms[0], self.param.beta
        inner = x if beta == 1 else scope.op("Mul", x, scope.const(beta))
        return [scope.op("Mul", x, scope.op("Sigmoid", inner))]

    def torch(self, scope: TorchScope) -> Compute:
        F, beta = scope.F, self.param.beta
        return lambda own, x: [F.silu(x) if beta == 1 else x * (x * beta).sigmoid()]

    def plain(self, bottoms: Sequence[Shape]) -> PlainForm:
        x, gate = self.proto.bottom[0], f"{self.name}/gate"
        scaled = pb.LayerParameter(name=f"{self.name}/beta", type="Power", bottom=[x], top=[gate])
        scaled.power_param.scale = self.param.beta
        sigmoid = pb.LayerParameter(name=gate, type="Sigmoid", bottom=[gate], top=[gate])
        product = pb.LayerParameter(name=self.name, type="Eltwise", bottom=[x, gate], top=self.proto.top)
        product.eltwise_param.operation = pb.EltwiseParameter.PROD
        return PlainForm([scaled, sigmoid, product])


@register("Clip")
class Clip(Layer):
    """``max(min, min(x, max))``; both bounds must be given."""

    param_name = "clip_param"

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if not (self.param.HasField("min") and self.param.HasField("max")):
            self.fail("takes both min and max")
        return [bottoms[0]]

    def onnx(self, scope: LayerScope) -> list[str]:
        x, low, high = scope.bottoms[0], scope.const(self.param.min), scope.const(self.param.max)
        if self.param.min > self.param.max:
            return [scope.op("Max", scope.op("Min", x, high), low)]
        return [scope.op("Clip", x, low, high)]

    def torch(self, scope: TorchScope) -> Compute:
        low, high = self.param.min, max(self.param.min, self.param.max)
        return lambda own, x: [x.clamp(low, high)]

    def plain(self, bottoms: Sequence[Shape]) -> PlainForm:
        """Return ``high - relu(high - low - relu(x - low))``: Power and ReLU in pairs."""
        low, high = self.param.min, max(self.param.min, self.param.max)
        top = self.proto.top[0]
        layers: list[pb.LayerParameter] = []

        def append(kind: str, name: str, scale: float = 1.0, shift: float = 0.0) -> None:
            bottom = top if layers else self.proto.bottom[0]
            layers.append(pb.LayerParameter(name=name, type=kind, bottom=[bottom], top=[top]))
            if kind == "Power":
                layers[-1].power_param.scale, layers[-1].power_param.shift = scale, shift

        if low:
            append("Power", f"{self.name}/above", 1.0, -low)
        append("ReLU", f"{self.name}/relu")
        append("Power", f"{self.name}/below", -1.0, high - low)
        append("ReLU", f"{self.name}/relu2")
        append("Power", self.name, -1.0, high)
        return PlainForm(layers)


@register("AbsVal")
class AbsVal(Layer):
    """Absolute value; Caffe refuses it in place."""

    in_place_allowed = False

    def onnx(self, scope: LayerScope) -> list[str]:
        return [scope.op("Abs", scope.bottoms[0])]

    def torch(self, scope: TorchScope) -> Compute:
        return lambda own, x: [x.abs()]


@register("BNLL")
class BNLL(Layer):
    """``log(1 + exp(x))``, computed as ``max(x, 0) + log(1 + exp(-|x|))``."""

    def onnx(self, scope: LayerScope) -> list[str]:
        return [scope.op("Softplus", scope.bottoms[0])]

    def torch(self, scope: TorchScope) -> Compute:
        F = scope.F
        return lambda own, x: [F.softplus(x, threshold=SOFTPLUS_LINEAR)]


@register("Threshold")
class Threshold(Layer):
    """1 where x > threshold, else 0."""

    param_name = "threshold_param"
    differentiable = False

    def onnx(self, scope: LayerScope) -> list[str]:
        above = scope.op("Greater", scope.bottoms[0], scope.const(self.param.threshold))
        return [scope.op("Cast", above, to=1)]

    def torch(self, scope: TorchScope) -> Compute:
        threshold = self.param.threshold
        return lambda own, x: [(x > threshold).to(x.dtype)]


@register("Dropout")
class Dropout(Layer):
    """Identity in phase TEST; in phase TRAIN values are dropped at random and the kept ones times 1 / (1 - ratio)."""

    param_name = "dropout_param"
    is_identity = True

    def carries(self, bottoms: Sequence[Shape]) -> bool:
        return self.phase == pb.TEST

    def onnx(self, scope: LayerScope) -> list[str]:
        if self.phase == pb.TRAIN:
            raise scope.refuse("Dropout in phase TRAIN is random and has no ONNX form")
        return [scope.bottoms[0]]

    def torch(self, scope: TorchScope) -> Compute:
        F, ratio = scope.F, self.param.dropout_ratio
        return lambda own, x: [F.dropout(x, ratio, own.training)]
