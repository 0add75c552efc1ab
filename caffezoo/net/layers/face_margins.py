"""What face-recognition forks put between features and their softmax: margins at the label of every sample."""

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


class LabelSpecific(Layer):
    """A change of the values [N, C] at the label of every sample; at TEST the values as they are."""

    bottom_count = (2, 2)

    def acts(self) -> bool:
        """Return whether anything is changed."""
        raise NotImplementedError

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, labels = bottoms
        if len(x) < 2 or math.prod(x[2:]) != 1 or math.prod(labels) != x[0]:
            self.fail(f"takes values [N, C] and one label a sample, has {x} and {labels}")
        return [x]

    def onnx(self, scope: LayerScope) -> list[str]:
        if not self.acts():
            return [scope.op("Identity", scope.bottoms[0])]
        shape = scope.bottom_shapes[0]
        labels = scope.reshape(scope.op("Cast", scope.bottoms[1], to=7), [-1, *(1,) * (len(shape) - 1)])
        classes = np.arange(shape[1]).reshape(1, -1, *shape[2:])
        own = scope.op("Equal", labels, scope.const(classes, np.int64))
        return [self._changed(scope, scope.bottoms[0], own)]

    def _changed(self, scope: LayerScope, x: str, own: str) -> str:
        """Append the changed values; ``own`` is true at every sample's label."""
        raise NotImplementedError

    def torch(self, scope: TorchScope) -> Compute:
        F, acts, classes = scope.F, self.acts(), scope.bottom_shapes[0][1]

        def compute(own: Any, x: Any, labels: Any) -> list[Any]:
            if not acts:
                return [x]
            mine = F.one_hot(labels.reshape(-1).long(), classes).bool().reshape(x.shape)
            return [self._torch(x, mine)]

        return compute

    def _torch(self, x: Any, own: Any) -> Any:
        raise NotImplementedError


@register("LabelSpecificAdd")
class LabelSpecificAdd(LabelSpecific):
    """Adds ``bias`` to the value at the label where it is above ``-bias``, at TRAIN (AM-Softmax: a negative bias).

    Its gradient is 1 everywhere (``label_specific_add_layer.cpp`` of happynear/caffe-windows; ``transform_test`` has no
    effect there).
    """

    param_name = "label_specific_add_param"

    def acts(self) -> bool:
        return self.phase == pb.TRAIN and self.param.bias != 0

    def _changed(self, scope: LayerScope, x: str, own: str) -> str:
        bias = self.param.bias
        moved = scope.op("And", own, scope.op("Greater", x, scope.const(-bias)))
        return scope.op("Where", moved, scope.op("Add", x, scope.const(bias)), x)

    def _torch(self, x: Any, own: Any) -> Any:
        return x + float(self.param.bias) * (own & (x > -float(self.param.bias)))


@register("LabelSpecificRescale")
class LabelSpecificRescale(LabelSpecific):
    """``positive_weight`` times the value at the label, ``negative_weight`` times the others, at TRAIN or with
    ``rescale_test`` (``label_specific_rescale_layer.cpp`` of happynear/caffe-windows)."""

    param_name = "label_specific_rescale_param"

    def acts(self) -> bool:
        return self.phase == pb.TRAIN or bool(self.param.rescale_test)

    def _changed(self, scope: LayerScope, x: str, own: str) -> str:
        weights = (scope.const(w) for w in (self.param.positive_weight, self.param.negative_weight))
        return scope.op("Mul", x, scope.op("Where", own, *weights))

    def _torch(self, x: Any, own: Any) -> Any:
        positive, negative = float(self.param.positive_weight), float(self.param.negative_weight)
        return x * (own * positive + ~own * negative)


@register("LabelSpecificMargin")
class LabelSpecificMargin(LabelSpecific):
    """Turns the cosine at the label by ``margin_base`` degrees at TRAIN; at TEST the values as they are.

    A second top is the margin of a first pass, ``margin_base + (1 + gamma iteration)^power - 1``, at most
    ``margin_max`` where it is given. Blobs: the margin [1] ([3] with ``auto_tune``), which the layer itself keeps.
    Source: ``label_specific_margin.cpp`` of happynear/caffe-windows, whose training of it is not here.
    """

    param_name = "label_specific_margin_param"
    own_fields = fields(
        type="HARD", margin_base=float, margin_max=float, power=1.0, gamma=1.0, iteration=0, reset_margin=False,
        margin_on_test=False, auto_tune=False,
    )  # fmt: skip
    top_count = (1, 2)

    def acts(self) -> bool:
        return False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if self.param.margin_on_test:
            self.fail("margin_on_test is not supported: versions of its fork differ in what it does")
        if self.top_number == 2 and (self.param.auto_tune or self.param.margin_base is None):
            self.fail("a second top with a margin that is learned is not supported")
        return [*super().top_shapes(bottoms), (1,)][: self.top_number]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [(3 if self.param.auto_tune else 1,)]

    def parameter_count(self, bottoms: Sequence[Shape]) -> int:
        return 0

    def margin(self) -> float:
        """Return the margin in degrees."""
        p = self.param
        margin = float((p.margin_base or 0.0) + (1 + p.gamma * p.iteration) ** p.power - 1)
        return margin if p.margin_max is None else min(margin, p.margin_max)

    def onnx(self, scope: LayerScope) -> list[str]:
        if self.phase == pb.TRAIN:
            raise scope.refuse(f"{self.type} in phase TRAIN has no ONNX form")
        tops = super().onnx(scope)
        return tops if self.top_number == 1 else [*tops, scope.op("Identity", scope.const([self.margin()]))]

    def torch(self, scope: TorchScope) -> Compute:
        if self.phase == pb.TRAIN:
            raise scope.refuse(f"{self.type} in phase TRAIN has no torch form")
        scope.statistic(0)
        margins = [self.margin()] if self.top_number == 2 else []
        return lambda own, x, labels: [x, *(x.new_tensor([m]) for m in margins)]


