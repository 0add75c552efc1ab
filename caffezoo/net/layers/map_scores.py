"""How well maps of classes agree with the truth: scores and losses of segmentation's forks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caffezoo.net.formula_layer import FormulaLoss
from caffezoo.net.layer import Shape, register
from caffezoo.net.own_fields import fields


@register("WeightedFmeasureLoss")
class WeightedFmeasureLoss(FormulaLoss):
    """``1 - 2 R P / (R + P)``, R = ``sum x t w_r / sum t w_r`` and P = ``sum x t w_p / sum x w_p``.

    Bottoms: x, t, w_r, w_p. With ``avg_fm`` (the default) the mean over samples, otherwise over the whole batch. Where
    R or P is 0 it is ``mse_lambda / 2 sum w_p (t - x)^2 / sum w_p``. Below 0.5, ``margin`` takes a value that is that
    far on the right side of 0.5 for t. Source: ``weighted_fmeasure_loss_layer.cpp`` of ctensmeyer/caffe (Tensmeyer and
    Martinez, 2017), whose gradient has constants of its own, so none is given here.
    """

    param_name = "weighted_fmeasure_loss_param"
    own_fields = fields(margin=0.5, mse_lambda=0.1, avg_fm=True)
    bottom_count = (4, 4)
    differentiable = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self.check_alike(bottoms)
        if self.param.avg_fm and (len(bottoms[0]) != 4 or bottoms[0][1] != 1):
            self.fail(f"with avg_fm takes maps of one channel, has {bottoms[0]}")
        return [()]

    def formula(self, xp: Any, bottoms: Sequence[Any], blobs: Sequence[Any]) -> list[Any]:
        samples = bottoms[0].shape[0] if self.param.avg_fm else 1
        x, t, recall_weight, precision_weight = (b.reshape(samples, -1) for b in bottoms)
        if 0 < self.param.margin < 0.5:
            sure = xp.where(t > 0.5, x >= 0.5 + self.param.margin, x <= 0.5 - self.param.margin)
            x = xp.where(sure, t, x)
        recall = self._share((x * t * recall_weight).sum(1), (t * recall_weight).sum(1))
        precision = self._share((x * t * precision_weight).sum(1), (x * precision_weight).sum(1))
        defined = (recall != 0) & (precision != 0)
        score = 2 * recall * precision / (recall + precision + ~defined)
        squares = (precision_weight * (t - x) ** 2).sum(1) / abs(precision_weight).sum(1)
        return [xp.where(defined, 1 - score, 0.5 * self.param.mse_lambda * squares).mean()]

    @staticmethod
    def _share(part: Any, whole: Any) -> Any:
        """Return part / whole, 0 where whole is 0."""
        return part * (whole != 0) / (whole + (whole == 0))
