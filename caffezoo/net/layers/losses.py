"""Losses and accuracy, for train_val files: functions of predictions and labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

SMALLEST = float(np.finfo(np.float32).tiny)
LARGEST_LOSS = -math.log(SMALLEST)
IGNORES_NONE = -(2**31) - 1


class LossLayer(Layer):
    """A layer whose first top counts in the network's loss unless ``loss_weight`` says otherwise."""

    def loss_weights(self) -> tuple[float, ...]:
        if self.proto.loss_weight:
            return super().loss_weights()
        return (1.0,) + (0.0,) * (len(self.proto.top) - 1)


class LabelledLayer(Layer):
    """A layer over predictions and one label for each position outside the class axis."""

    bottom_count = (2, 2)
    in_place_allowed = False
    judges = True

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return self.along(bottoms) == 0

    def class_axis(self) -> int:
        """Return the axis of the classes as the prototxt gives it."""
        raise NotImplementedError

    def along(self, bottoms: Sequence[Shape]) -> int:
        """Return the class axis, after checking that the labels fit."""
        scores, labels = bottoms
        axis = self.axis(self.class_axis(), len(scores))
        positions = math.prod(scores) // scores[axis]
        if math.prod(labels) != positions:
            self.fail(f"takes {positions} labels for predictions {scores} over axis {axis}, has {math.prod(labels)}")
        return axis

    def _labels(self, scope: LayerScope, axis: int) -> str:
        """Append the labels as int64, in the rank of the scores, with 1 on the class axis."""
        line = [-1, *scope.bottom_shapes[0][1:]]
        if axis == 0:
            scope.fix_batch()
        line[axis] = 1
        return scope.reshape(scope.op("Cast", scope.bottoms[1], to=7), line)

    def _counted(self, scope: LayerScope, labels: str, param: object) -> tuple[str, str]:
        """Append 1 for every label that counts and 0 for ``ignore_label``; return it and labels that all exist."""
        if not param.HasField("ignore_label"):  # type: ignore[attr-defined]
            one = scope.op("Expand", scope.const(1.0), scope.op("Shape", labels))
            return one, labels
        ignored = scope.op("Equal", labels, scope.const(self.param.ignore_label, np.int64))
        counted = scope.op("Cast", scope.op("Not", ignored), to=1)
        return counted, scope.op("Where", ignored, scope.const(0, np.int64), labels)

    def _chosen(self, scope: TorchScope, axis: int) -> Callable[[Any], tuple[Any, Any]]:
        """Return what makes int64 labels in the rank of the scores, all existing, and 1.0 for those that count."""
        shape = scope.bottom_shapes[0]
        line = [-1, *shape[1:axis], 1, *shape[axis + 1 :]] if axis else [1, *shape[1:]]
        ignore = int(self.param.ignore_label) if self.param.HasField("ignore_label") else None
        return lambda labels: _split_ignored(labels.long().reshape(line), ignore)


def _split_ignored(labels: Any, ignore: int | None) -> tuple[Any, Any]:
    counted = labels != (ignore if ignore is not None else IGNORES_NONE)
    return labels * counted, counted.float()


