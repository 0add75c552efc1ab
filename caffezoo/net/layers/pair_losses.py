"""Losses of blobs of one shape: ContrastiveLoss, TripletLoss and CosineLoss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.formula_layer import FormulaLoss
from caffezoo.net.layer import Shape, register
from caffezoo.net.layers.losses import LossLayer
from caffezoo.net.own_fields import fields

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("ContrastiveLoss")
class ContrastiveLoss(LossLayer):
    """``sum(y d^2 + (1 - y) max(margin - d, 0)^2) / (2 N)`` of the Euclidean distance d of the samples of two bottoms.

    y is the third bottom, 1 for similar pairs. With ``legacy_version`` the second term is ``max(margin - d^2, 0)``
    (``contrastive_loss_layer.cpp`` of BVLC).
    """

    param_name = "contrastive_loss_param"
    bottom_count = (3, 3)
    in_place_allowed = False
    auto_tops = True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        a, b, y = bottoms
        if len(a) < 2 or a[:2] != b[:2] or any(d != 1 for d in (*a[2:], *b[2:])):
            self.fail(f"takes two bottoms N x C, has {a} and {b}")
        if math.prod(y) != a[0]:
            self.fail(f"takes one label a pair: {a[0]} pairs, {y}")
        return [()]

    def onnx(self, scope: LayerScope) -> list[str]:
        a, b = (
            scope.bottoms[i] if len(scope.bottom_shapes[i]) == 2 else scope.op("Flatten", scope.bottoms[i], axis=1)
            for i in range(2)
        )
        difference, margin = scope.op("Sub", a, b), scope.const(self.param.margin)
        squared = scope.op("ReduceSum", scope.op("Mul", difference, difference), scope.ints([1]), keepdims=1)
        distance = squared if self.param.legacy_version else scope.op("Sqrt", squared)
        apart = scope.op("Relu", scope.op("Sub", margin, distance))
        if not self.param.legacy_version:
            apart = scope.op("Mul", apart, apart)
        label = scope.reshape(scope.op("Cast", scope.bottoms[2], to=7), [-1, 1])
        similar = scope.op("Not", scope.op("Equal", label, scope.const(0, np.int64)))
        mean = scope.op("ReduceMean", scope.op("Where", similar, squared, apart), keepdims=0)
        return [scope.op("Mul", mean, scope.const(0.5))]

    def torch(self, scope: TorchScope) -> Compute:
        margin, legacy = float(self.param.margin), bool(self.param.legacy_version)

        def compute(own: Any, a: Any, b: Any, y: Any) -> list[Any]:
            squared = (a.flatten(1) - b.flatten(1)).square().sum(1)
            if legacy:
                apart = (margin - squared).clamp(min=0)
            else:  # the root has no slope at 0: there Caffe's gradient is 0 as well
                safe = squared.where(squared > 0, squared.new_ones(()))
                distance = safe.sqrt().where(squared > 0, squared.new_zeros(()))
                apart = (margin - distance).clamp(min=0).square()
            similar = y.reshape(-1).long() != 0
            return [squared.where(similar, apart).sum() / (2 * a.shape[0])]

        return compute


@register("TripletLoss")
class TripletLoss(FormulaLoss):
    """``sum max(|a - p|^2 - |a - n|^2 + margin, 0) / (2 N)`` over anchors a, positives p and negatives n.

    A fourth bottom, weights that the forks do not read, may stand behind them. Source: ``triplet_loss_layer.cpp`` of
    the forks with three bottoms; those that take features and labels or triplets, one or two bottoms, differ from each
    other and are refused.
    """

    param_name = "triplet_loss_param"
    own_fields = fields(margin=1.0)
    bottom_count = (3, 4)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self.check_alike(bottoms[:3])
        if len(bottoms) == 4 and math.prod(bottoms[3]) != bottoms[0][0]:
            self.fail(f"takes one value a triplet as its fourth bottom, has {bottoms[3]}")
        return [()]

    def formula(self, xp: Any, bottoms: Sequence[Any], blobs: Sequence[Any]) -> list[Any]:
        anchor, positive, negative = (x.reshape(x.shape[0], -1) for x in bottoms[:3])
        near, far = ((anchor - x) ** 2 for x in (positive, negative))
        terms = (near.sum(1) - far.sum(1) + self.param.margin).clip(0, None)
        return [terms.sum() / (2 * anchor.shape[0])]


@register("CosineLoss")
class CosineLoss(FormulaLoss):
    """``sum 1 - a b / (|a| |b|)`` over samples, divided as ``normalization`` says.

    By the samples, or by 1 with NONE. Source: ``cosine_loss_layer.cpp`` of the forks with ``cosine_loss_param``; maps
    and other axes are not supported.
    """

    param_name = "cosine_loss_param"
    own_fields = fields(axis=1)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self.check_alike(bottoms)
        if len(bottoms[0]) < 2 or math.prod(bottoms[0][2:]) != 1 or self.param.axis != 1:
            self.fail(f"takes samples of values along axis 1, has {bottoms[0]}")
        return [()]

    def formula(self, xp: Any, bottoms: Sequence[Any], blobs: Sequence[Any]) -> list[Any]:
        a, b = (x.reshape(x.shape[0], -1) for x in bottoms)
        cosine = (a * b).sum(1) / xp.sqrt((a * a).sum(1) * (b * b).sum(1))
        none = self.proto.loss_param.normalization == pb.LossParameter.NONE
        return [(1 - cosine).sum() / (1 if none else a.shape[0])]
