"""Losses of scores or probabilities against one label a sample: HingeLoss, MultinomialLogisticLoss, InfogainLoss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.errors import LoweringError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Shape, register
from caffezoo.net.layers.losses import LabelledLayer, LossLayer

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

SMALLEST_PROBABILITY = 1e-20
"""``kLOG_THRESHOLD`` of Caffe's ``loss_layer.hpp``."""


class SampleLoss(LossLayer):
    """A loss over bottoms [N, ...] and N labels, divided by N."""

    bottom_count = (2, 2)
    in_place_allowed = False
    auto_tops = True
    judges = True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, labels = bottoms[:2]
        if not x or math.prod(labels) != x[0]:
            self.fail(f"takes one label a sample: {x} and {labels}")
        return [()]

    def _flat(self, scope: LayerScope) -> tuple[str, str]:
        """Append the first bottom as [N, K] and the labels as int64 [N, 1]."""
        shape = scope.bottom_shapes[0]
        x = scope.bottoms[0] if len(shape) == 2 else scope.reshape(scope.bottoms[0], [0, math.prod(shape[1:])])
        return x, scope.reshape(scope.op("Cast", scope.bottoms[1], to=7), [-1, 1])

    @staticmethod
    def _mean(scope: LayerScope, per_sample: str) -> str:
        """Append the mean of values [N, 1]."""
        return scope.op("ReduceMean", per_sample, keepdims=0)


@register("HingeLoss")
class HingeLoss(SampleLoss):
    """``sum max(0, 1 + x)`` with ``1 - x`` at the label, over N; with ``norm: L2`` the squares are summed
    (``hinge_loss_layer.cpp`` of BVLC)."""

    param_name = "hinge_loss_param"

    def onnx(self, scope: LayerScope) -> list[str]:
        x, labels = self._flat(scope)
        classes = math.prod(scope.bottom_shapes[0][1:])
        own = scope.op("Equal", labels, scope.const(np.arange(classes)[None], np.int64))
        margin = scope.op("Where", own, scope.op("Neg", x), x)
        margin = scope.op("Relu", scope.op("Add", margin, scope.const(1.0)))
        if self.param.norm == pb.HingeLossParameter.L2:
            margin = scope.op("Mul", margin, margin)
        return [self._mean(scope, scope.op("ReduceSum", margin, scope.ints([1]), keepdims=1))]

    def torch(self, scope: TorchScope) -> Compute:
        F, squared = scope.F, self.param.norm == pb.HingeLossParameter.L2

        def compute(own: Any, x: Any, labels: Any) -> list[Any]:
            x = x.flatten(1)
            mine = F.one_hot(labels.reshape(-1).long(), x.shape[1]).bool()
            margin = (1 + x.where(~mine, -x)).clamp(min=0)
            return [(margin.square() if squared else margin).sum() / x.shape[0]]

        return compute


@register("MultinomialLogisticLoss")
class MultinomialLogisticLoss(SampleLoss):
    """``-log(max(p[label], 1e-20))`` over N, of probabilities (``multinomial_logistic_loss_layer.cpp`` of BVLC)."""

    def onnx(self, scope: LayerScope) -> list[str]:
        x, labels = self._flat(scope)
        chosen = scope.op("Max", scope.op("GatherElements", x, labels, axis=1), scope.const(SMALLEST_PROBABILITY))
        return [scope.op("Neg", self._mean(scope, scope.op("Log", chosen)))]

    def torch(self, scope: TorchScope) -> Compute:
        def compute(own: Any, x: Any, labels: Any) -> list[Any]:
            chosen = x.flatten(1).gather(1, labels.reshape(-1, 1).long())
            return [-chosen.clamp(min=SMALLEST_PROBABILITY).log().mean()]

        return compute