@register("SoftmaxWithLoss")
class SoftmaxWithLoss(LabelledLayer, LossLayer):
    """``-log(max(softmax(x)[label], FLT_MIN))`` summed over labels and divided as ``normalization`` says.

    VALID: by labels that are not ignored; FULL: by all; BATCH_SIZE: by the axes before the class axis; NONE: by 1;
    PRE_FIXED (R-FCN's fork): by ``pre_fixed_normalizer``; never by less than 1. A second top is the softmax.
    """

    param_name = "loss_param"
    top_count = (1, 2)
    auto_tops = True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self.along(bottoms)
        tops = len(self.proto.top)
        if tops > 1 and len(self.proto.loss_weight) != tops:
            flags = " ".join(["loss_weight: 1", *["loss_weight: 0"] * (tops - 1)])
            self.fail(f"with {tops} tops takes {tops} loss_weight", hint=f"give {flags}")
        return [(), bottoms[0]][: self.top_number]

    def class_axis(self) -> int:
        return int(self.proto.softmax_param.axis)

    @property
    def normalization(self) -> int:
        """The divisor's rule; the older ``normalize`` means VALID or BATCH_SIZE."""
        if self.param.HasField("normalize") and not self.param.HasField("normalization"):
            return int(pb.LossParameter.VALID if self.param.normalize else pb.LossParameter.BATCH_SIZE)
        return int(self.param.normalization)

    def onnx(self, scope: LayerScope) -> list[str]:
        axis = self.along(scope.bottom_shapes)
        softmax = scope.op("Softmax", scope.bottoms[0], axis=axis)
        counted, labels = self._counted(scope, self._labels(scope, axis), self.param)
        chosen = scope.op("GatherElements", softmax, labels, axis=axis)
        loss = scope.op("Neg", scope.op("Log", scope.op("Max", chosen, scope.const(SMALLEST))))
        each = scope.op("Mul", loss, counted)
        total = scope.op("ReduceSum", each, keepdims=0)
        if self.normalization == pb.LossParameter.NONE:
            divisor = scope.const(1.0)
        elif self.normalization == pb.LossParameter.VALID:
            divisor = scope.op("ReduceSum", counted, keepdims=0)
        elif self.normalization == pb.LossParameter.PRE_FIXED:
            divisor = scope.const(self.param.pre_fixed_normalizer)
        else:
            divisor = scope.op("Cast", scope.op("Size", labels), to=1)
            if self.normalization == pb.LossParameter.BATCH_SIZE:
                inner = math.prod(scope.bottom_shapes[0][axis + 1 :])
                divisor = scope.op("Div", divisor, scope.const(inner))
        found = [scope.op("Div", total, scope.op("Max", divisor, scope.const(1.0))), softmax]
        if len(scope.node.tops) == 3:
            found.append(scope.op("Reshape", each, scope.op("Shape", scope.bottoms[1])))
        return found[: len(scope.node.tops)]

    def torch(self, scope: TorchScope) -> Compute:
        F, axis = scope.F, self.along(scope.bottom_shapes)
        tops, rule, chosen = len(scope.node.tops), self.normalization, self._chosen(scope, axis)
        inner, fixed = math.prod(scope.bottom_shapes[0][axis + 1 :]), self.param.pre_fixed_normalizer

        def compute(own: Any, scores: Any, labels: Any) -> list[Any]:
            like = labels.shape
            labels, counted = chosen(labels)
            # FLT_MIN bounds Caffe's probability from below, and so -log(probability) from above.
            # The bound is in the value alone: the gradient is the probability, less 1 at the label, everywhere.
            loss = -F.log_softmax(scores.float(), axis).gather(axis, labels)
            loss = loss - (loss.detach() - LARGEST_LOSS).clamp(min=0)
            each = loss * counted
            divisor: Any = 1.0
            if rule == pb.LossParameter.VALID:
                divisor = counted.sum().clamp(min=1.0)
            elif rule == pb.LossParameter.PRE_FIXED:
                divisor = max(fixed, 1.0)
            elif rule != pb.LossParameter.NONE:
                divisor = labels.numel() / (inner if rule == pb.LossParameter.BATCH_SIZE else 1)
            return [each.sum() / divisor, F.softmax(scores, axis), each.reshape(like)][:tops]

        return compute


