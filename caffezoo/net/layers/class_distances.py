"""Distances of samples to classes, and losses over them (NormFace, Wang et al., 2017; happynear/caffe-windows)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.net.formula_layer import LabelLoss
from caffezoo.net.layer import Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

EPSILON = 1e-6
"""What the fork adds to a sum of squares before its root."""


@register("InnerDistance")
class InnerDistance(Layer):
    """Distance of every sample to every centre: ``sum_k (x_k - w_k)^2``; with distance_type L1 of ``|x_k - w_k|``.

    The centres [num_output, K] are a blob, or the second bottom. With ``normalize`` a centre of the layer's own is
    divided by ``sqrt(sum w^2 + 1e-6)`` first. Source: ``inner_distance_layer.cpp`` of happynear/caffe-windows.
    """

    param_name = "inner_distance_param"
    bottom_count = (1, 2)
    in_place_allowed = False

    @property
    def kind(self) -> str:
        """L1 or L2."""
        return str(self.param.distance_type)

    def start(self, bottom: Shape) -> int:
        """Return the first axis of the values of a sample."""
        return self.axis(self.param.axis, len(bottom))

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, axis = bottoms[0], self.start(bottoms[0])
        if self.kind not in ("L1", "L2"):
            self.fail(f"distance_type {self.kind} is neither L1 nor L2")
        if self.param.transpose:
            self.fail("transpose is not supported: the fork reads the centres as if it were not set")
        if self.param.update_center_only:
            self.fail("update_center_only, which takes labels as well, is not supported")
        if len(bottoms) == 2:
            if not bottoms[1] or math.prod(bottoms[1][1:]) != math.prod(x[axis:]):
                self.fail(f"takes centres of {math.prod(x[axis:])} values, has {bottoms[1]}")
            return [(*x[:axis], bottoms[1][0])]
        if self.param.bias_term:
            self.fail("bias_term is not supported: the fork has dropped it")
        if self.param.num_output < 1:
            self.fail("num_output must be positive")
        return [(*x[:axis], self.param.num_output)]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if len(bottoms) == 2:
            return []
        return [(self.param.num_output, math.prod(bottoms[0][self.start(bottoms[0]) :]))]

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return math.prod(tops[0]) * math.prod(bottoms[0][self.start(bottoms[0]) :])

    def onnx(self, scope: LayerScope) -> list[str]:
        shape, axis = scope.bottom_shapes[0], self.start(scope.bottom_shapes[0])
        if axis == 0:
            scope.fix_batch()
        count = math.prod(shape[axis:])
        lead = [0, *shape[1:axis]] if axis else []
        x = scope.reshape(scope.bottoms[0], [*lead, 1, count])
        if len(scope.bottoms) == 2:
            w = scope.reshape(scope.bottoms[1], [scope.bottom_shapes[1][0], count])
        else:
            w = scope.const(self._centres(np, scope.blobs[0].astype(np.float64)).astype(np.float32))
        d = scope.op("Sub", x, w)
        d = scope.op("Mul", d, d) if self.kind == "L2" else scope.op("Abs", d)
        return [scope.op("ReduceSum", d, scope.ints([-1]), keepdims=0)]

    def torch(self, scope: TorchScope) -> Compute:
        torch, axis, squared = scope.torch, self.start(scope.bottom_shapes[0]), self.kind == "L2"
        scope.learn()

        def compute(own: Any, x: Any, *centres: Any) -> list[Any]:
            w = centres[0].flatten(1) if centres else self._centres(torch, own.blob0)
            d = x.flatten(axis).unsqueeze(axis) - w
            return [(d.square() if squared else d.abs()).sum(-1)]

        return compute

    def _centres(self, xp: Any, w: Any) -> Any:
        return w / xp.sqrt((w * w).sum(1).reshape(-1, 1) + EPSILON) if self.param.normalize else w


class DistanceLoss(LabelLoss):
    """A loss over distances [N, K] to classes; a second top is what it counts beside."""

    top_count = (1, 2)

    @property
    def side_values(self) -> int:
        """How many values the second top holds."""
        return 2

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        super().top_shapes(bottoms)
        if math.prod(bottoms[0][1:]) < 2:
            self.fail("takes distances to two classes or more")
        return [(), (self.side_values,)][: self.top_number]

    def formula(self, xp: Any, bottoms: Sequence[Any], blobs: Sequence[Any]) -> list[Any]:
        d = bottoms[0].reshape(bottoms[0].shape[0], -1)
        own = self.members(xp, bottoms[1], d.shape[1])
        loss, side = self.judge(xp, d, own, (d * own).sum(1))
        return [loss / d.shape[0], xp.stack(side) / d.shape[0]][: self.top_number]

    def judge(self, xp: Any, d: Any, own: Any, same: Any) -> tuple[Any, list[Any]]:
        """Return the loss and the side values, both summed over samples.

        Parameters
        ----------
        xp : module
        d, own : array [N, K]
            Distances, and where the label is.
        same : array [N]
            Distances to the own class.
        """
        raise NotImplementedError(f"{type(self).__name__} has no loss")


@register("GeneralContrastiveLoss")
class GeneralContrastiveLoss(DistanceLoss):
    """``sum_i w+ clip(d_i,label - m+, 0, thresh) + sum_j w- max(m- - d_ij, 0)`` over N.

    ``exp_negative_weight`` takes ``exp(-d)`` below m- instead; ``max_negative_only`` keeps the largest negative term of
    a sample, ``max_positive_only`` the smallest positive term of the batch, as the fork does; ``positive_first`` drops
    the negatives of samples whose d is above ``positive_upper_bound``. Second top: mean positive and negative distance,
    with ``add_intra_mae`` also its running mean after a first pass. Source: ``general_constrastive_loss_layer.cpp`` of
    happynear/caffe-windows.
    """

    param_name = "general_contrastive_loss_param"

    @property
    def side_values(self) -> int:
        return 3 if self.param.add_intra_mae else 2

    def judge(self, xp: Any, d: Any, own: Any, same: Any) -> tuple[Any, list[Any]]:
        given, margin = self.param, self.param.negative_margin
        positive = (same - given.positive_margin).clip(0, given.positive_outlier_thresh)
        apart = (margin - d).clip(0, None) * ~own
        negative = xp.where((d < margin) & ~own, xp.exp(-d), 0.0 * d) if given.exp_negative_weight else apart
        plus = positive * abs(given.positive_weight)
        minus = negative * abs(given.negative_weight)
        if given.positive_first:
            minus = minus * (same <= given.positive_upper_bound).reshape(-1, 1)
        if given.max_negative_only:
            # the search begins at class 0, which for samples of that class holds the positive term
            largest = xp.amax(minus, 1)
            minus = largest * (~own[:, 0] | (largest > plus))
        loss = (plus.min() if given.max_positive_only else plus.sum()) + minus.sum()
        side = [positive.sum(), apart.sum() / (d.shape[1] - 1)]
        if given.add_intra_mae:
            most = given.max_negative_margin * d.shape[0]
            side.append((0.01 * positive.sum()).clip(None, most))
        return loss, side


@register("GeneralTripletLoss")
class GeneralTripletLoss(DistanceLoss):
    """``sum_j!=label w- max(d_i,label + margin - d_ij, 0)`` over N; with ``hardest_only`` the largest j alone.

    ``positive_first`` drops samples whose own distance is above ``positive_upper_bound``. Second top: mean distance to
    the own class and to the others. Its gradient holds the centre loss of ``add_center_loss`` in the fork, which the
    value does not, so none is given here. Source: ``general_triplet_loss_layer.cpp`` of happynear/caffe-windows.
    """

    param_name = "general_triplet_loss_param"
    differentiable = False

    def judge(self, xp: Any, d: Any, own: Any, same: Any) -> tuple[Any, list[Any]]:
        given = self.param
        terms = (same.reshape(-1, 1) + given.margin - d).clip(0, None) * ~own
        if given.positive_first:
            terms = terms * (same <= given.positive_upper_bound).reshape(-1, 1)
        loss = xp.amax(terms, 1) if given.hardest_only else terms
        others = (d * ~own).sum() / (d.shape[1] - 1)
        return loss.sum() * abs(given.negative_weight), [same.sum(), others]
