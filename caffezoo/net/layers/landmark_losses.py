"""Losses of points and ages: EuclideanLossHeatmap, WeightEuclideanLoss, OrdinalRegressionLoss, and MAE of its ages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.net.layer import Layer, Shape, register
from caffezoo.net.layers.label_losses import SampleLoss
from caffezoo.net.layers.losses import LossLayer

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

MISSING_JOINT = -999.0
POINTS = 68
COARSE = (18, 22, 23, 27, 37, 40, 43, 46, 28, 32, 36, 49, 55)
"""Points of a 68-point face, counted from 1, that ``coarse_weight`` weighs."""


@register("EuclideanLossHeatmap")
class EuclideanLossHeatmap(LossLayer):
    """Mean of ``(a - b)^2`` over all values of heat maps, without those where b is -999: joints that are missing.

    A third bottom is the image, which the layer only draws on; maps are square (``euclidean_loss_heatmap_layer.cpp`` of
    tpfister/caffe-heatmap, whose backward pass gives ``a - b`` alone: here the gradient is the loss's own).
    """

    bottom_count = (2, 3)
    in_place_allowed = False
    auto_tops = True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        a, b = bottoms[:2]
        if len(a) != 4 or a != b or a[2] != a[3]:
            self.fail(f"takes two bottoms of square maps [N, C, H, H], has {a} and {b}")
        return [()]

    def onnx(self, scope: LayerScope) -> list[str]:
        a, b = scope.bottoms[:2]
        missing = scope.op("Equal", b, scope.const(MISSING_JOINT))
        difference = scope.op("Where", missing, scope.const(0.0), scope.op("Sub", a, b))
        return [scope.op("ReduceMean", scope.op("Mul", difference, difference), keepdims=0)]

    def torch(self, scope: TorchScope) -> Compute:
        return lambda own, a, b, *image: [(a - b).where(b != MISSING_JOINT, a.new_zeros(())).square().mean()]


@register("WeightEuclideanLoss")
class WeightEuclideanLoss(LossLayer):
    """``sum w (a - b)^2 / (2 N)`` over the x, then the y of 68 points of a face, [N, 136].

    w is ``contour_weight`` for the first 17 points, ``main_weight`` for the others, and ``coarse_weight`` at 13 corners
    where that is not 0; a third bottom multiplies it. With ``normalized`` 1 each sample is divided by the distance of
    the eyes (``weight_euclidean_loss_layer.cpp``: x of points 36 and 42, y of 39 and 45, counted from 0).
    """

    param_name = "weight_euclidean_loss_param"
    bottom_count = (2, 3)
    in_place_allowed = False
    auto_tops = True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if any(len(x) < 1 or x[0] != bottoms[0][0] or math.prod(x[1:]) != 2 * POINTS for x in bottoms):
            self.fail(f"takes bottoms of {POINTS} points, [N, {2 * POINTS}], has {', '.join(map(str, bottoms))}")
        if self.param.normalized and self.param.normalized_type:
            self.fail("normalized_type other than 0 is not supported")
        return [()]

    def _weights(self) -> np.ndarray:
        p, found = self.param, np.zeros(POINTS, np.float32)
        for weight, points in ((p.contour_weight, range(17)), (p.main_weight, range(17, POINTS))):
            found[list(points)] = weight
        if p.coarse_weight:
            found[[k - 1 for k in COARSE]] = p.coarse_weight
        return np.tile(found, 2)

    def onnx(self, scope: LayerScope) -> list[str]:
        a, b, *third = (scope.reshape(x, [-1, 2 * POINTS]) for x in scope.bottoms)
        difference = scope.op("Sub", a, b)
        terms = scope.op("Mul", scope.op("Mul", difference, difference), scope.const(self._weights()))
        if third:
            terms = scope.op("Mul", terms, third[0])
        if self.param.normalized == 1:
            apart = [
                scope.op("Sub", *(scope.op("Gather", b, scope.const(k, np.int64), axis=1) for k in pair))
                for pair in ((36, 42), (POINTS + 39, POINTS + 45))
            ]
            squares = scope.op("Add", *(scope.op("Mul", d, d) for d in apart))
            distance = scope.op("Max", scope.op("Sqrt", squares), scope.const(float(np.finfo(np.float32).tiny)))
            terms = scope.op("Div", terms, scope.reshape(distance, [-1, 1]))
        per_sample = scope.op("ReduceSum", terms, scope.ints([1]), keepdims=0)
        return [scope.op("Mul", scope.op("ReduceMean", per_sample, keepdims=0), scope.const(0.5))]

    def torch(self, scope: TorchScope) -> Compute:
        weights, normalized = scope.torch.from_numpy(self._weights()), self.param.normalized == 1

        def compute(own: Any, *bottoms: Any) -> list[Any]:
            a, b, *third = (x.reshape(-1, 2 * POINTS) for x in bottoms)
            terms = (a - b).square() * weights.to(a)
            if third:
                terms = terms * third[0]
            if normalized:
                x, y = b[:, 36] - b[:, 42], b[:, POINTS + 39] - b[:, POINTS + 45]
                terms = terms / (x * x + y * y).sqrt().clamp(min=float(np.finfo(np.float32).tiny))[:, None]
            return [terms.sum() / (2 * a.shape[0])]

        return compute


@register("OrdinalRegressionLoss")
class OrdinalRegressionLoss(SampleLoss):
    """K questions "more than k?" of two scores each, [N, 2 K]: ``-sum_k log softmax(x_k)[label > k] / N``.

    (Niu and others, CVPR 2016; ``ordinal_regression_loss_layer.cpp``.) A ``weight_file`` is not read.
    """

    param_name = "ordinal_regression_loss_param"

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        count = math.prod(bottoms[0][1:])
        if count % 2 or (self.param.HasField("k") and self.param.k * 2 != count):
            self.fail(f"takes two scores of each of its {self.param.k or 'K'} ranks, has {bottoms[0]}")
        if self.param.weight_file:
            self.fail("weight_file is not supported")
        return super().top_shapes(bottoms)

    def onnx(self, scope: LayerScope) -> list[str]:
        ranks = math.prod(scope.bottom_shapes[0][1:]) // 2
        logs = scope.op("LogSoftmax", scope.reshape(scope.bottoms[0], [-1, ranks, 2]), axis=2)
        logs = scope.op("Max", logs, scope.const(math.log(np.finfo(np.float32).tiny)))
        labels = scope.reshape(scope.op("Cast", scope.bottoms[1], to=7), [-1, 1])
        above = scope.op("Greater", labels, scope.const(np.arange(ranks)[None], np.int64))
        chosen = scope.op("GatherElements", logs, scope.reshape(scope.op("Cast", above, to=7), [-1, ranks, 1]), axis=2)
        per_sample = scope.op("ReduceSum", scope.reshape(chosen, [-1, ranks]), scope.ints([1]), keepdims=0)
        return [scope.op("Neg", scope.op("ReduceMean", per_sample, keepdims=0))]

    def torch(self, scope: TorchScope) -> Compute:
        torch, F = scope.torch, scope.F

        def compute(own: Any, x: Any, labels: Any) -> list[Any]:
            logs = F.log_softmax(x.reshape(x.shape[0], -1, 2), 2).clamp(min=math.log(np.finfo(np.float32).tiny))
            above = labels.reshape(-1, 1).long() > torch.arange(logs.shape[1], device=x.device)
            return [-logs.gather(2, above.long()[..., None]).sum() / x.shape[0]]

        return compute


@register("MAE")
class OrdinalError(Layer):
    """Mean absolute error of the ranks that OrdinalRegressionLoss's scores [N, 2 K, ...] answer with "more".

    (``mae_layer.cpp`` beside that loss; labels of ``ignore_label`` do not count.)
    """

    param_name = "mae_param"
    bottom_count = (2, 2)
    in_place_allowed = False
    differentiable = False
    judges = True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, labels = bottoms
        if len(x) < 2 or x[1] % 2 or math.prod(labels) * x[1] != math.prod(x):
            self.fail(f"takes two scores of each rank and one label a place, has {x} and {labels}")
        return [()]

    def onnx(self, scope: LayerScope) -> list[str]:
        _, channels, *places = scope.bottom_shapes[0]
        pairs = scope.reshape(scope.bottoms[0], [-1, channels // 2, 2, math.prod(places)])
        no, yes = (scope.op("Gather", pairs, scope.const(k, np.int64), axis=2) for k in (0, 1))
        ranks = scope.op("Cast", scope.op("Less", no, yes), to=1)
        found = scope.op("ReduceSum", ranks, scope.ints([1]), keepdims=0)
        labels = scope.op("Floor", scope.reshape(scope.bottoms[1], [-1, math.prod(places)]))
        errors = scope.op("Abs", scope.op("Sub", labels, found))
        if not self.param.HasField("ignore_label"):
            return [scope.op("ReduceMean", errors, keepdims=0)]
        counted = scope.op("Cast", scope.op("Not", scope.op("Equal", labels, self._ignored(scope))), to=1)
        total = scope.op("ReduceSum", scope.op("Mul", errors, counted), keepdims=0)
        return [scope.op("Div", total, scope.op("ReduceSum", counted, keepdims=0))]

    def _ignored(self, scope: LayerScope) -> str:
        return scope.const(float(self.param.ignore_label))

    def torch(self, scope: TorchScope) -> Compute:
        ignored = self.param.ignore_label if self.param.HasField("ignore_label") else None

        def compute(own: Any, x: Any, labels: Any) -> list[Any]:
            pairs = x.reshape(x.shape[0], x.shape[1] // 2, 2, -1)
            labels = labels.reshape(x.shape[0], -1).floor()
            errors = (labels - (pairs[:, :, 0] < pairs[:, :, 1]).to(x.dtype).sum(1)).abs()
            return [errors.mean() if ignored is None else errors[labels != ignored].mean()]

        return compute
