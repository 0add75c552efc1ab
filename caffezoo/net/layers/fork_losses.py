"""Losses of forks: L1Loss, AbsLoss, SoftmaxCrossEntropyLoss and CenterLoss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from caffezoo.net.layer import Shape, register
from caffezoo.net.layers.label_losses import SampleLoss
from caffezoo.net.layers.losses import LossLayer

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("L1Loss", "AbsLoss")
class L1Loss(LossLayer):
    """``sum |a - b| / N`` over two bottoms of one shape, or of one bottom (NVIDIA's fork, DispNet's, FlowNet's).

    FlowNet's ``l1_loss_param``: ``normalize_by_num_entries`` divides by the number of values in place of N, and with
    ``l2_per_location`` the sum is of ``sqrt(sum_c (a - b)^2 + epsilon)`` over places. A NaN in b counts as no error
    (``l1loss_layer.cu`` of FlowNet's fork).
    """

    param_name = "l1_loss_param"
    bottom_count = (1, 2)
    in_place_allowed = False
    auto_tops = True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if len(bottoms) == 2 and math.prod(bottoms[0]) != math.prod(bottoms[1]):
            self.fail(f"takes bottoms of one shape, has {bottoms[0]} and {bottoms[1]}")
        if not bottoms[0]:
            self.fail("takes a blob with an axis")
        if self.param.plateau or self.param.l2_prescale_by_channels:
            self.fail("plateau and l2_prescale_by_channels are not supported")
        if self.param.l2_per_location and len(bottoms[0]) < 2:
            self.fail("l2_per_location takes channels on axis 1")
        return [()]

    def onnx(self, scope: LayerScope) -> list[str]:
        x, shape = scope.bottoms[0], scope.bottom_shapes[0]
        if len(scope.bottoms) == 2:
            other = scope.bottoms[1]
            if scope.bottom_shapes[1] != shape:
                other = scope.op("Reshape", other, scope.op("Shape", x))
            x = scope.op("Where", scope.op("IsNaN", other), scope.const(0.0), scope.op("Sub", x, other))
        if self.param.l2_per_location:
            squares = scope.op("ReduceSum", scope.op("Mul", x, x), scope.ints([1]), keepdims=1)
            x = scope.op("Sqrt", scope.op("Add", squares, scope.const(self.param.epsilon)))
        else:
            x = scope.op("Abs", x)
        if self.param.normalize_by_num_entries:
            return [scope.op("ReduceMean", x, keepdims=0)]
        count = scope.const(math.prod(shape[1:]) / (shape[1] if self.param.l2_per_location else 1))
        return [scope.op("Mul", scope.op("ReduceMean", x, keepdims=0), count)]

    def torch(self, scope: TorchScope) -> Compute:
        torch, located, mean = scope.torch, self.param.l2_per_location, self.param.normalize_by_num_entries
        epsilon = float(self.param.epsilon)

        def compute(own: Any, x: Any, *other: Any) -> list[Any]:
            if other:
                y = other[0].reshape(x.shape)
                x = torch.where(y.isnan(), x.new_zeros(()), x - y)
            errors = (x.square().sum(1) + epsilon).sqrt() if located else x.abs()
            return [errors.mean() if mean else errors.sum() / x.shape[0]]

        return compute


@register("SoftmaxCrossEntropyLoss")
class SoftmaxCrossEntropyLoss(LossLayer):
    """``-sum_k t_k log softmax(x)_k`` over places, divided by their number; t is a distribution, not a label."""

    param_name = "softmax_cross_entropy_loss_param"
    bottom_count = (2, 2)
    in_place_allowed = False
    auto_tops = True
    judges = True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self.axis(self.param.axis, len(bottoms[0]))
        if bottoms[0] != bottoms[1]:
            self.fail(f"takes as many targets as scores, has {bottoms[0]} and {bottoms[1]}")
        return [()]

    def onnx(self, scope: LayerScope) -> list[str]:
        axis = self.axis(self.param.axis, len(scope.bottom_shapes[0]))
        logs = scope.op("LogSoftmax", scope.bottoms[0], axis=axis)
        product = scope.op("Mul", logs, scope.bottoms[1])
        places = scope.op("ReduceSum", product, scope.ints([axis]), keepdims=0)
        return [scope.op("Neg", scope.op("ReduceMean", places, keepdims=0))]

    def torch(self, scope: TorchScope) -> Compute:
        F, axis = scope.F, self.axis(self.param.axis, len(scope.bottom_shapes[0]))
        return lambda own, x, target: [-(F.log_softmax(x, axis) * target).sum(axis).mean()]


@register("CenterLoss")
class CenterLoss(SampleLoss):
    """``sum |x - c[label]|^2 / (2 N)`` with a learned centre of every class (Wen et al., 2016, equation 2).

    Blobs: centres [num_output, K] (``center_loss_layer.cpp`` of kpzhang93/caffe; other forks say ``cluster_num``).
    """

    param_name = "center_loss_param"

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        classes = int(self.param.num_output or self.param.cluster_num)
        if classes < 1:
            self.fail("num_output must be positive")
        return [(classes, math.prod(bottoms[0][1:]))]

    def onnx(self, scope: LayerScope) -> list[str]:
        x, labels = self._flat(scope)
        centres = scope.op("Gather", scope.blob(0), scope.op("Squeeze", labels, scope.ints([1])), axis=0)
        difference = scope.op("Sub", x, centres)
        squares = scope.op("ReduceSum", scope.op("Mul", difference, difference), scope.ints([1]), keepdims=1)
        return [scope.op("Mul", self._mean(scope, squares), scope.const(0.5))]

    def torch(self, scope: TorchScope) -> Compute:
        scope.learn(0)

        def compute(own: Any, x: Any, labels: Any) -> list[Any]:
            x = x.flatten(1)
            return [(x - own.blob0[labels.reshape(-1).long()]).square().sum() / (2 * x.shape[0])]

        return compute
