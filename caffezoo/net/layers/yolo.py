"""Reorg, Region, YoloDetectionOutput and Yolov3DetectionOutput: the last layers of YOLO's networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.net.boxes import MAX_CANDIDATES, suppress
from caffezoo.net.host_layer import HostLayer
from caffezoo.net.layer import Layer, Shape, register
from caffezoo.net.own_fields import fields

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("Reorg")
class Reorg(Layer):
    """Moves pixels into channels, [N, C, H, W] to [N, C s^2, H / s, W / s], or back with ``reverse``.

    In darknet's order, which reads the bottom as if it were [C / s^2, H s, W s]. Where s^2 does not divide C, a
    channel's pixels follow one another as in YOLOv5's Focus: by column, then row within the cell, and all C channels a
    place. Source: ``reorg_cpu`` of darknet (J. Redmon).
    """

    param_name = "reorg_param"
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if len(bottoms[0]) != 4:
            self.fail(f"takes a blob with 4 axes, has {bottoms[0]}")
        (count, channels, height, width), stride = bottoms[0], int(self.param.stride)
        if stride < 1:
            self.fail("stride must be positive")
        square = stride * stride
        if self.param.reverse:
            if channels % square:
                self.fail(f"takes a multiple of {square} channels, has {channels}")
            return [(count, channels // square, height * stride, width * stride)]
        if height % stride or width % stride:
            self.fail(f"stride {stride} does not divide {height} x {width} pixels")
        return [(count, channels * square, height // stride, width // stride)]

    def _steps(self, bottom: Shape, top: Shape) -> list[tuple[list[int], list[int]]]:
        """Return reshapes (axes behind the batch) and the transposes after them; the top's shape comes last."""
        (channels, height, width), s = bottom[1:], int(self.param.stride)
        square = s * s
        if self.param.reverse:
            return [([s, s, channels // square, height, width], [0, 3, 4, 1, 5, 2])]
        if channels % square:
            return [([channels, height // s, s, width // s, s], [0, 5, 3, 1, 2, 4])]
        return [([channels // square, height, s, width, s], [0, 3, 5, 1, 2, 4])]

    def onnx(self, scope: LayerScope) -> list[str]:
        x = scope.bottoms[0]
        for shape, order in self._steps(scope.bottom_shapes[0], scope.top_shapes[0]):
            x = scope.op("Transpose", scope.reshape(x, [0, *shape]), perm=order)
        return [scope.reshape(x, [0, *scope.top_shapes[0][1:]])]

    def torch(self, scope: TorchScope) -> Compute:
        steps, top = self._steps(scope.bottom_shapes[0], scope.top_shapes[0]), scope.top_shapes[0][1:]

        def compute(own: Any, x: Any) -> list[Any]:
            for shape, order in steps:
                x = x.reshape(-1, *shape).permute(order)
            return [x.reshape(-1, *top)]

        return compute


@register("Region")
class Region(Layer):
    """YOLO v2's predictions in rows: [N, A (5 + C), H, W] laid out as [N, H, W, A, 5 + C], the shape as it was.

    The fifth value of a row goes through the logistic function, the C classes behind it through a softmax with
    ``softmax``; places and sizes stay offsets. Source: ``forward_region_layer`` of darknet (J. Redmon, 2016).
    """

    param_name = "region_param"
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        p = self.param
        if len(bottoms[0]) != 4:
            self.fail(f"takes a blob with 4 axes, has {bottoms[0]}")
        if p.num < 1 or p.classes < 1 or p.coords != 4:
            self.fail("num and classes must be positive, and coords 4")
        if bottoms[0][1] != p.num * (5 + p.classes):
            self.fail(f"takes {p.num * (5 + p.classes)} channels (num times 5 + classes), has {bottoms[0][1]}")
        return [bottoms[0]]

    def onnx(self, scope: LayerScope) -> list[str]:
        x = scope.op("Transpose", scope.bottoms[0], perm=[0, 2, 3, 1])
        x = scope.reshape(x, [0, -1, 5 + int(self.param.classes)])
        sizes = scope.ints([4, 1, int(self.param.classes)])
        place, sure, classes = scope.ops("Split", x, sizes, outputs=3, axis=2)
        if self.param.softmax:
            classes = scope.op("Softmax", classes, axis=2)
        x = scope.op("Concat", place, scope.op("Sigmoid", sure), classes, axis=2)
        return [scope.reshape(x, [0, *scope.top_shapes[0][1:]])]

    def torch(self, scope: TorchScope) -> Compute:
        torch, top, size = scope.torch, scope.top_shapes[0][1:], 5 + int(self.param.classes)

        def compute(own: Any, x: Any) -> list[Any]:
            x = x.permute(0, 2, 3, 1).reshape(-1, top[1] * top[2] * int(self.param.num), size)
            place, sure, classes = x.split([4, 1, size - 5], 2)
            classes = classes.softmax(2) if self.param.softmax else classes
            return [torch.cat([place, sure.sigmoid(), classes], 2).reshape(-1, *top)]

        return compute


class YoloBoxes(HostLayer):
    """Boxes of one or several maps, [1, 1, M, 7]: 0, class + 1, score, x1, y1, x2, y2 relative to the image, by falling
    score; one row of -1 an image where nothing is left."""

    bounded_axis = 2
    finds_boxes = True

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def kept(self, rows: np.ndarray, images: int, threshold: float) -> np.ndarray:
        """Return the rows that no better one suppresses, as the top."""
        rows = rows[np.argsort(-rows[:, 2], kind="stable")]
        if len(rows) > MAX_CANDIDATES:
            self.fail_values(
                f"{len(rows)} boxes are above the confidence threshold, the limit is {MAX_CANDIDATES}",
                hint="give a confidence_threshold",
            )
        if not np.isfinite(rows).all():
            self.fail_values("a box is not finite: its offsets are too large")
        # The source lets a box go at the threshold itself, not above it.
        rows = rows[suppress(rows[:, 3:], np.nextafter(np.float32(threshold), np.float32(0)))]
        if not len(rows):
            rows = np.full((images, 7), -1, np.float32)
            rows[:, 0] = np.arange(len(rows))
        return rows[None, None].astype(np.float32)


@register("Yolov3DetectionOutput")
class Yolov3DetectionOutput(YoloBoxes):
    """Boxes of YOLO v3's maps, one bottom [N, B (5 + C), S, S] a scale.

    A class of a box counts where its logistic score times the box's own is above ``confidence_threshold``; boxes of all
    classes suppress one another. ``mask`` says which of ``biases`` (width, height in pixels) a scale uses, and a map's
    side times ``anchors_scale`` is the image's. Top: [1, 1, M, 7]: 0, class + 1, score, x1, y1, x2, y2 relative to the
    image, by falling score; one row of -1 an image where nothing is left. Source: ``yolov3_detection_output_layer.cpp``
    of MobileNet-YOLO (eric612).
    """

    param_name = "yolov3_detection_output_param"
    bottom_count = (1, None)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        p = self.param
        scales, boxes = int(p.mask_group_num), int(p.num_box)
        if not p.HasField("num_classes") or p.num_classes < 1 or boxes < 1:
            self.fail("num_classes must be given, it and num_box be positive")
        if len(bottoms) != scales or len(p.anchors_scale) != scales:
            self.fail(
                f"takes mask_group_num bottoms and anchors_scale: {scales}, {len(bottoms)}, {len(p.anchors_scale)}"
            )
        step = len(p.mask) // scales
        if step * (scales - 1) + boxes > len(p.mask) or any(2 * m + 1 >= len(p.biases) for m in p.mask):
            self.fail(f"{len(p.mask)} mask and {len(p.biases)} biases do not give {boxes} boxes to {scales} scales")
        for bottom in bottoms:
            if len(bottom) != 4 or bottom[1] != boxes * (5 + p.num_classes) or bottom[0] != bottoms[0][0]:
                self.fail(f"takes bottoms [N, {boxes * (5 + p.num_classes)}, S, S], has {list(bottom)}")
        most = sum(math.prod(b) // (5 + p.num_classes) for b in bottoms) * int(p.num_classes)
        return [(1, 1, most, 7)]

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.check_finite(bottoms)
        step = len(self.param.mask) // int(self.param.mask_group_num)
        parts = [
            self._of_map(x, int(self.param.anchors_scale[i]), self.param.mask[i * step :])
            for i, x in enumerate(bottoms)
        ]
        return [self.kept(np.concatenate(parts), len(bottoms[0]), float(self.param.nms_threshold))]

    def _of_map(self, x: np.ndarray, scale: int, mask: Sequence[int]) -> np.ndarray:
        """Return the rows of one scale, unsorted."""
        count, boxes, classes = len(x), int(self.param.num_box), int(self.param.num_classes)
        rows, columns = x.shape[2:]
        x = x.reshape(count, boxes, 5 + classes, rows, columns).transpose(0, 3, 4, 1, 2)
        with np.errstate(over="ignore"):
            score = 1 / (1 + np.exp(-x[..., 4:]))
            centre = 1 / (1 + np.exp(-x[..., :2]))
            bias = np.array([self.param.biases[2 * m + k] for m in mask[:boxes] for k in (0, 1)], np.float32)
            size = np.exp(x[..., 2:4]) * bias.reshape(boxes, 2) / np.float32(columns * scale)
        place = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1)[None, :, :, None]
        centre = (centre + place) / columns  # the source takes maps for squares
        confidence = score[..., 1:] * score[..., :1]
        found = np.nonzero(confidence > self.param.confidence_threshold)
        middle, half = centre[found[:4]], size[found[:4]] / 2
        top = np.zeros((len(found[0]), 7), np.float32)
        top[:, 1], top[:, 2] = found[4] + 1, confidence[found]
        top[:, 3:5], top[:, 5:] = middle - half, middle + half
        return top


@register("YoloDetectionOutput")
class YoloDetectionOutput(YoloBoxes):
    """Boxes of YOLO v2's maps, one or two bottoms [N, B (5 + C), S, S].

    A box counts with its best class where the softmax of that times the box's own logistic score is at least
    ``confidence_threshold``; boxes of all classes suppress one another. ``biases`` are B pairs of width and height in
    cells. Source: ``yolo_detection_output_layer.cpp`` of MobileNet-YOLO (eric612).
    """

    param_name = "yolo_detection_output_param"
    own_fields = fields(
        side=13,
        num_classes=int,
        num_box=5,
        coords=4,
        confidence_threshold=0.01,
        nms_threshold=0.45,
        biases=[float],
        label_map_file="",
    )
    bottom_count = (1, 2)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        p = self.param
        if p.num_classes is None or p.num_classes < 1 or p.num_box < 1 or p.coords != 4:
            self.fail("num_classes must be given, it and num_box be positive, and coords 4")
        if len(p.biases) < 2 * p.num_box:
            self.fail(f"{p.num_box} boxes take {2 * p.num_box} biases, has {len(p.biases)}")
        channels = p.num_box * (5 + p.num_classes)
        for bottom in bottoms:
            if len(bottom) != 4 or bottom[1] != channels or bottom[0] != bottoms[0][0] or bottom[2] != bottom[3]:
                self.fail(f"takes bottoms [N, {channels}, S, S], has {list(bottom)}")
        return [(1, 1, sum(math.prod(b) // (5 + p.num_classes) for b in bottoms), 7)]

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.check_finite(bottoms)
        rows = np.concatenate([self._of_map(x) for x in bottoms])
        return [self.kept(rows, len(bottoms[0]), self.param.nms_threshold)]

    def _of_map(self, x: np.ndarray) -> np.ndarray:
        """Return the rows of one map, unsorted."""
        boxes, classes, side = self.param.num_box, self.param.num_classes, x.shape[3]
        x = x.reshape(len(x), boxes, 5 + classes, side, side).transpose(0, 3, 4, 1, 2)
        with np.errstate(over="ignore"):
            score = np.exp(x[..., 5:] - x[..., 5:].max(-1, keepdims=True))
            score = (score / score.sum(-1, keepdims=True)).max(-1) / (1 + np.exp(-x[..., 4]))
            place = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1)[None, :, :, None]
            centre = (place + 1 / (1 + np.exp(-x[..., :2]))) / side
            size = np.exp(x[..., 2:4]) * np.reshape(self.param.biases[: 2 * boxes], (boxes, 2)) / side
        found = score >= np.float32(self.param.confidence_threshold)
        top = np.zeros((np.count_nonzero(found), 7), np.float32)
        top[:, 1], top[:, 2] = x[..., 5:].argmax(-1)[found] + 1, score[found]
        top[:, 3:5], top[:, 5:] = (centre - size / 2)[found], (centre + size / 2)[found]
        return top