@register("InfogainLoss")
class InfogainLoss(LabelledLayer, LossLayer):
    """``-sum_k H[label, k] log(max(softmax(x)[k], 1e-20))``, divided as ``normalization`` says.

    H [K, K] is the third bottom, or the BlobProto in the file ``source``. VALID (the default) divides by the labels
    that are not ignored; a second top is the softmax (``infogain_loss_layer.cpp`` of BVLC).
    """

    param_name = "loss_param"
    bottom_count = (2, 3)
    top_count = (1, 2)
    auto_tops = True

    def class_axis(self) -> int:
        return int(self.proto.infogain_loss_param.axis)

    def along(self, bottoms: Sequence[Shape]) -> int:
        return super().along(bottoms[:2])

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        axis = self.along(bottoms)
        classes = bottoms[0][axis]
        if self.param.HasField("normalize"):
            self.fail("takes normalization, not the older normalize")
        if len(bottoms) == 3 and math.prod(bottoms[2]) != classes * classes:
            self.fail(f"takes an infogain matrix of {classes} x {classes}, has {bottoms[2]}")
        if len(bottoms) == 2 and not self.proto.infogain_loss_param.source:
            self.fail("takes an infogain matrix, as a third bottom or as infogain_loss_param { source }")
        return [(), bottoms[0]][: self.top_number]

    def matrix(self, classes: int) -> np.ndarray:
        """Return H from its file.

        Raises
        ------
        LoweringError
            It cannot be read, or holds another number of values.
        """
        source = self.proto.infogain_loss_param.source
        blob = pb.BlobProto()
        try:
            blob.ParseFromString(Path(source).read_bytes())
        except Exception as error:
            said = error.strerror if isinstance(error, OSError) else "it is no BlobProto"
            raise LoweringError(f"cannot read the infogain matrix {source}: {said}", where=self.label) from None
        values = np.array(blob.data or blob.double_data, np.float32)
        if values.size != classes * classes:
            raise LoweringError(f"{source} holds {values.size} values, not {classes} x {classes}", where=self.label)
        return values.reshape(classes, classes)

    def onnx(self, scope: LayerScope) -> list[str]:
        axis, shape = self.along(scope.bottom_shapes), scope.bottom_shapes[0]
        classes, last = shape[axis], len(shape) - 1
        softmax = scope.op("Softmax", scope.bottoms[0], axis=axis)
        labels = self._labels(scope, axis)
        counted, labels = self._counted(scope, labels, self.param)
        if len(scope.bottoms) == 3:
            gains = scope.reshape(scope.bottoms[2], [classes, classes])
        else:
            gains = scope.const(self.matrix(classes))
        rows = scope.op("Gather", gains, scope.op("Squeeze", labels, scope.ints([axis])), axis=0)
        if axis != last:  # the classes of the chosen rows stand last: bring them to their axis
            rows = scope.op("Transpose", rows, perm=[*range(axis), last, *range(axis, last)])
        logs = scope.op("Log", scope.op("Max", softmax, scope.const(SMALLEST_PROBABILITY)))
        loss = scope.op("ReduceSum", scope.op("Mul", rows, logs), scope.ints([axis]), keepdims=1)
        total = scope.op("Neg", scope.op("ReduceSum", scope.op("Mul", loss, counted), keepdims=0))
        rule = int(self.param.normalization)
        if rule != pb.LossParameter.NONE:
            if rule == pb.LossParameter.VALID:
                divisor = scope.op("ReduceSum", counted, keepdims=0)
            else:
                divisor = scope.op("Cast", scope.op("Size", labels), to=1)
                if rule == pb.LossParameter.BATCH_SIZE:
                    divisor = scope.op("Div", divisor, scope.const(math.prod(shape[axis + 1 :])))
            total = scope.op("Div", total, scope.op("Max", divisor, scope.const(1.0)))
        return [total, softmax][: len(scope.node.tops)]

    def torch(self, scope: TorchScope) -> Compute:
        F, axis = scope.F, self.along(scope.bottom_shapes)
        shape, tops, rule = scope.bottom_shapes[0], len(scope.node.tops), int(self.param.normalization)
        chosen, classes = self._chosen(scope, axis), shape[axis]
        inner = math.prod(shape[axis + 1 :])
        if len(scope.bottom_shapes) == 2:
            scope.constant("gains", self.matrix(classes))

        def compute(own: Any, x: Any, labels: Any, *matrix: Any) -> list[Any]:
            labels, counted = chosen(labels)
            gains = matrix[0].reshape(classes, classes) if matrix else own.gains
            softmax = F.softmax(x, axis)
            rows = gains[labels.squeeze(axis)].movedim(-1, axis)
            loss = -(rows * softmax.clamp(min=SMALLEST_PROBABILITY).log()).sum(axis, keepdim=True) * counted
            divisor: Any = 1
            if rule == pb.LossParameter.VALID:
                divisor = counted.sum().clamp(min=1)
            elif rule != pb.LossParameter.NONE:
                divisor = labels.numel() / (inner if rule == pb.LossParameter.BATCH_SIZE else 1)
            return [loss.sum() / divisor, softmax][:tops]

        return compute
