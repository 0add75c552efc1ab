"""Proposal (Faster R-CNN): regions worth a look, from scores and offsets at every anchor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from caffezoo.net.boxes import MAX_CANDIDATES, suppress
from caffezoo.net.host_layer import HostLayer
from caffezoo.net.layer import Shape, register

MAX_ANCHORS = 1000


@dataclass(frozen=True)
class ProposalSettings:
    """How proposals are made.

    Attributes
    ----------
    stride : float
        Pixels of the image from one place of the map to the next.
    anchors : ndarray
        [A, 4], around the first place.
    before, after : int
        Most boxes that go into suppression and that come out of it.
    overlap : float
        Intersection over union above which the lower score goes.
    smallest : float
        Sides in pixels of an image that was not scaled.
    drops_small : bool
        Whether smaller boxes go (the Python layer), or stay with a score of 0 (the C++ layer).
    """

    stride: float
    anchors: np.ndarray
    before: int
    after: int
    overlap: float
    smallest: float
    drops_small: bool


def make_anchors(base: float, ratios: Sequence[float], scales: Sequence[float]) -> np.ndarray:
    """Return anchors [R S, 4] around a square of ``base`` px, by ratio (height by width), then scale.

    Widths and heights of ratios are rounded to whole pixels, as ``generate_anchors.py`` does.
    """
    centre, found = (base - 1) / 2, []
    for ratio in ratios:
        width = np.round(math.sqrt(base * base / ratio))
        height = np.round(width * ratio)
        for scale in scales:
            w, h = (width * scale - 1) / 2, (height * scale - 1) / 2
            found.append((centre - w, centre - h, centre + w, centre + h))
    return np.array(found)


class ProposalLayer(HostLayer):
    """Boxes that anchors and their offsets give, cut at the image, the best of them after suppression.

    Bottoms: scores [1, 2 A, H, W] (background first), offsets [1, 4 A, H, W] (dx, dy, dw, dh), and the image's height,
    width and scale. Tops: regions [R, 5] (0, x1, y1, x2, y2), and their scores where there is a second top.
    Source: ``proposal_layer.py`` and ``proposal_layer.cpp`` of Faster R-CNN (S. Ren and others, arXiv 1506.01497).
    """

    bottom_count = (3, 3)
    top_count = (1, 2)
    bounded_axis = 0
    score_axes: ClassVar[Shape] = ()

    def settings(self) -> ProposalSettings:
        """Return how this layer makes proposals."""
        raise NotImplementedError

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        scores, offsets, info = bottoms
        s = self.settings()
        count = len(s.anchors)
        if not 1 <= count <= MAX_ANCHORS:
            self.fail(f"takes 1 to {MAX_ANCHORS} anchors (ratios times scales), has {count}")
        if len(scores) != 4 or len(offsets) != 4 or scores[0] != 1 or scores[2:] != offsets[2:]:
            self.fail(f"takes scores and offsets [1, .., H, W] of one image, has {list(scores)} and {list(offsets)}")
        if (scores[1], offsets[1]) != (2 * count, 4 * count):
            self.fail(f"{count} anchors take {2 * count} and {4 * count} channels, has {scores[1]} and {offsets[1]}")
        if math.prod(info) < 3:
            self.fail(f"takes height, width and scale of the image, has {list(info)}")
        if s.after < 1 or s.before < 1:
            self.fail("the numbers of boxes before and after suppression must be positive")
        most = min(s.after, s.before, count * scores[2] * scores[3])
        shapes: list[Shape] = [(most, 5), (most, *self.score_axes)]
        return shapes[: self.top_number]

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.check_finite(bottoms)
        s, info = self.settings(), bottoms[2].ravel()
        count = len(s.anchors)
        rows, columns = bottoms[0].shape[2:]
        scores = bottoms[0][0, count:].transpose(1, 2, 0).ravel()
        boxes = self._boxes(s, bottoms[1][0].reshape(count, 4, rows, columns))
        boxes = np.clip(boxes, 0, np.array([info[1], info[0], info[1], info[0]], np.float32) - 1)
        scale = np.array([info[3] if info.size > 3 else info[2], info[2]])
        large = (boxes[:, 2:] - boxes[:, :2] + 1 >= s.smallest * scale).all(1)
        if s.drops_small:
            boxes, scores = boxes[large], scores[large]
        else:
            scores = scores * large
        order = np.argsort(-scores, kind="stable")[: s.before]
        if len(order) > MAX_CANDIDATES:
            self.fail_values(f"{len(order)} boxes go into suppression, the limit is {MAX_CANDIDATES}")
        kept = order[suppress(boxes[order], s.overlap, pixel=1, most=s.after)]
        rois = np.zeros((len(kept), 5), np.float32)
        rois[:, 1:] = boxes[kept]
        return [rois, scores[kept].reshape(-1, *self.score_axes)][: self.top_number]

    def _boxes(self, s: ProposalSettings, offsets: np.ndarray) -> np.ndarray:
        """Return the boxes of all anchors [H W A, 4], by row, column and anchor."""
        rows, columns = offsets.shape[2:]
        y, x = np.mgrid[:rows, :columns] * s.stride
        shift = np.stack([x, y, x, y], -1)[:, :, None]
        anchors = (shift + s.anchors).reshape(-1, 4).astype(np.float32)
        moves = offsets.transpose(2, 3, 0, 1).reshape(-1, 4)
        sides = anchors[:, 2:] - anchors[:, :2] + 1
        centre = moves[:, :2] * sides + anchors[:, :2] + np.float32(0.5) * sides
        with np.errstate(over="ignore"):
            half = np.exp(moves[:, 2:]) * sides * np.float32(0.5)
        if not np.isfinite(half).all():
            self.fail_values("a box is not finite: its offsets are too large")
        return np.concatenate([centre - half, centre + half], 1)


@register("Proposal")
class Proposal(ProposalLayer):
    """See :class:`ProposalLayer`; boxes below ``min_size`` stay, with a score of 0 (the C++ layer)."""

    param_name = "proposal_param"

    def settings(self) -> ProposalSettings:
        p = self.param
        if not p.feat_stride > 0 or not p.base_size > 0 or any(not v > 0 for v in (*p.ratio, *p.scale)):
            self.fail("feat_stride, base_size, ratio and scale must be positive")
        if len(p.ratio) * len(p.scale) > MAX_ANCHORS:
            self.fail(f"takes up to {MAX_ANCHORS} anchors (ratios times scales)")
        anchors = make_anchors(p.base_size, p.ratio or (0.5, 1.0, 2.0), p.scale or (8.0, 16.0, 32.0))
        return ProposalSettings(
            p.feat_stride, anchors, int(p.pre_nms_topn), int(p.post_nms_topn), p.nms_thresh, p.min_size, False
        )
