"""What document binarisation is trained and judged with: PR and WeightedFmeasureLoss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from caffezoo.net.layer import Layer, Shape, register
from caffezoo.net.layers.losses import LossLayer

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("PR")
class PrecisionRecall(Layer):
    """Precision, recall, accuracy, true negative rate and F-measure of values that are positive from ``thresh`` on.

    A label whose whole part is not 0 is positive; those of ``ignore_label`` do not count. Precision, recall and F are 0
    where they are not defined (``precision_recall_layer.cpp`` of ctensmeyer/caffe).
    """

    param_name = "precision_recall_param"
    bottom_count = (2, 2)
    top_count = (5, 5)
    in_place_allowed = False
    differentiable = False
    judges = True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if math.prod(bottoms[0]) != math.prod(bottoms[1]):
            self.fail(f"takes as many labels as values, has {bottoms[0]} and {bottoms[1]}")
        return [()] * 5

    def onnx(self, scope: LayerScope) -> list[str]:
        x, labels = (scope.reshape(b, [-1]) for b in scope.bottoms)
        labels = scope.op("Cast", labels, to=7)
        yes = scope.op("Not", scope.op("Less", x, scope.const(self.param.thresh)))
        true = scope.op("Not", scope.op("Equal", labels, scope.const(0, "int64")))
        counts = []
        for found in (yes, scope.op("Not", yes)):
            for real in (true, scope.op("Not", true)):
                both = scope.op("And", found, real)
                if self.param.HasField("ignore_label"):
                    ignored = scope.op("Equal", labels, scope.const(self.param.ignore_label, "int64"))
                    both = scope.op("And", both, scope.op("Not", ignored))
                counts.append(scope.op("ReduceSum", scope.op("Cast", both, to=1), keepdims=0))
        hits, false, missed, rejected = counts
        zero, one = scope.const(0.0), scope.const(1.0)

        def share(part: str, whole: str) -> str:
            none = scope.op("Equal", whole, zero)
            return scope.op("Where", none, zero, scope.op("Div", part, scope.op("Where", none, one, whole)))

        precision = share(hits, scope.op("Add", hits, false))
        recall = share(hits, scope.op("Add", hits, missed))
        right, wrong = scope.op("Add", hits, rejected), scope.op("Add", false, missed)
        product = scope.op("Mul", precision, recall)
        return [
            precision,
            recall,
            scope.op("Div", right, scope.op("Add", right, wrong)),
            scope.op("Div", rejected, scope.op("Add", false, rejected)),
            share(scope.op("Add", product, product), scope.op("Add", precision, recall)),
        ]

    def torch(self, scope: TorchScope) -> Compute:
        thresh = self.param.thresh
        ignored = self.param.ignore_label if self.param.HasField("ignore_label") else None

        def compute(own: Any, x: Any, labels: Any) -> list[Any]:
            x, labels = x.reshape(-1), labels.reshape(-1).long()
            if ignored is not None:
                x, labels = x[labels != ignored], labels[labels != ignored]
            yes, true = x >= thresh, labels != 0
            hits, false, missed, rejected = ((a & b).to(x.dtype).sum() for a in (yes, ~yes) for b in (true, ~true))

            def share(part: Any, whole: Any) -> Any:
                return part / whole if whole else part.new_zeros(())

            precision, recall = share(hits, hits + false), share(hits, hits + missed)
            accuracy = (hits + rejected) / (hits + rejected + false + missed)
            f_measure = share(2 * precision * recall, precision + recall)
            return [precision, recall, accuracy, rejected / (false + rejected), f_measure]

        return compute


@register("WeightedFmeasureLoss")
class WeightedFmeasureLoss(LossLayer):
    """One minus the F-measure of values x in 0..1 and targets t; places have weights for recall (r) and precision (p).

    Recall is ``sum x t r / sum t r``, precision ``sum x t p / sum x p``. Below a ``margin`` of 0.5 a value that lies
    farther than it from 0.5 on the target's side counts as the target. Where either is 0, the loss is ``mse_lambda``
    times half the mean of ``(t - x)^2`` weighted by p. With ``avg_fm`` it is the mean of that of every sample
    (``weighted_fmeasure_loss_layer.cpp`` of ctensmeyer/caffe; it writes the counted values into its bottom, which here
    stays as it is).
    """

    param_name = "weighted_fmeasure_loss_param"
    bottom_count = (4, 4)
    in_place_allowed = False
    auto_tops = True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if len({math.prod(b) for b in bottoms}) > 1 or len({b[:1] for b in bottoms}) > 1 or not bottoms[0]:
            self.fail(f"takes four bottoms of one size, has {', '.join(map(str, bottoms))}")
        return [()]

    def onnx(self, scope: LayerScope) -> list[str]:
        line = [0, -1] if self.param.avg_fm else [1, -1]
        x, t, r, p = (scope.reshape(b, line) for b in scope.bottoms)
        margin, half = self.param.margin, scope.const(0.5)
        if 0 < margin < 0.5:
            true = scope.op("Greater", t, half)
            high = scope.op("Not", scope.op("Less", x, scope.const(0.5 + margin)))
            low = scope.op("Not", scope.op("Greater", x, scope.const(0.5 - margin)))
            sure = scope.op("Or", scope.op("And", true, high), scope.op("And", scope.op("Not", true), low))
            x = scope.op("Where", sure, t, x)

        def total(*factors: str) -> str:
            product = factors[0]
            for factor in factors[1:]:
                product = scope.op("Mul", product, factor)
            return scope.op("ReduceSum", product, scope.ints([1]), keepdims=1)

        zero, one = scope.const(0.0), scope.const(1.0)

        def share(part: str, whole: str) -> str:
            none = scope.op("Equal", whole, zero)
            return scope.op("Where", none, zero, scope.op("Div", part, scope.op("Where", none, one, whole)))

        recall, precision = share(total(x, t, r), total(t, r)), share(total(x, t, p), total(x, p))
        product = scope.op("Mul", recall, precision)
        f_measure = share(scope.op("Add", product, product), scope.op("Add", recall, precision))
        difference = scope.op("Sub", t, x)
        errors = scope.op("Abs", scope.op("Mul", scope.op("Mul", difference, difference), p))
        mean = share(total(errors), total(scope.op("Abs", p)))
        mean = scope.op("Mul", mean, scope.const(0.5 * self.param.mse_lambda))
        loss = scope.op("Where", scope.op("Equal", product, zero), mean, scope.op("Sub", one, f_measure))
        return [scope.op("ReduceMean", loss, keepdims=0)]

    def torch(self, scope: TorchScope) -> Compute:
        torch, margin, average, weight = scope.torch, self.param.margin, self.param.avg_fm, self.param.mse_lambda

        def compute(own: Any, *bottoms: Any) -> list[Any]:
            x, t, r, p = (b.reshape(b.shape[0] if average else 1, -1) for b in bottoms)
            if 0 < margin < 0.5:
                x = torch.where(torch.where(t > 0.5, x >= 0.5 + margin, x <= 0.5 - margin), t, x)

            def share(part: Any, whole: Any) -> Any:
                return torch.where(whole == 0, torch.zeros_like(part), part / torch.where(whole == 0, 1.0, whole))

            recall = share((x * t * r).sum(1), (t * r).sum(1))
            precision = share((x * t * p).sum(1), (x * p).sum(1))
            product = recall * precision
            mean = share(((t - x).square() * p).abs().sum(1), p.abs().sum(1)) * 0.5 * weight
            return [torch.where(product == 0, mean, 1 - share(2 * product, recall + precision)).mean()]

        return compute
