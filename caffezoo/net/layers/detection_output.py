"""DetectionOutput (SSD): the boxes that are left of all priors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.box_operators import detections_onnx
from caffezoo.net.boxes import MAX_CANDIDATES, decode, suppress
from caffezoo.net.host_layer import HostLayer
from caffezoo.net.layer import Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope


POLYGON = 8
"""Coordinates of four corners: x and y, clockwise from the upper left."""


def polygons(offsets: np.ndarray, priors: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Return the corners [N, 8] that offsets [N, 8] from the corners of priors mean, in units of the priors' sides.

    Source: ``EncodeBBoxPolygon`` in ``bbox_util.cpp`` of TextBoxes++ (Liao et al., arXiv 1801.02765), turned round.
    """
    sides = (priors[:, 2:] - priors[:, :2]) * variances[:, :2]
    return np.asarray(priors[:, [0, 1, 2, 1, 2, 3, 0, 3]] + offsets * np.tile(sides, 4))


@register("DetectionOutput")
class DetectionOutput(HostLayer):
    """Decodes offsets, keeps the best boxes of every class but the background, and of an image.

    Bottoms: offsets [N, P L 4] (L = 1 with ``share_location``, else ``num_classes``), confidences [N, P C], priors
    [1, 2, 4 P], and for RefineDet also the confidences [N, P 2] and the offsets [N, P 4] of its first stage; a fourth
    bottom of ground truth [1, 1, M, 8], which forks draw, is not read. Of each class stay boxes with a confidence above
    ``confidence_threshold``, at most ``nms_param.top_k`` of the best, suppressed by overlap; of an image at most
    ``keep_top_k``. Top: [1, 1, M, 7]: image, class, confidence, x1, y1, x2, y2, by image and falling confidence, as
    OpenCV orders them (SSD's Caffe has the classes of an image one after the other); one row of -1 an image where
    nothing is left of any. With ``use_polygon`` (TextBoxes++) an offset has 12 values and a row 15: behind the box the
    four corners of its polygon, which suppression does not look at. Source: ``detection_output_layer.cpp`` of SSD.
    """

    param_name = "detection_output_param"
    bottom_count = (3, 5)
    bounded_axis = 2
    finds_boxes = True

    def __init__(self, proto: pb.LayerParameter, where: str = "", phase: int = pb.TEST) -> None:
        super().__init__(proto, where, phase)
        self.finds_boxes = not self.param.use_polygon  # type: ignore[misc]

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        p, classes = self.param, int(self.param.num_classes)
        if not p.HasField("num_classes") or classes < 1:
            self.fail("has no num_classes")
        if not 0 < p.nms_param.eta <= 1 or p.nms_param.nms_threshold < 0:
            self.fail("takes eta above 0 and up to 1, and an nms_threshold that is not negative")
        plain = p.code_type == pb.PriorBoxParameter.CENTER_SIZE and not p.variance_encoded_in_target
        if p.use_polygon and (not plain or len(bottoms) > 3):
            self.fail(
                "use_polygon takes code_type CENTER_SIZE, variances that are not in the target, and three bottoms"
            )
        priors = self.prior_count(bottoms)
        size = self.offsets * priors * (1 if p.share_location else classes)
        batch = bottoms[0][0]
        lengths = {0: size, 1: priors * classes} | ({3: 2 * priors, 4: 4 * priors} if self.is_refined(bottoms) else {})
        for i, length in lengths.items():
            if i < len(bottoms) and (int(np.prod(bottoms[i][1:])) != length or bottoms[i][0] != batch):
                self.fail(
                    f"bottom {i} has shape {list(bottoms[i])}, {priors} priors and {classes} classes want "
                    f"{[batch, length]}"
                )
        return [(1, 1, batch * self.most(priors), 3 + self.offsets)]

    @property
    def offsets(self) -> int:
        """Values that locate a box: 4, and 8 for the corners of a polygon."""
        return 4 + POLYGON if self.param.use_polygon else 4

    def prior_count(self, bottoms: Sequence[Shape]) -> int:
        """Return P."""
        shape = bottoms[2]
        if len(shape) < 2 or shape[0] != 1 or shape[1] != 2 or int(np.prod(shape[2:])) % 4:
            self.fail(f"takes priors [1, 2, 4 P], has {list(shape)}")
        return int(np.prod(shape[2:])) // 4

    @property
    def classes(self) -> list[int]:
        """The classes but the background."""
        return [c for c in range(self.param.num_classes) if c != self.param.background_label_id]

    def candidates(self, priors: int) -> int:
        """Return the most boxes of a class that go into suppression."""
        top_k = int(self.param.nms_param.top_k) if self.param.nms_param.HasField("top_k") else -1
        return priors if top_k < 0 else min(top_k, priors)

    def most(self, priors: int) -> int:
        """Return the most boxes that can be left of an image; 1 where there can be none."""
        found = len(self.classes) * self.candidates(priors)
        return max(1, found if self.param.keep_top_k < 0 else min(int(self.param.keep_top_k), found))

    @property
    def threshold(self) -> float:
        """What a confidence must be above."""
        given = self.param.HasField("confidence_threshold")
        return float(self.param.confidence_threshold) if given else float(np.finfo(np.float32).min)

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.check_finite(bottoms)
        count, classes = len(bottoms[0]), int(self.param.num_classes)
        priors, variances = bottoms[2].reshape(2, -1, 4)
        loc = bottoms[0].reshape(count, len(priors), -1, self.offsets)
        scores = bottoms[1].reshape(count, len(priors), classes)
        first_loc = None
        if self.is_refined([b.shape for b in bottoms]):
            weak = bottoms[3].reshape(count, -1, 2)[..., 1] < self.param.objectness_score
            scores = np.where(weak[..., None], np.arange(classes) == 0, scores)
        if len(bottoms) > 4:
            first_loc = bottoms[4].reshape(count, -1, 4)
        used = None if self.param.variance_encoded_in_target else variances
        rows = []
        for i in range(count):
            own = priors if first_loc is None else decode(self.param.code_type, first_loc[i], priors, used)
            rows.append(self._of_image(i, loc[i], scores[i], own, used))
        found = np.concatenate(rows)
        if not len(found):
            found = np.full((count, 3 + self.offsets), -1, np.float32)
            found[:, 0] = np.arange(count)
        return [found[None, None].astype(np.float32)]

    def _of_image(
        self, image: int, loc: np.ndarray, scores: np.ndarray, priors: np.ndarray, variances: np.ndarray | None
    ) -> np.ndarray:
        """Return the rows of one image."""
        nms, found = self.param.nms_param, []
        limit = self.candidates(len(priors))
        for label in self.classes:
            above = np.flatnonzero(scores[:, label] > self.threshold)
            if not len(above):
                continue
            order = above[np.argsort(-scores[above, label], kind="stable")][:limit]
            if len(order) > MAX_CANDIDATES:
                self.fail_values(
                    f"{len(order)} boxes of class {label} are above the confidence threshold, the limit is "
                    f"{MAX_CANDIDATES}",
                    hint="give nms_param { top_k } or a confidence_threshold",
                )
            offsets = loc[order, 0 if self.param.share_location else label]
            with np.errstate(over="ignore", invalid="ignore"):
                boxes = decode(
                    self.param.code_type, offsets[:, :4], priors[order], None if variances is None else variances[order]
                )
            if not np.isfinite(boxes).all():
                self.fail_values(f"a box of class {label} is not finite: its offsets are too large")
            if self.param.clip:
                boxes = boxes.clip(0, 1)
            kept = suppress(boxes, nms.nms_threshold, eta=nms.eta)
            rows = np.empty((len(kept), 3 + self.offsets), np.float32)
            rows[:, 0], rows[:, 1], rows[:, 2] = image, label, scores[order[kept], label]
            rows[:, 3:7] = boxes[kept]
            if self.param.use_polygon and variances is not None:
                best = order[kept]
                rows[:, 7:] = polygons(offsets[kept, 4:], priors[best], variances[best])
            found.append(rows)
        if not found:
            return np.empty((0, 3 + self.offsets), np.float32)
        every = np.concatenate(found)
        best = np.argsort(-every[:, 2], kind="stable")
        return every[best if self.param.keep_top_k < 0 else best[: self.param.keep_top_k]]

    def onnx(self, scope: LayerScope) -> list[str]:
        if self.param.use_polygon:
            return super().onnx(scope)
        return [detections_onnx(self, scope)]

    @staticmethod
    def is_refined(bottoms: Sequence[Shape]) -> bool:
        """Whether there is a first stage behind the priors, and not ground truth."""
        truth = len(bottoms) == 4 and len(bottoms[3]) == 4 and bottoms[3][::3] == (1, 8)
        return len(bottoms) > 3 and not truth
