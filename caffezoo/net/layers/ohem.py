"""Online hard example mining of R-FCN: BoxAnnotatorOHEM, and the losses that give every region's own loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.host_layer import HostLayer
from caffezoo.net.layer import Shape, register
from caffezoo.net.layers.losses import LossLayer, SoftmaxWithLoss

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


def four_axes(shape: Shape) -> Shape:
    """Return a shape as num, channels, height and width: 1 for what it lacks."""
    return (*shape, *(1,) * (4 - len(shape)))


@register("BoxAnnotatorOHEM")
class BoxAnnotatorOHEM(HostLayer):
    """Keeps the ``roi_per_img`` regions of every image whose loss is largest; the others get ``ignore_label``.

    Bottoms: regions [R, 5, H, W] (the image is their first value), losses, labels [R, 1, H, W] and box weights
    [R, B, H, W]; tops: labels, and box weights that are 0 where a region is not kept. Of equal losses the first is
    kept. Source: ``box_annotator_ohem_layer.cpp`` of R-FCN (Dai et al., arXiv 1605.06409).
    """

    param_name = "box_annotator_ohem_param"
    bottom_count = (4, 4)
    top_count = (2, 2)
    bounded_axis = 0

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if self.param.roi_per_img < 1:
            self.fail("roi_per_img must be positive")
        rois, losses, labels, weights = (four_axes(b) for b in bottoms)
        places = (rois[0], *rois[2:])
        if rois[1] != 5 or losses[1] != 1 or labels[1] != 1:
            self.fail(f"takes regions of 5 values, losses and labels of 1, has {rois[1]}, {losses[1]} and {labels[1]}")
        if any((b[0], *b[2:]) != places for b in (losses, labels, weights)):
            self.fail(f"bottoms must agree in number, height and width, have {[list(b) for b in bottoms]}")
        return [labels, weights]

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.check_finite(bottoms[:2])
        rois, losses, labels, weights = (x.reshape(four_axes(x.shape)) for x in bottoms)
        images = rois[:, 0].ravel().astype(np.int64)
        if images.size and images.min() < 0:
            self.fail_values("a region is of an image below 0")
        order = np.argsort(-losses.ravel(), kind="stable")
        kept = np.zeros(order.size, bool)
        for image in np.unique(images):
            kept[order[images[order] == image][: int(self.param.roi_per_img)]] = True
        kept = kept.reshape(losses.shape)
        ignored = np.float32(self.param.ignore_label)
        return [np.where(kept, labels, ignored), np.where(kept, weights, np.float32(0))]


@register("SoftmaxWithLossOHEM")
class SoftmaxWithLossOHEM(SoftmaxWithLoss):
    """SoftmaxWithLoss whose third top is the loss at every label, 0 at ``ignore_label``, in the labels' shape
    (``softmax_loss_ohem_layer.cu`` of R-FCN)."""

    top_count = (1, 3)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [(), bottoms[0], bottoms[1]][: len(super().top_shapes(bottoms)) + (self.top_number == 3)]


@register("SmoothL1LossOHEM")
class SmoothL1LossOHEM(LossLayer):
    """``sum f(w (a - b))`` divided as ``normalization`` says, f(d) = d^2 / 2 where |d| < 1, else |d| - 1 / 2.

    VALID and FULL: by the places, that is number, height and width; BATCH_SIZE: by their number; NONE: by 1; PRE_FIXED:
    by ``pre_fixed_normalizer``. A second top [N, 1, H, W] is the sum over channels at every place. Source:
    ``smooth_l1_loss_ohem_layer.cu`` of R-FCN.
    """

    param_name = "loss_param"
    bottom_count = (2, 3)
    top_count = (1, 2)
    in_place_allowed = False
    auto_tops = True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if not 2 <= len(bottoms[0]) <= 4 or any(four_axes(b) != four_axes(bottoms[0]) for b in bottoms):
            self.fail(f"takes bottoms of one shape, has {[list(b) for b in bottoms]}")
        number, _, height, width = four_axes(bottoms[0])
        return [(), (number, 1, height, width)][: self.top_number]

    def _divisor(self, bottom: Shape) -> tuple[bool, float]:
        """Return whether the loss is divided by the number of samples, and what else it is divided by."""
        rule = int(self.param.normalization)
        if self.param.HasField("normalize") and not self.param.HasField("normalization"):
            rule = int(pb.LossParameter.VALID if self.param.normalize else pb.LossParameter.BATCH_SIZE)
        if rule in (pb.LossParameter.NONE, pb.LossParameter.PRE_FIXED):
            fixed = float(self.param.pre_fixed_normalizer) if rule == pb.LossParameter.PRE_FIXED else 1.0
            return False, max(fixed, 1.0)
        return True, 1.0 if rule == pb.LossParameter.BATCH_SIZE else float(math.prod(bottom[2:]))

    def onnx(self, scope: LayerScope) -> list[str]:
        shape = four_axes(scope.bottom_shapes[0])
        a, b, *weight = (
            x if len(s) == 4 else scope.reshape(x, [0, *shape[1:]])
            for x, s in zip(scope.bottoms, scope.bottom_shapes, strict=True)
        )
        d = scope.op("Sub", a, b)
        d = scope.op("Mul", d, weight[0]) if weight else d
        size = scope.op("Abs", d)
        near = scope.op("Mul", scope.op("Mul", d, d), scope.const(0.5))
        far = scope.op("Sub", size, scope.const(0.5))
        errors = scope.op("Where", scope.op("Less", size, scope.const(1.0)), near, far)
        places = scope.op("ReduceSum", errors, scope.ints([1]), keepdims=1)
        samples = scope.op("ReduceSum", places, scope.ints([1, 2, 3]), keepdims=0)
        by_samples, divisor = self._divisor(scope.bottom_shapes[0])
        total = scope.op("ReduceMean" if by_samples else "ReduceSum", samples, keepdims=0)
        return [scope.op("Div", total, scope.const(divisor)), places][: len(scope.node.tops)]

    def torch(self, scope: TorchScope) -> Compute:
        F, tops, shape = scope.F, len(scope.node.tops), four_axes(scope.bottom_shapes[0])
        by_samples, divisor = self._divisor(scope.bottom_shapes[0])

        def compute(own: Any, *bottoms: Any) -> list[Any]:
            a, b, *weight = (x.reshape(-1, *shape[1:]) for x in bottoms)
            factor = weight[0] if weight else 1.0
            places = F.smooth_l1_loss(a * factor, b * factor, reduction="none").sum(1, keepdim=True)
            return [places.sum() / (divisor * (len(a) if by_samples else 1)), places][:tops]

        return compute
