"""Activations of forks: bounded and leaky rectifiers, smooth ones, and layers that change nothing at TEST."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Layer, Shape, register
from caffezoo.net.own_fields import fields

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("ReLU6")
class ReLU6(Layer):
    """``min(max(x, 0) + negative_slope min(x, 0), threshold)`` with a threshold of 6 (``relu6_layer.cpp`` of forks)."""

    param_name = "relu6_param"

    def onnx(self, scope: LayerScope) -> list[str]:
        slope, x = self.param.negative_slope, scope.bottoms[0]
        high = scope.const(self.param.threshold)
        if not slope:
            return [scope.op("Clip", x, scope.const(0.0), high)]
        return [scope.op("Min", scope.op("LeakyRelu", x, alpha=slope), high)]

    def torch(self, scope: TorchScope) -> Compute:
        F, slope, high = scope.F, self.param.negative_slope, self.param.threshold
        return lambda own, x: [F.leaky_relu(x, slope).clamp(max=high)]


class Bounded(Layer):
    """``min(max(x, low), high)``."""

    low_field, high_field = "", ""

    def bounds(self) -> tuple[float, float]:
        """Return the least and the largest value."""
        low, high = getattr(self.param, self.low_field), getattr(self.param, self.high_field)
        if low > high:
            self.fail(f"{self.low_field} {low:g} is above {self.high_field} {high:g}")
        return low, high

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self.bounds()
        return [bottoms[0]]

    def onnx(self, scope: LayerScope) -> list[str]:
        return [scope.op("Clip", scope.bottoms[0], *(scope.const(bound) for bound in self.bounds()))]

    def torch(self, scope: TorchScope) -> Compute:
        low, high = self.bounds()
        return lambda own, x: [x.clamp(low, high)]


@register("BReLU")
class BReLU(Bounded):
    """``min(max(x, minval), maxval)``: DehazeNet's bounded rectifier (Cai et al., 2016, equation 6)."""

    param_name = "brelu_param"
    low_field, high_field = "minval", "maxval"


@register("Truncation")
class Truncation(Bounded):
    """``min(max(x, truncation_min), truncation_max)`` (the fork of learned dilations)."""

    param_name = "truncation_param"
    low_field, high_field = "truncation_min", "truncation_max"


@register("SELU", "SeLu")
class SELU(Layer):
    """``lambda x`` where x > 0, else ``lambda alpha (exp(x) - 1)`` (Klambauer et al., 2017, equation 2)."""

    param_name = "selu_param"

    def onnx(self, scope: LayerScope) -> list[str]:
        scale, alpha = getattr(self.param, "lambda"), self.param.alpha
        return [scope.op("Selu", scope.bottoms[0], alpha=alpha, gamma=scale)]

    def torch(self, scope: TorchScope) -> Compute:
        F, scale, alpha = scope.F, getattr(self.param, "lambda"), self.param.alpha
        return lambda own, x: [F.elu(x, alpha) * scale]


@register("Mish")
class Mish(Layer):
    """``x tanh(log(1 + exp(x)))`` (Misra, 2019)."""

    def onnx(self, scope: LayerScope) -> list[str]:
        x = scope.bottoms[0]
        return [scope.op("Mul", x, scope.op("Tanh", scope.op("Softplus", x)))]

    def torch(self, scope: TorchScope) -> Compute:
        F = scope.F
        return lambda own, x: [F.mish(x)]


@register("HardSigmoid")
class HardSigmoid(Layer):
    """``min(max(alpha x + beta, 0), 1)``."""

    param_name = "hard_sigmoid_param"

    def onnx(self, scope: LayerScope) -> list[str]:
        return [scope.op("HardSigmoid", scope.bottoms[0], alpha=self.param.alpha, beta=self.param.beta)]

    def torch(self, scope: TorchScope) -> Compute:
        alpha, beta = self.param.alpha, self.param.beta
        return lambda own, x: [(x * alpha + beta).clamp(0, 1)]


@register("HardSwish")
class HardSwish(Layer):
    """``x min(max(alpha x + beta, 0), 1)`` (Howard et al., 2019, with alpha 1/6 and beta 1/2)."""

    param_name = "hard_swish_param"

    def onnx(self, scope: LayerScope) -> list[str]:
        x = scope.bottoms[0]
        gate = scope.op("HardSigmoid", x, alpha=self.param.alpha, beta=self.param.beta)
        return [scope.op("Mul", x, gate)]

    def torch(self, scope: TorchScope) -> Compute:
        alpha, beta = self.param.alpha, self.param.beta
        return lambda own, x: [x * (x * alpha + beta).clamp(0, 1)]


@register("CReLU")
class CReLU(Layer):
    """The rectified bottom and the rectified negative of it, side by side on ``concat_axis`` (Shang et al., 2016)."""

    param_name = "crelu_param"
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, axis = bottoms[0], self.axis(self.param.concat_axis, len(bottoms[0]))
        return [(*x[:axis], 2 * x[axis], *x[axis + 1 :])]

    def onnx(self, scope: LayerScope) -> list[str]:
        axis, slope = self.axis(self.param.concat_axis, len(scope.bottom_shapes[0])), self.param.negative_slope
        x = scope.op("Concat", scope.bottoms[0], scope.op("Neg", scope.bottoms[0]), axis=axis)
        return [scope.op("LeakyRelu", x, alpha=slope) if slope else scope.op("Relu", x)]

    def torch(self, scope: TorchScope) -> Compute:
        axis = self.axis(self.param.concat_axis, len(scope.bottom_shapes[0]))
        torch, F, slope = scope.torch, scope.F, self.param.negative_slope
        return lambda own, x: [F.leaky_relu(torch.cat([x, -x], axis), slope)]