class MarginProduct(Layer):
    """Scores of every class; at the label 1 : lambda those with a margin and without. A second top is lambda.

    lambda is ``max(base (1 + gamma i)^-power, lambda_min)``, as on the first forward pass: i is ``iteration`` + 1.
    Blobs: weights [num_output, K].
    """

    bottom_count = (2, 2)
    top_count = (1, 2)
    in_place_allowed = False

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [(int(self.param.num_output), math.prod(bottoms[0][1:]))]

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return math.prod(bottoms[0]) * int(self.param.num_output)

    def plain_weight(self) -> float:
        """Return lambda, the weight of the score without a margin at the label."""
        p = self.param
        try:
            return max(float(p.base * (1 + p.gamma * (p.iteration + 1)) ** -p.power), float(p.lambda_min))
        except (ArithmeticError, TypeError):
            self.fail("base, gamma, power and iteration give no lambda")


@register("MarginInnerProduct")
class MarginInnerProduct(MarginProduct):
    """``|x| cos(t_k)`` of every class k, t_k the angle to its weight; at the label 1 : lambda ``|x| psi(t)`` and it.

    ``psi(t) = (-1)^j cos(m t) - 2 j`` for t within ``[j pi / m, (j + 1) pi / m]``, m = 1 to 4 by ``type``. Weights
    are used at length 1. Source: ``margin_inner_product_layer.cpp`` of SphereFace (Liu et al., arXiv 1704.08063).
    Caffe's gradient is not that of this function, and lambda falls as training goes on: only ``SINGLE``, which has no
    margin, trains.
    """

    param_name = "margin_inner_product_param"

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, labels = bottoms
        axis, outputs = self.axis(self.param.axis, len(x)), int(self.param.num_output)
        if axis != 1 or math.prod(labels) != x[0]:
            self.fail(f"takes axis 1 and one label a sample, has axis {axis}, {x} and {labels}")
        if outputs < 1:
            self.fail("num_output must be positive")
        return [(x[0], outputs), (1,)][: self.top_number]

    def onnx(self, scope: LayerScope) -> list[str]:
        shape, classes = scope.bottom_shapes[0], int(self.param.num_output)
        x = scope.bottoms[0] if len(shape) == 2 else scope.reshape(scope.bottoms[0], [0, math.prod(shape[1:])])
        weight = scope.blob(0)
        weight = scope.op("Div", weight, scope.op("ReduceL2", weight, axes=[1], keepdims=1))
        scores = scope.op("MatMul", x, scope.op("Transpose", weight, perm=[1, 0]))
        plain = self.plain_weight()
        tops = [scores, scope.op("Identity", scope.const(np.array([plain])))]
        times = int(self.param.type) + 1
        if times > 1:
            length = scope.op("ReduceL2", x, axes=[1], keepdims=1)
            cosine = scope.op("Div", scores, length)
            cosine = scope.op("Clip", cosine, scope.const(-1.0), scope.const(1.0))
            angle = scope.op("Acos", cosine)
            step = scope.op("Floor", scope.op("Mul", angle, scope.const(times / math.pi)))
            step = scope.op("Clip", step, scope.const(0.0), scope.const(times - 1.0))
            sign = scope.op("Cos", scope.op("Mul", step, scope.const(math.pi)))
            psi = scope.op("Mul", sign, scope.op("Cos", scope.op("Mul", angle, scope.const(times))))
            psi = scope.op("Sub", psi, scope.op("Mul", step, scope.const(2.0)))
            mixed = scope.op("Add", scope.op("Mul", psi, length), scope.op("Mul", scores, scope.const(plain)))
            mixed = scope.op("Div", mixed, scope.const(1 + plain))
            labels = scope.reshape(scope.op("Cast", scope.bottoms[1], to=7), [-1, 1])
            own = scope.op("Equal", labels, scope.const(np.arange(classes)[None], np.int64))
            tops[0] = scope.op("Where", own, mixed, scores)
        return tops[: len(scope.node.tops)]

    def torch(self, scope: TorchScope) -> Compute:
        torch, F, tops = scope.torch, scope.F, len(scope.node.tops)
        times, plain = int(self.param.type) + 1, self.plain_weight()
        if times > 1 and self.phase == pb.TRAIN:
            raise scope.refuse("training through its margin is not supported")
        scope.learn(0)

        def compute(own: Any, x: Any, labels: Any) -> list[Any]:
            x, weight = x.flatten(1), own.blob0
            scores = x @ (weight / weight.norm(dim=1, keepdim=True)).T
            length = x.norm(dim=1, keepdim=True)
            mine = F.one_hot(labels.reshape(-1).long(), scores.shape[1]).bool()
            if times > 1:
                angle = torch.acos((scores / length).clamp(-1, 1))
                step = (angle * (times / math.pi)).floor().clamp(0, times - 1)
                psi = (1 - 2 * (step % 2)) * torch.cos(times * angle) - 2 * step
                scores = torch.where(mine, (length * psi + plain * scores) / (1 + plain), scores)
            return [scores, scores.new_tensor([plain])][:tops]

        return compute
