"""Losses of forks over landmarks, heat maps and ranks: ages, joints, points of a face."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from caffezoo.net.formula_layer import FormulaLoss, LabelLoss
from caffezoo.net.host_layer import HostLayer
from caffezoo.net.layer import Shape, register
from caffezoo.net.own_fields import fields

POINTS = 68
"""Landmarks of a face in the 300-W scheme; a sample holds their x, then their y."""
OUTLINE, COARSE = 17, (17, 21, 22, 26, 27, 31, 35, 36, 39, 42, 45, 48, 54)


@register("EuclideanLossHeatmap")
class EuclideanLossHeatmap(FormulaLoss):
    """Mean of ``(a - b)^2`` over all values of square maps; a third bottom is only drawn.

    Its gradient in the fork is ``a - b``, whatever the size. Source: ``euclidean_loss_heatmap_layer.cpp`` of
    tpfister/caffe-heatmap (Pfister et al., 2015).
    """

    bottom_count = (2, 3)
    idle_fields = frozenset({"visualise", "visualise_channel"})
    differentiable = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self.check_alike(bottoms[:2])
        a = bottoms[0]
        if a != bottoms[1] or len(a) != 4 or a[2] != a[3]:
            self.fail(f"takes square maps of one shape: the fork reads others out of step, has {a} and {bottoms[1]}")
        return [()]

    def formula(self, xp: Any, bottoms: Sequence[Any], blobs: Sequence[Any]) -> list[Any]:
        return [((bottoms[0] - bottoms[1]) ** 2).mean()]


@register("WeightEuclideanLoss")
class WeightEuclideanLoss(FormulaLoss):
    """``sum w (a - b)^2 / (2 N)`` over 68 landmarks: their x, then their y.

    w is ``contour_weight`` for the outline (17 points), ``main_weight`` for the others, and ``coarse_weight`` for 13 of
    these; a weight of 0 leaves what the one before it says. A third bottom multiplies the squares. Source:
    ``weight_euclidean_loss_layer.cpp`` of goodluckcwl/custom-caffe.
    """

    param_name = "weight_euclidean_loss_param"
    bottom_count = (2, 3)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self.check_alike(bottoms)
        if math.prod(bottoms[0][1:]) != 2 * POINTS:
            self.fail(f"takes {2 * POINTS} values a sample, has {math.prod(bottoms[0][1:])}")
        if self.param.normalized:
            self.fail("normalized is not supported: the fork divides by what lies behind a sample's landmarks")
        return [()]

    def weights(self) -> np.ndarray:
        """Return the weight of every value of a sample."""
        line = np.zeros(POINTS)
        line[:OUTLINE], line[OUTLINE:] = self.param.contour_weight, self.param.main_weight
        if self.param.coarse_weight:
            line[list(COARSE)] = self.param.coarse_weight
        return np.tile(line, 2)

    def formula(self, xp: Any, bottoms: Sequence[Any], blobs: Sequence[Any]) -> list[Any]:
        a, b, *factor = (x.reshape(x.shape[0], -1) for x in bottoms)
        weights = xp.asarray(self.weights()) if xp is np else xp.asarray(self.weights()).to(a)
        squares = weights * (a - b) ** 2
        return [(squares * factor[0] if factor else squares).sum() / (2 * a.shape[0])]


@register("OrdinalRegressionLoss")
class OrdinalRegressionLoss(LabelLoss):
    """``-sum_k w_k log p_k(label > k)`` over N, of K pairs of scores (not above k, above k) each with its own softmax.

    Source: ``ordinal_regression_loss_layer.cpp`` of luoyetx/OrdinalRegression (Niu et al., 2016). Weights of a
    ``weight_file`` are not supported.
    """

    param_name = "ordinal_regression_loss_param"
    own_fields = fields(k=int, weight_file="")

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        super().top_shapes(bottoms)
        values, ranks = math.prod(bottoms[0][1:]), self.param.k
        if values % 2 or ranks not in (None, values // 2):
            self.fail(f"takes two scores for each of {ranks or 'its'} ranks, has {values}")
        if self.param.weight_file:
            self.fail("weight_file is not supported")
        return [()]

    def formula(self, xp: Any, bottoms: Sequence[Any], blobs: Sequence[Any]) -> list[Any]:
        x = bottoms[0].reshape(bottoms[0].shape[0], -1, 2)
        labels = xp.trunc(bottoms[1].reshape(-1, 1))
        if bool((labels > x.shape[1]).any()):
            self.fail_values(f"a label is above the {x.shape[1]} ranks")
        above = labels > self.count_up(xp, x.shape[1], labels)
        gap = xp.where(above, x[:, :, 0] - x[:, :, 1], x[:, :, 1] - x[:, :, 0])
        return [xp.log1p(xp.exp(-abs(gap))).sum() / x.shape[0] + gap.clip(0, None).sum() / x.shape[0]]


@register("MAE")
class RankError(HostLayer):
    """Mean of ``|label - rank|``, the rank being the number of pairs of scores whose second is larger.

    Source: ``mae_layer.cpp`` of luoyetx/OrdinalRegression; ``mae_param { ignore_label }`` leaves labels out.
    """

    param_name = "mae_param"
    own_fields = fields(ignore_label=int)
    bottom_count = (2, 2)
    judges = True

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x = bottoms[0]
        if len(x) < 2 or x[1] % 2 or math.prod(bottoms[1]) != x[0] * math.prod(x[2:]):
            self.fail(f"takes two scores a rank and one label a place, has {x} and {bottoms[1]}")
        return [()]

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        x, labels = bottoms[0], bottoms[1].reshape(bottoms[0].shape[0], -1).astype(np.int64)
        pairs = x.reshape(x.shape[0], x.shape[1] // 2, 2, -1)
        errors = abs(labels - (pairs[:, :, 0] < pairs[:, :, 1]).sum(1))
        counted = np.ones_like(errors, bool) if self.param.ignore_label is None else labels != self.param.ignore_label
        with np.errstate(invalid="ignore"):
            return [np.asarray(np.float32(errors[counted].sum()) / np.float32(counted.sum()), np.float32)]


@register("WingLoss")
class WingLoss(FormulaLoss):
    """``sum f(|a - b|) / N``, f(d) = w log(1 + d / epsilon) below w, else d - w + w log(1 + w / epsilon).

    Feng et al., 2018, equation 5; source: ``wing_loss_layer.cpp`` of xialuxi/arcface-caffe. Both fields must be given:
    forks differ in their defaults.
    """

    param_name = "wing_loss_param"
    own_fields = fields(w=float, epsilon=float)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self.check_alike(bottoms)
        if not self.param.w or not self.param.epsilon or min(self.param.w, self.param.epsilon) <= 0:
            self.fail("takes a positive w and a positive epsilon")
        return [()]

    def formula(self, xp: Any, bottoms: Sequence[Any], blobs: Sequence[Any]) -> list[Any]:
        d, w, epsilon = abs(bottoms[0] - bottoms[1].reshape(bottoms[0].shape)), self.param.w, self.param.epsilon
        far = d - w * (1 - math.log(1 + w / epsilon))
        return [xp.where(d < w, w * xp.log(1 + d / epsilon), far).sum() / d.shape[0]]


@register("HuberLoss")
class HuberLoss(FormulaLoss):
    """Mean over all values of d^2 / 2 below delta, else of delta (d - delta / 2), d = |a - b|.

    Source: ``huber_loss_layer.cpp`` of CSLJXing/caffe; its gradient reaches the first bottom alone.
    """

    param_name = "huber_loss_param"
    own_fields = fields(delta=float)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self.check_alike(bottoms)
        if self.param.delta is None or self.param.delta <= 0:
            self.fail("takes a positive delta")
        return [()]

    def formula(self, xp: Any, bottoms: Sequence[Any], blobs: Sequence[Any]) -> list[Any]:
        d, delta = abs(bottoms[0] - bottoms[1].reshape(bottoms[0].shape)), self.param.delta
        return [xp.where(d < delta, d * d / 2, delta * (d - delta / 2)).mean()]