@register("Insanity")
class Insanity(Layer):
    """``max(x, 0) + min(x, 0) / s``: at TRAIN s is drawn from lb .. ub, at TEST it is ``(ub - lb) / log(ub / lb)``.

    Randomized leaky ReLU (``insanity_layer.cpp`` of happynear/caffe-windows).
    """

    param_name = "insanity_param"

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        low, high = self.param.lb, self.param.ub
        if high <= low or low * high == 0 or abs(low) == abs(high):
            self.fail(f"lb {low:g} and ub {high:g} must rise, be other than 0 and differ in size")
        return [bottoms[0]]

    def _slope(self) -> float:
        low, high = float(self.param.lb), float(self.param.ub)
        return (math.log(abs(high)) - math.log(abs(low))) / (high - low)

    def onnx(self, scope: LayerScope) -> list[str]:
        if self.phase == pb.TRAIN:
            raise scope.refuse("Insanity in phase TRAIN is random and has no ONNX form")
        return [scope.op("LeakyRelu", scope.bottoms[0], alpha=self._slope())]

    def torch(self, scope: TorchScope) -> Compute:
        torch, F, slope = scope.torch, scope.F, self._slope()
        low, high = self.param.lb, self.param.ub

        def compute(own: Any, x: Any) -> list[Any]:
            if not own.training:
                return [F.leaky_relu(x, slope)]
            return [torch.where(x > 0, x, x / torch.empty_like(x).uniform_(low, high))]

        return compute


@register("RReLU")
class RReLU(Insanity):
    """Insanity by its paper's name, with ``rrelu_param { lb ub }`` (``rrelu_layer.cpp`` of ducha-aiki/caffe)."""

    param_name = "rrelu_param"
    own_fields = fields(lb=float, ub=float)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if self.param.lb is None or self.param.ub is None:
            self.fail("takes both lb and ub")
        return super().top_shapes(bottoms)


@register("SeLuDropout", "Noise", "OutputDecay", "DataRandTransform", "GradientScaler", "GRL", "GradientReversal")
class Training(Layer):
    """Tops are the bottoms: layers that drop, disturb, mix or decay while training, or turn the gradient's sign, and
    change nothing at TEST."""

    idle_fields = frozenset({"gradient_scaler_param", "grl_param", "gradient_reversal_param"})

    bottom_count = (1, None)
    top_count = (1, None)
    is_identity = True

    def carries(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if len(self.proto.top) > len(bottoms):
            self.fail(f"makes a top of every bottom: {len(bottoms)} bottoms, {len(self.proto.top)} tops")
        return list(bottoms[: len(self.proto.top)])

    def onnx(self, scope: LayerScope) -> list[str]:
        if self.phase == pb.TRAIN:
            raise scope.refuse(f"{self.type} in phase TRAIN has no ONNX form")
        return scope.bottoms[: len(scope.node.tops)]

    def torch(self, scope: TorchScope) -> Compute:
        if self.phase == pb.TRAIN:
            raise scope.refuse(f"{self.type} in phase TRAIN has no torch form")
        count = len(scope.node.tops)
        return lambda own, *xs: list(xs[:count])


@register("Mixup")
class Mixup(Training):
    """Images and labels of a batch mixed by pairs while training; at TEST nothing is mixed.

    Where labels are one number a sample, the second top holds them as ``cls_num`` shares each, all of them at the label
    (Zhang and others, ICLR 2018; ``mixup_layer.cpp``).
    """

    param_name = "mixup_param"
    own_fields = fields(cls_num=0, alpha=0.0)

    def _spreads(self, bottoms: Sequence[Shape]) -> bool:
        return len(self.proto.top) > 1 and self.param.cls_num > 0 and len(bottoms) > 1 and len(bottoms[1]) != 2

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        tops = super().top_shapes(bottoms)
        if self._spreads(bottoms):
            if self.param.cls_num < 2 or math.prod(bottoms[1]) != bottoms[0][0]:
                self.fail(f"takes one label a sample and a cls_num above 1: {bottoms[0]}, {bottoms[1]}")
            tops[1] = (bottoms[0][0], int(self.param.cls_num))
        return tops

    def carries(self, bottoms: Sequence[Shape]) -> bool:
        return not self._spreads(bottoms)

    def onnx(self, scope: LayerScope) -> list[str]:
        tops = super().onnx(scope)
        if self._spreads(scope.bottom_shapes):
            labels = scope.reshape(scope.op("Cast", scope.bottoms[1], to=7), [-1, 1])
            classes = scope.const(np.arange(self.param.cls_num)[None], np.int64)
            tops[1] = scope.op("Cast", scope.op("Equal", labels, classes), to=1)
        return tops

    def torch(self, scope: TorchScope) -> Compute:
        same, F, classes = super().torch(scope), scope.F, int(self.param.cls_num)
        if not self._spreads(scope.bottom_shapes):
            return same
        return lambda own, x, labels: [x, F.one_hot(labels.reshape(-1).long(), classes).to(x.dtype)]
