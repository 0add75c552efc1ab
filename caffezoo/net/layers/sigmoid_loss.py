"""SigmoidCrossEntropyLoss: one probability a value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Shape, register
from caffezoo.net.layers.losses import LossLayer

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("SigmoidCrossEntropyLoss")
class SigmoidCrossEntropyLoss(LossLayer):
    """``max(x, 0) - x t + log(1 + exp(-|x|))`` summed over all values and divided as ``normalization`` says.

    BATCH_SIZE (the default): by axis 0; VALID: by the targets that are not ``ignore_label``; FULL: by all; NONE: by 1
    (``sigmoid_cross_entropy_loss_layer.cpp`` of BVLC).
    """

    param_name = "loss_param"
    bottom_count = (2, 2)
    in_place_allowed = False
    auto_tops = True
    judges = True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, target = bottoms
        if math.prod(x) != math.prod(target) or not x:
            self.fail(f"takes as many targets as values, has {x} and {target}")
        return [()]

    @property
    def normalization(self) -> int:
        """The divisor's rule."""
        if self.param.HasField("normalization"):
            return int(self.param.normalization)
        by_valid = self.param.HasField("normalize") and self.param.normalize
        return int(pb.LossParameter.VALID if by_valid else pb.LossParameter.BATCH_SIZE)

    def onnx(self, scope: LayerScope) -> list[str]:
        (x, target), (shape, targets) = scope.bottoms, scope.bottom_shapes
        if shape != targets:
            target = scope.op("Reshape", target, scope.op("Shape", x))
        loss = scope.op("Sub", scope.op("Relu", x), scope.op("Mul", x, target))
        loss = scope.op("Add", loss, scope.op("Softplus", scope.op("Neg", scope.op("Abs", x))))
        counted = None
        if self.param.HasField("ignore_label"):
            whole = scope.op("Cast", target, to=7)
            ignored = scope.op("Equal", whole, scope.const(self.param.ignore_label, "int64"))
            counted = scope.op("Cast", scope.op("Not", ignored), to=1)
            loss = scope.op("Mul", loss, counted)
        total = scope.op("ReduceSum", loss, keepdims=0)
        rule = self.normalization
        if rule == pb.LossParameter.NONE:
            return [total]
        if rule == pb.LossParameter.PRE_FIXED:
            return [scope.op("Div", total, scope.const(self.param.pre_fixed_normalizer))]
        if rule == pb.LossParameter.VALID and counted is not None:
            divisor = scope.op("ReduceSum", counted, keepdims=0)
        else:
            divisor = scope.op("Cast", scope.op("Size", x), to=1)
            if rule == pb.LossParameter.BATCH_SIZE:
                divisor = scope.op("Div", divisor, scope.const(math.prod(shape[1:])))
        return [scope.op("Div", total, scope.op("Max", divisor, scope.const(1.0)))]

    def torch(self, scope: TorchScope) -> Compute:
        F, rule = scope.F, self.normalization
        ignore = int(self.param.ignore_label) if self.param.HasField("ignore_label") else None
        fixed = float(self.param.pre_fixed_normalizer)

        def compute(own: Any, x: Any, target: Any) -> list[Any]:
            target = target.reshape(x.shape)
            loss = F.binary_cross_entropy_with_logits(x, target.to(x.dtype), reduction="none")
            valid: Any = x.numel()
            if ignore is not None:
                counted = (target.trunc() != ignore).to(x.dtype)
                loss, valid = loss * counted, counted.sum().clamp(min=1)
            divisors: dict[int, Any] = {
                pb.LossParameter.NONE: 1,
                pb.LossParameter.PRE_FIXED: fixed,
                pb.LossParameter.VALID: valid,
                pb.LossParameter.FULL: x.numel(),
                pb.LossParameter.BATCH_SIZE: x.shape[0],
            }
            return [loss.sum() / divisors[rule]]

        return compute