@register("Accuracy")
class Accuracy(LabelledLayer):
    """Share of labels that less than ``top_k`` other classes score as high as; a tie counts against the label.

    Labels equal to ``ignore_label`` do not count. A second top is the share for each class.
    """

    param_name = "accuracy_param"
    differentiable = False
    top_count = (1, 2)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        axis = self.along(bottoms)
        if self.param.top_k > bottoms[0][axis]:
            self.fail(f"top_k {self.param.top_k} is more than the {bottoms[0][axis]} classes")
        return [(), (bottoms[0][axis],)][: len(self.proto.top)]

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def class_axis(self) -> int:
        return int(self.param.axis)

    def onnx(self, scope: LayerScope) -> list[str]:
        axis, scores = self.along(scope.bottom_shapes), scope.bottoms[0]
        counted, labels = self._counted(scope, self._labels(scope, axis), self.param)
        own = scope.op("GatherElements", scores, labels, axis=axis)
        not_below = scope.op("Cast", scope.op("GreaterOrEqual", scores, own), to=1)
        rank = scope.op("ReduceSum", not_below, scope.ints([axis]), keepdims=1)
        correct = scope.op("Cast", scope.op("LessOrEqual", rank, scope.const(self.param.top_k)), to=1)
        correct = scope.op("Mul", correct, counted)
        tops = [self._share(scope, correct, counted, None)]
        if len(scope.node.tops) == 2:
            shape = scope.bottom_shapes[0]
            line = [1] * len(shape)
            line[axis] = shape[axis]
            classes = scope.const(np.arange(shape[axis]).reshape(line), np.int64)
            member = scope.op("Mul", scope.op("Cast", scope.op("Equal", labels, classes), to=1), counted)
            over = [i for i in range(len(shape)) if i != axis]
            tops.append(self._share(scope, scope.op("Mul", member, correct), member, over))
        return tops

    def torch(self, scope: TorchScope) -> Compute:
        axis, top_k, tops = self.along(scope.bottom_shapes), int(self.param.top_k), len(scope.node.tops)
        chosen, F = self._chosen(scope, axis), scope.F
        classes, over = scope.bottom_shapes[0][axis], [i for i in range(len(scope.bottom_shapes[0])) if i != axis]

        def compute(own: Any, scores: Any, labels: Any) -> list[Any]:
            labels, counted = chosen(labels)
            rank = (scores >= scores.gather(axis, labels)).sum(axis, keepdim=True)
            correct = (rank <= top_k) * counted
            found = [correct.sum() / counted.sum().clamp(min=1.0)]
            if tops == 2:
                member = F.one_hot(labels.squeeze(axis), classes).movedim(-1, axis) * counted
                found.append((member * correct).sum(over) / member.sum(over).clamp(min=1.0))
            return found

        return compute

    def _share(self, scope: LayerScope, part: str, whole: str, axes: list[int] | None) -> str:
        """Append part / whole, both summed over axes (all of them if None); 0 where whole is 0."""
        over = [scope.ints(axes)] if axes is not None else []
        found, total = (scope.op("ReduceSum", t, *over, keepdims=0) for t in (part, whole))
        return scope.op("Div", found, scope.op("Max", total, scope.const(1.0)))


@register("EuclideanLoss")
class EuclideanLoss(LossLayer):
    """``sum (a - b)^2 / (2 N)`` over two bottoms of one batch size and one number of values a sample."""

    bottom_count = (2, 2)
    in_place_allowed = False
    auto_tops = True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        a, b = bottoms
        if not a or not b or a[0] != b[0] or math.prod(a) != math.prod(b):
            self.fail(f"bottoms must agree in batch size and values a sample, have {a} and {b}")
        return [()]

    def onnx(self, scope: LayerScope) -> list[str]:
        a, b = (
            x if len(s) == 2 else scope.reshape(x, [0, math.prod(s[1:])])
            for x, s in zip(scope.bottoms, scope.bottom_shapes, strict=True)
        )
        d = scope.op("Sub", a, b)
        per_sample = scope.op("ReduceSum", scope.op("Mul", d, d), scope.ints([1]), keepdims=0)
        mean = scope.op("ReduceMean", per_sample, axes=[0], keepdims=0)
        return [scope.op("Mul", mean, scope.const(0.5))]

    def torch(self, scope: TorchScope) -> Compute:
        return lambda own, a, b: [(a.flatten(1) - b.flatten(1)).square().sum() / (2 * a.shape[0])]
