"""DecodeBBox (Cascade R-CNN): the regions that a stage's offsets make of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.net.layer import Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.formats import caffe_pb2 as pb
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


def offset_scale(layer: Layer, param: pb.BBoxRegParameter) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation that offsets were normalised by, each [4]; 0 and 1 where they were not.

    Raises
    ------
    ShapeError
    """
    if not (param.bbox_mean and param.bbox_std):
        return np.zeros(4, np.float32), np.ones(4, np.float32)
    if len(param.bbox_mean) != 4 or len(param.bbox_std) != 4 or min(param.bbox_std) <= 0:
        layer.fail("takes 4 values of bbox_mean and 4 positive ones of bbox_std")
    return np.array(param.bbox_mean, np.float32), np.array(param.bbox_std, np.float32)


@register("DecodeBBox")
class DecodeBBox(Layer):
    """Regions [R, 5] moved by the offsets [R, 8] of the object class (the last four; the first are the background's).

    An offset (dx, dy, dw, dh), de-normalised by ``bbox_reg_param``, moves the centre by d times the region's size w + 1
    and multiplies the size by exp(d). Source: ``decode_bbox_layer.cpp`` of Cascade R-CNN (Z. Cai, arXiv 1712.00726); it
    leaves boxes out at TRAIN only, where it takes a third bottom.
    """

    param_name = "decode_bbox_param"
    bottom_count = (2, 2)
    in_place_allowed = False
    differentiable = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        loc, rois = bottoms
        if math.prod(loc[1:]) != 8 or math.prod(rois[1:]) != 5 or loc[0] != rois[0]:
            self.fail(f"takes offsets [R, 8] and regions [R, 5], has {list(loc)} and {list(rois)}")
        offset_scale(self, self.proto.bbox_reg_param)
        return [tuple(rois)]

    def onnx(self, scope: LayerScope) -> list[str]:
        mean, std = offset_scale(self, self.proto.bbox_reg_param)
        image, low, high = scope.ops(
            "Split", scope.reshape(scope.bottoms[1], [-1, 5]), scope.ints([1, 2, 2]), outputs=3, axis=1
        )
        _, loc = scope.ops("Split", scope.reshape(scope.bottoms[0], [-1, 8]), scope.ints([4, 4]), outputs=2, axis=1)
        loc = scope.op("Add", scope.op("Mul", loc, scope.const(std)), scope.const(mean))
        shift, stretch = scope.ops("Split", loc, scope.ints([2, 2]), outputs=2, axis=1)
        half, one = scope.const(0.5), scope.const(1.0)
        size = scope.op("Add", scope.op("Sub", high, low), one)
        centre = scope.op("Mul", scope.op("Add", high, low), half)
        centre = scope.op("Add", scope.op("Mul", shift, size), centre)
        grown = scope.op("Sub", scope.op("Mul", size, scope.op("Exp", stretch)), one)
        start = scope.op("Sub", centre, scope.op("Mul", grown, half))
        rows = scope.op("Concat", image, start, scope.op("Add", start, grown), axis=1)
        return [rows if len(scope.top_shapes[0]) == 2 else scope.reshape(rows, [-1, *scope.top_shapes[0][1:]])]

    def torch(self, scope: TorchScope) -> Compute:
        torch, shape = scope.torch, scope.top_shapes[0][1:]
        mean, std = offset_scale(self, self.proto.bbox_reg_param)
        scope.constant("mean", mean)
        scope.constant("std", std)

        def compute(own: Any, loc: Any, rois: Any) -> list[Any]:
            loc, rois = loc.reshape(-1, 8)[:, 4:] * own.std + own.mean, rois.reshape(-1, 5)
            low, high = rois[:, 1:3], rois[:, 3:]
            size = high - low + 1
            grown = size * loc[:, 2:].exp() - 1
            start = (low + high) / 2 + loc[:, :2] * size - grown / 2
            return [torch.cat([rois[:, :1], start, start + grown], 1).reshape(-1, *shape)]

        return compute
