"""PR: what document binarisation is judged with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from caffezoo.net.layer import Layer, Shape, register
from caffezoo.net.own_fields import fields

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
    own_fields = fields(thresh=0.5, ignore_label=int)
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
                if self.param.ignore_label is not None:
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
        thresh, ignored = self.param.thresh, self.param.ignore_label

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
