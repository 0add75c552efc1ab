"""Tags of a sample and labels of a map: losses, scores and lists of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.formula_layer import FormulaLayer, FormulaLoss
from caffezoo.net.host_layer import HostLayer
from caffezoo.net.layer import Shape, register
from caffezoo.net.layers.losses import SMALLEST
from caffezoo.net.own_fields import fields


@register("MultiLabelLoss")
class MultiLabelLoss(FormulaLoss):
    """``sum log(1 + exp(-s x))`` over N, s = 1 for tags above 0 and -1 for tags below; a tag of 0 does not count.

    A second top is the sigmoid of x. Source: ``multi_label_loss_layer.cpp`` of the forks with MultiLabelAccuracy.
    """

    top_count = (1, 2)
    judges = True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self.check_alike(bottoms)
        return [(), bottoms[0]][: self.top_number]

    def formula(self, xp: Any, bottoms: Sequence[Any], blobs: Sequence[Any]) -> list[Any]:
        x, tags = bottoms[0], bottoms[1].reshape(bottoms[0].shape)
        margin = x * (1 - 2 * (tags > 0))  # -s x
        terms = xp.log1p(xp.exp(-abs(margin))) + margin.clip(0, None)
        return [(terms * (tags != 0)).sum() / x.shape[0], 1 / (1 + xp.exp(-x))][: self.top_number]


@register("MultiLabelAccuracy")
class MultiLabelAccuracy(HostLayer):
    """Recall, share of right negatives, their harmonic mean, precision and F1 of tags, [1, 5, 1, 1].

    A value of at least 0 says that the tag holds; tags above 0 hold, those below do not, 0 does not count. Source:
    ``multi_label_accuracy_layer.cpp`` of kevinlin311tw/Caffe-DeepBinaryCode.
    """

    bottom_count = (2, 2)
    judges = True

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if not bottoms[0] or math.prod(bottoms[0]) != math.prod(bottoms[1]) or bottoms[0][:1] != bottoms[1][:1]:
            self.fail(f"takes as many tags as values, has {bottoms[0]} and {bottoms[1]}")
        return [(1, 5, 1, 1)]

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        said, tags = bottoms[0].ravel() >= 0, bottoms[1].ravel().astype(np.int64)
        holds, fails = tags > 0, tags < 0
        right, refused = np.float64((said & holds).sum()), np.float64((~said & fails).sum())
        positives, negatives, claimed = holds.sum(), fails.sum(), right + (said & fails).sum()
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = [
                right / positives if positives else 0,
                refused / negatives if negatives else 0,
                2 / (positives / right + negatives / refused) if positives + negatives else 0,
                right / claimed if right else 0,
                2 * right / (positives + claimed) if right else 0,
            ]
        return [np.array(scores, np.float32).reshape(1, 5, 1, 1)]


@register("WeightedSoftmaxWithLoss")
class WeightedSoftmaxWithLoss(FormulaLoss):
    """``-sum w log softmax(x)[label]`` with a weight for every label, the third bottom.

    VALID (the default) divides by the weights of the labels that are not ignored, FULL by the number of labels,
    BATCH_SIZE by the axes before the class axis, NONE by 1; never by less than 1. A second top is the softmax. Source:
    ``weighted_softmax_loss_layer.cpp`` of DeepLab's forks; those that weight a class instead take two bottoms.
    """

    param_name = "loss_param"
    bottom_count = (3, 3)
    top_count = (1, 2)
    judges = True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x = bottoms[0]
        axis = self.axis(int(self.proto.softmax_param.axis), len(x))
        if any(math.prod(b) != math.prod(x) // x[axis] for b in bottoms[1:]):
            self.fail(f"takes a label and a weight for each place, has {[list(b) for b in bottoms]}")
        if self.param.normalization == pb.LossParameter.PRE_FIXED:
            self.fail("normalization PRE_FIXED is not supported")
        return [(), x][: self.top_number]

    def formula(self, xp: Any, bottoms: Sequence[Any], blobs: Sequence[Any]) -> list[Any]:
        shape = bottoms[0].shape
        axis = self.axis(int(self.proto.softmax_param.axis), len(shape))
        outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
        x = bottoms[0].reshape(outer, shape[axis], inner)
        labels, weights = (b.reshape(outer, 1, inner) for b in bottoms[1:])
        labels = xp.trunc(labels)
        counted = labels == labels
        if self.param.HasField("ignore_label"):
            counted = labels != self.param.ignore_label
        if bool((((labels < 0) | (labels >= shape[axis])) & counted).any()):
            self.fail_values(f"a label is not among the {shape[axis]} classes")
        e = xp.exp(x - xp.amax(x, 1).reshape(outer, 1, inner))
        softmax = e / e.sum(1).reshape(outer, 1, inner)
        own = labels == self.count_up(xp, shape[axis], x).reshape(1, -1, 1)
        weights = weights * counted
        total = -(weights * own * xp.log(softmax.clip(SMALLEST, None))).sum()
        return [total / self._divisor(weights.sum(), outer, inner), softmax.reshape(shape)][: self.top_number]

    def _divisor(self, weight: Any, outer: int, inner: int) -> Any:
        rule = int(self.param.normalization)
        if self.param.HasField("normalize") and not self.param.HasField("normalization"):
            rule = int(pb.LossParameter.VALID if self.param.normalize else pb.LossParameter.BATCH_SIZE)
        if rule == pb.LossParameter.VALID:
            return weight.clip(1, None)
        sizes: dict[int, int] = {pb.LossParameter.FULL: outer * inner, pb.LossParameter.BATCH_SIZE: outer}
        return max(sizes.get(rule, 1), 1)


@register("UniqueLabel")
class UniqueLabel(FormulaLayer):
    """The labels that occur in every map, and those of ``force_label``, in order: [N, max_labels, 1, 1], then -1.

    Labels of ``ignore_label`` are left out. Source: ``unique_label_layer.cpp`` of DeepLab.
    """

    param_name = "unique_label_param"
    own_fields = fields(ignore_label=[int], force_label=[int], max_labels=int)
    differentiable = False

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, most = bottoms[0], self.param.max_labels
        if len(x) != 4 or x[1] != 1:
            self.fail(f"takes maps of one channel, has {x}")
        if most is None or most <= len(set(self.param.force_label)):
            self.fail("max_labels must be given, and be more than the labels of force_label")
        return [(x[0], most, 1, 1)]

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        most, forced = int(self.param.max_labels), self.param.force_label
        top = np.full((len(bottoms[0]), most), -1, np.float32)
        for line, labels in zip(top, bottoms[0], strict=True):
            found = np.union1d(labels[~np.isin(labels, self.param.ignore_label)], np.array(forced, np.float32))
            if found.size > most:
                self.fail_values(f"a map has {found.size} labels, more than max_labels {most}")
            line[: found.size] = found
        return [top.reshape(-1, most, 1, 1)]
