"""Boxes in standard ONNX operators: what SSD's last layer does, around NonMaxSuppression."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from caffezoo.formats import caffe_pb2 as pb

if TYPE_CHECKING:
    from caffezoo.net.layers.detection_output import DetectionOutput
    from caffezoo.net.onnx_graph import LayerScope

FLOAT, BOOL = 1, 9


def detections_onnx(layer: DetectionOutput, scope: LayerScope) -> str:
    """Append DetectionOutput and return the tensor of its top; the number of its rows is free.

    With no box left the top has no row, where Caffe puts rows of -1.

    Raises
    ------
    LoweringError
        Eta below 1, RefineDet's further bottoms, or nothing that could be kept.
    """
    param = layer.param
    if param.nms_param.eta < 1:
        raise scope.refuse("eta below 1 has no form in ONNX's NonMaxSuppression")
    if layer.is_refined(scope.bottom_shapes):
        raise scope.refuse("the first stage of RefineDet has no ONNX form here")
    if param.keep_top_k == 0 or not layer.classes or not layer.candidates(layer.prior_count(scope.bottom_shapes)):
        raise scope.refuse("it can keep no box")
    priors = layer.prior_count(scope.bottom_shapes)
    labels, k = layer.classes, layer.candidates(priors)
    count = len(labels)
    scores = scope.reshape(scope.bottoms[1], [0, priors, int(param.num_classes)])
    scores = scope.op("Transpose", scores, perm=[0, 2, 1])
    scores = scope.op("Gather", scores, scope.ints(labels), axis=1)  # [N, C, P]
    scores, order = scope.ops("TopK", scores, scope.ints([k]), outputs=2, axis=2)  # [N, C, k]
    boxes = _decoded(layer, scope, priors)  # [N, P, 4] or [N, P, L, 4]
    if param.share_location:
        boxes = scope.op("Unsqueeze", boxes, scope.ints([1]))  # [N, 1, P, 4]
        boxes = scope.op("Expand", boxes, scope.ints([1, count, 1, 1]))
    else:
        boxes = scope.op("Transpose", boxes, perm=[0, 2, 1, 3])
        boxes = scope.op("Gather", boxes, scope.ints(labels), axis=1)  # [N, C, P, 4]
    index = scope.op("Expand", scope.op("Unsqueeze", order, scope.ints([3])), scope.ints([1, 1, 1, 4]))
    boxes = scope.op("GatherElements", boxes, index, axis=2)  # [N, C, k, 4]
    chosen = scope.op(
        "NonMaxSuppression",
        scope.reshape(_upright(layer, scope, boxes), [-1, k, 4]),
        scope.reshape(scores, [-1, 1, k]),
        scope.ints([k]),
        scope.const([param.nms_param.nms_threshold]),
        scope.const([layer.threshold]),
    )  # [M, 3]: row of (N, C), 0, place among k
    place = scope.op("Gather", chosen, scope.ints([0, 2]), axis=1)
    flat = scope.op("Shape", scope.reshape(scores, [-1, k]))
    nothing = scope.op("Expand", scope.const(0.0), flat)
    ones = scope.op("Expand", scope.const(1.0), scope.op("Slice", scope.op("Shape", place), *_span(scope, 0, 1)))
    mask = scope.reshape(scope.op("ScatterND", nothing, place, ones), [-1, count * k])
    # The threshold stands for what is suppressed: nothing that is left is as low.
    lowest = scope.const(layer.threshold)
    masked = scope.op("Where", scope.op("Cast", mask, to=BOOL), scope.reshape(scores, [-1, count * k]), lowest)
    best, index = scope.ops("TopK", masked, scope.ints([layer.most(priors)]), outputs=2, axis=1)  # [N, most]
    where = scope.op("Transpose", scope.op("NonZero", scope.op("Greater", best, lowest)), perm=[1, 0])  # image, rank
    image = scope.op("Gather", where, scope.ints([0]), axis=1)  # [M, 1]
    chosen = scope.op("Unsqueeze", scope.op("GatherND", index, where), scope.ints([1]))
    boxes = scope.reshape(boxes, [-1, count * k, 4])
    left = scope.op("GatherND", boxes, scope.op("Concat", image, chosen, axis=1))  # [M, 4]
    confidence = scope.op("Unsqueeze", scope.op("GatherND", best, where), scope.ints([1]))
    place = scope.op("Div", chosen, scope.const(k, np.int64))
    label = scope.op("Gather", scope.const(labels), place, axis=0)
    rows = scope.op("Concat", scope.op("Cast", image, to=FLOAT), label, confidence, left, axis=1)
    return scope.op("Unsqueeze", rows, scope.ints([0, 1]))


def _upright(layer: DetectionOutput, scope: LayerScope, boxes: str) -> str:
    """Append what gives a box without extent no area: ONNX would take its corners in the other order."""
    if layer.param.code_type == pb.PriorBoxParameter.CENTER_SIZE:
        return boxes
    low, high = (scope.op("Slice", boxes, *_span(scope, a, b, -1)) for a, b in ((0, 2), (2, 4)))
    return scope.op("Concat", low, scope.op("Max", low, high), axis=-1)


def _decoded(layer: DetectionOutput, scope: LayerScope, priors: int) -> str:
    """Append the decoded boxes, relative to priors that the graph holds."""
    param = layer.param
    classes = 1 if param.share_location else int(param.num_classes)
    inner = [priors] if classes == 1 else [priors, classes]
    loc = scope.reshape(scope.bottoms[0], [0, *inner, 4])
    rank = len(inner) + 2
    both = scope.reshape(scope.bottoms[2], [2, priors, *[1] * (rank - 3), 4])
    prior = scope.op("Gather", both, scope.const(0, np.int64), axis=0)
    if not param.variance_encoded_in_target:
        loc = scope.op("Mul", loc, scope.op("Gather", both, scope.const(1, np.int64), axis=0))
    low, high = (scope.op("Slice", prior, *_span(scope, a, b, -1)) for a, b in ((0, 2), (2, 4)))
    if param.code_type == pb.PriorBoxParameter.CORNER:
        return _clipped(layer, scope, scope.op("Add", prior, loc))
    sides = scope.op("Sub", high, low)
    if param.code_type == pb.PriorBoxParameter.CORNER_SIZE:
        scaled = scope.op("Mul", loc, scope.op("Concat", sides, sides, axis=-1))
        return _clipped(layer, scope, scope.op("Add", prior, scaled))
    shift, stretch = (scope.op("Slice", loc, *_span(scope, a, b, -1)) for a, b in ((0, 2), (2, 4)))
    half = scope.const(0.5)
    middle = scope.op("Mul", scope.op("Add", low, high), half)
    centre = scope.op("Add", scope.op("Mul", shift, sides), middle)
    reach = scope.op("Mul", scope.op("Mul", scope.op("Exp", stretch), sides), half)
    box = scope.op("Concat", scope.op("Sub", centre, reach), scope.op("Add", centre, reach), axis=-1)
    return _clipped(layer, scope, box)


def _clipped(layer: DetectionOutput, scope: LayerScope, boxes: str) -> str:
    return scope.op("Clip", boxes, scope.const(0.0), scope.const(1.0)) if layer.param.clip else boxes


def _span(scope: LayerScope, start: int, stop: int, axis: int = 0) -> tuple[str, str, str]:
    return scope.ints([start]), scope.ints([stop]), scope.ints([axis])
