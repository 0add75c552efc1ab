"""Margins of face recognition's forks that act in both phases: CosinAddm, CombinedMargin, LargeMarginInnerProduct."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.formula_layer import FormulaLayer
from caffezoo.net.layer import Shape, register
from caffezoo.net.layers.face_margins import MarginProduct
from caffezoo.net.own_fields import fields


class CosineMargin(FormulaLayer):
    """Cosines [N, K] and labels: the cosine at the label is changed, whatever ``transform_test`` says."""

    bottom_count = (2, 2)

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self.check_samples(bottoms)
        return [bottoms[0]]

    def formula(self, xp: Any, bottoms: Sequence[Any], blobs: Sequence[Any]) -> list[Any]:
        x = bottoms[0].reshape(bottoms[0].shape[0], -1)
        own = self.members(xp, bottoms[1], x.shape[1])
        # where nothing is changed the root's slope must not be infinite
        changed = self.changed(xp, xp.where(own, x, 0.0 * x).clip(-1, 1))
        return [xp.where(own, changed, x).reshape(bottoms[0].shape)]

    def changed(self, xp: Any, cosine: Any) -> Any:
        """Return what a cosine at a label becomes."""
        raise NotImplementedError(f"{type(self).__name__} has no margin")


@register("CosinAddm")
class CosinAddm(CosineMargin):
    """``cos(t + m)`` at the label, ``cos(t) - m sin(m)`` where t > pi - m (ArcFace, Deng et al., 2019).

    Source: ``cosin_add_m_layer.cpp`` of xialuxi/arcface-caffe.
    """

    param_name = "cosin_add_m_param"
    own_fields = fields(m=0.5, transform_test=False)

    def changed(self, xp: Any, cosine: Any) -> Any:
        m = self.param.m
        sine = xp.sqrt(1 - cosine * cosine)
        turned = cosine * math.cos(m) - sine * math.sin(m)
        return xp.where(cosine <= math.cos(math.pi - m), cosine - math.sin(math.pi - m) * m, turned)


@register("CombinedMargin")
class CombinedMargin(CosineMargin):
    """``cos(m1 t + m2) - m3`` at the label (ArcFace, Deng et al., 2019, equation 4).

    Its gradient in the fork is another, so none is given here. Source: ``combined_margin_layer.cpp`` of
    xialuxi/arcface-caffe.
    """

    param_name = "combined_margin_param"
    own_fields = fields(m1=4.0, m2=0.5, m3=0.35, transform_test=False)
    differentiable = False

    def changed(self, xp: Any, cosine: Any) -> Any:
        return xp.cos(self.param.m1 * xp.arccos(cosine) + self.param.m2) - self.param.m3


TURNS = {"SINGLE": 1, "DOUBLE": 2, "TRIPLE": 3, "QUADRUPLE": 4}
"""Into how many parts a half turn falls."""


@register("LargeMarginInnerProduct")
class LargeMarginInnerProduct(MarginProduct, FormulaLayer):
    """``x w_k``; at the label 1 : lambda ``|x| |w| psi(t)`` and it, t the angle between x and w.

    ``psi(t) = (-1)^j cos(m t) - 2 j`` for t within ``[j pi / m, (j + 1) pi / m]``, m = 1 to 4 by ``type``. lambda
    falls as training goes on, which is not supported. Source: L-Softmax (Liu et al., 2016),
    ``largemargin_inner_product_layer.cpp``.
    """

    param_name = "largemargin_inner_product_param"
    own_fields = fields(
        num_output=0, type="SINGLE", weight_filler=pb.FillerParameter, axis=1, base=1.0, gamma=0.0, power=1.0,
        iteration=0, lambda_min=0.0,
    )  # fmt: skip
    differentiable = False

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self.check_samples(bottoms)
        if self.param.type not in TURNS or self.param.num_output < 1 or self.param.axis != 1:
            self.fail(f"takes a positive num_output, axis 1 and a type of {', '.join(TURNS)}")
        return [(bottoms[0][0], self.param.num_output), (1,)][: self.top_number]

    def formula(self, xp: Any, bottoms: Sequence[Any], blobs: Sequence[Any]) -> list[Any]:
        x, w = bottoms[0].reshape(bottoms[0].shape[0], -1), blobs[0]
        scores, own = x @ w.T, self.members(xp, bottoms[1], w.shape[0])
        times, plain = TURNS[self.param.type], self.plain_weight()
        if times > 1:
            length = xp.sqrt((x * x).sum(1)).reshape(-1, 1) * xp.sqrt((w * w).sum(1)).reshape(1, -1)
            angle = xp.arccos((scores / (length + 1e-9)).clip(-1, 1))
            part = xp.floor(angle * times / math.pi).clip(0, times - 1)
            psi = (1 - 2 * (part % 2)) * xp.cos(times * angle) - 2 * part
            scores = xp.where(own, (length * psi + plain * scores) / (1 + plain), scores)
        return [scores, 0 * scores[0, :1] + plain][: self.top_number]
