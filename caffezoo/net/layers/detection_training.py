"""What trains and scores detectors: AnnotatedData, SmoothL1Loss, DetectionEvaluate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.net.boxes import jaccard
from caffezoo.net.host_layer import HostLayer
from caffezoo.net.layer import Shape, register
from caffezoo.net.layers.inputs import ImageInput
from caffezoo.net.layers.losses import LossLayer

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

BOX_VALUES = 8
"""Of a row of ground truth: image, class, number within the class, x1, y1, x2, y2, whether it is difficult."""


@register("AnnotatedData")
class AnnotatedData(ImageInput):
    """Images of an LMDB and their boxes (SSD), at the size that ``transform_param`` resizes or crops to.

    The second top is [1, 1, M, 8]: image, class, number within the class, x1, y1, x2, y2 (relative), difficult; M is 1
    where no shape is given.
    """

    param_name = "data_param"

    def input_shapes(self, given: Mapping[str, Shape]) -> list[Shape]:
        images, *boxes = self.proto.top
        if images in given and not any(b in given for b in boxes):
            return [tuple(given[images]), (1, 1, 1, BOX_VALUES)][: len(self.proto.top)]
        return super().input_shapes(given)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        images = super().top_shapes(bottoms)[0]
        shapes: list[Shape] = [images, (1, 1, 1, BOX_VALUES)]
        return shapes[: len(self.proto.top)]

    def _image_size(self) -> tuple[int, int] | None:
        t = self.proto.transform_param
        if t.crop_h and t.crop_w:
            return int(t.crop_h), int(t.crop_w)
        if t.resize_param.height and t.resize_param.width and not t.crop_size:
            return int(t.resize_param.height), int(t.resize_param.width)
        return super()._image_size()


@register("SmoothL1Loss")
class SmoothL1Loss(LossLayer):
    """``sum w_out f(w_in (a - b)) / N``, f(d) = (sigma d)^2 / 2 where |d| < 1 / sigma^2, else |d| - 1 / (2 sigma^2).

    Bottoms: predictions, targets, and the inner and the outer weights where there are any; N is the length of axis 0.
    Source: ``smooth_l1_loss_layer.cpp`` of Fast R-CNN (R. Girshick, arXiv 1504.08083).
    """

    param_name = "smooth_l1_loss_param"
    bottom_count = (2, 4)
    in_place_allowed = False
    auto_tops = True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        sizes = {math.prod(b) for b in bottoms}
        if not bottoms[0] or len(sizes) != 1 or any(b[:1] != bottoms[0][:1] for b in bottoms):
            self.fail(f"bottoms must agree in axis 0 and in their number of values, have {[list(b) for b in bottoms]}")
        if not self.param.sigma > 0:
            self.fail("sigma must be positive")
        return [()]

    def onnx(self, scope: LayerScope) -> list[str]:
        flat = [scope.reshape(x, [0, -1]) for x in scope.bottoms]
        square = self.param.sigma**2
        d = scope.op("Sub", flat[0], flat[1])
        d = scope.op("Mul", d, flat[2]) if len(flat) > 2 else d
        size = scope.op("Abs", d)
        near = scope.op("Mul", scope.op("Mul", d, d), scope.const(square / 2))
        far = scope.op("Sub", size, scope.const(0.5 / square))
        f = scope.op("Where", scope.op("Less", size, scope.const(1 / square)), near, far)
        f = scope.op("Mul", f, flat[3]) if len(flat) > 3 else f
        sums = scope.op("ReduceSum", f, scope.ints([1]), keepdims=0)
        return [scope.op("ReduceMean", sums, axes=[0], keepdims=0)]

    def torch(self, scope: TorchScope) -> Compute:
        F, beta = scope.F, 1 / self.param.sigma**2

        def compute(own: Any, *bottoms: Any) -> list[Any]:
            a, b, *weights = (x.reshape(len(x), -1) for x in bottoms)
            inner = weights[0] if weights else 1.0
            f = F.smooth_l1_loss(a * inner, b * inner, reduction="none", beta=beta)
            return [(f * weights[1] if len(weights) > 1 else f).sum() / len(a)]

        return compute


@register("DetectionEvaluate")
class DetectionEvaluate(HostLayer):
    """Holds detections [1, 1, N, 7] against ground truth [1, 1, M, 8] (SSD).

    Top: [1, 1, C - 1 + N, 5]: for every class but the background -1, class, number of its boxes in the ground truth,
    -1, -1; then for every detection image, class, confidence, whether it is a true positive, whether a false one: each
    box of the ground truth takes the best detection that overlaps it by ``overlap_threshold``. Boxes are compared as
    they come, relative to the image; ``name_size_file`` is not read. Source: ``detection_evaluate_layer.cpp`` of SSD.
    """

    param_name = "detection_evaluate_param"
    bottom_count = (2, 2)
    bounded_axis = 2

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if not self.param.HasField("num_classes") or self.param.num_classes < 1:
            self.fail("has no num_classes")
        for bottom, values in zip(bottoms, (7, BOX_VALUES), strict=True):
            if len(bottom) != 4 or bottom[:2] != (1, 1) or bottom[3] != values:
                self.fail(
                    f"takes detections [1, 1, N, 7] and ground truth [1, 1, M, 8], has {[list(b) for b in bottoms]}"
                )
        return [(1, 1, int(self.param.num_classes) - 1 + bottoms[0][2], 5)]

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.check_finite(bottoms)
        found, truth = bottoms[0].reshape(-1, 7), bottoms[1].reshape(-1, BOX_VALUES)
        counts = truth[:, 1:2] if self.param.evaluate_difficult_gt else truth[truth[:, 7] == 0, 1:2]
        classes = [c for c in range(int(self.param.num_classes)) if c != self.param.background_label_id]
        rows: list[tuple[float, ...]] = [(-1.0, c, float((counts == c).sum()), -1.0, -1.0) for c in classes]
        found = found[found[:, 1] != -1]
        for image in np.unique(found[:, 0]):
            for label in np.unique(found[found[:, 0] == image, 1]):
                own = found[(found[:, 0] == image) & (found[:, 1] == label)]
                boxes = truth[(truth[:, 0] == image) & (truth[:, 1] == label)]
                rows += self._judged(own[np.argsort(-own[:, 2], kind="stable")], boxes)
        return [np.array(rows, np.float32).reshape(1, 1, -1, 5)]

    def _judged(self, found: np.ndarray, boxes: np.ndarray) -> list[tuple[float, ...]]:
        """Return the rows of one image's detections of one class, the best first."""
        taken: set[int] = set()
        rows = []
        for row in found:
            overlap = jaccard(row[3:], boxes[:, 3:7])
            best = int(overlap.argmax()) if len(boxes) else -1
            right, wrong = 0.0, 1.0
            if best >= 0 and overlap[best] >= self.param.overlap_threshold:
                counts = self.param.evaluate_difficult_gt or not boxes[best, 7]
                right, wrong = (float(best not in taken), float(best in taken)) if counts else (0.0, 0.0)
                if counts:
                    taken.add(best)
            rows.append((*(float(v) for v in row[:3]), right, wrong))
        return rows
