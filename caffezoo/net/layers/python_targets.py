"""Python layers that py-faster-rcnn and SSH train on: which anchors and regions are right, and how far off they are.

Where there are more than a batch takes, they are drawn: here with a seed of its own at every pass, so a network gives
the same twice; the original draws from numpy's global state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from caffezoo.net.boxes import shares
from caffezoo.net.layer import Shape
from caffezoo.net.layers.proposal import MAX_ANCHORS, make_anchors
from caffezoo.net.layers.python import Python, known_as

SEED = 3
"""``RNG_SEED`` of py-faster-rcnn's settings."""


def offsets(boxes: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return dx, dy, dw, dh [n, 4] from boxes to targets, whose last pixel is part of them (``bbox_transform.py``)."""
    sides, wanted = (b[:, 2:4] - b[:, :2] + 1 for b in (boxes, targets))
    moves = (targets[:, :2] + 0.5 * wanted - boxes[:, :2] - 0.5 * sides) / sides
    return np.concatenate([moves, np.log(wanted / sides)], 1)


@known_as("rpn.anchor_target_layer.AnchorTargetLayer")
class AnchorTarget(Python):
    """Labels and offsets of every anchor for the true boxes of one image.

    Bottoms: scores [1, .., H, W] (for the size), true boxes [G, 5] (x1, y1, x2, y2, class), height, width and scale of
    the image, and the image. Tops, A anchors a place: labels [1, 1, A H, W] (1 right, 0 wrong, -1 does not count),
    offsets, weights of what is right, and weights by number, [1, 4 A, H, W] each. An anchor within the image is right
    from an overlap of 0.7 on, or as the best of a true box; wrong below 0.3. 256 count, half of them right at most
    (``anchor_target_layer.py`` with the settings of py-faster-rcnn). ``param_str``: ``feat_stride``, and if given
    ``scales`` and ``allowed_border``.
    """

    bottom_count = (3, 4)
    top_count = (4, 4)
    right_from, wrong_below = 0.7, 0.3
    batch, right_share = 256, 0.5
    best_are_right = True

    def anchors(self) -> np.ndarray:
        """Return the anchors [A, 4] of the first place."""
        return make_anchors(16, (0.5, 1.0, 2.0), self.positive("scales", (8.0, 16.0, 32.0), MAX_ANCHORS // 3))

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        scores, boxes, info = bottoms[:3]
        self.positive("feat_stride")
        if len(scores) != 4 or scores[0] != 1 or len(boxes) != 2 or boxes[1] != 5 or math.prod(info) < 3:
            self.fail(f"takes scores [1, .., H, W], boxes [G, 5] and height, width and scale, has {bottoms[:3]}")
        count, (height, width) = len(self.anchors()), scores[2:]
        return [(1, 1, count * height, width), *[(1, 4 * count, height, width)] * 3]

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.check_finite(bottoms[1:3])
        (height, width), true, info = bottoms[0].shape[2:], bottoms[1].astype(np.float64), bottoms[2].ravel()
        if not len(true):
            self.fail_values("there is no true box in the image")
        (stride,), base = self.positive("feat_stride"), self.anchors()
        y, x = np.mgrid[:height, :width] * stride
        every = (np.stack([x, y, x, y], -1)[:, :, None] + base).reshape(-1, 4)
        places = self.counted(every, info)
        anchors = every[places]
        overlaps = shares(anchors, true[:, :4], pixel=1)
        labels = self._labels(overlaps, self._right_scores(bottoms, places, len(base)))
        targets = offsets(anchors, true[overlaps.argmax(1)]) if len(anchors) else np.zeros((0, 4))
        right, counted = (labels == 1)[:, None] * np.ones(4), (labels >= 0)[:, None] * np.ones(4)
        tops = [np.full((len(every), 1), -1.0), *(np.zeros((len(every), 4)) for _ in range(3))]
        for top, values in zip(
            tops, (labels[:, None], targets, right, counted / max((labels >= 0).sum(), 1)), strict=True
        ):
            top[places] = values
        maps = [t.reshape(1, height, width, -1).transpose(0, 3, 1, 2).astype(np.float32) for t in tops]
        return [maps[0].reshape(1, 1, -1, width), *maps[1:]]

    def counted(self, anchors: np.ndarray, info: np.ndarray) -> np.ndarray:
        """Return the places of anchors within the image, or no more than ``allowed_border`` beyond."""
        border = (self.setting("allowed_border") or [0.0])[0]
        ends = (anchors[:, 2] < info[1] + border) & (anchors[:, 3] < info[0] + border)
        return np.flatnonzero(ends & (anchors[:, :2] >= -border).all(1))

    def _right_scores(self, bottoms: Sequence[np.ndarray], places: np.ndarray, count: int) -> np.ndarray | None:
        """Return how likely each of these anchors is thought to be right, by which they are chosen; None to draw."""
        return None

    def _labels(self, overlaps: np.ndarray, scores: np.ndarray | None) -> np.ndarray:
        labels = np.full(len(overlaps), -1.0)
        if not len(overlaps):
            return labels
        best = overlaps.max(1)
        labels[best < self.wrong_below] = 0
        if self.best_are_right:
            labels[(overlaps == overlaps.max(0)).any(1)] = 1
        labels[best >= self.right_from] = 1
        generator = np.random.default_rng(SEED)
        for label, room in ((1, int(self.right_share * self.batch)), (0, self.batch)):
            places = np.flatnonzero(labels == label)
            room -= int((labels == 1).sum()) if label == 0 else 0
            if len(places) <= room:
                continue
            if scores is None:
                labels[generator.choice(places, len(places) - room, replace=False)] = -1
            else:  # the hardest: right ones that seem least so, wrong ones that seem most so
                hard = np.argsort(scores[places] if label == 1 else -scores[places], kind="stable")
                labels[places[hard[room:]]] = -1
        return labels


@known_as("SSH.layers.anchor_target_layer.AnchorTargetLayer")
class FaceAnchorTarget(AnchorTarget):
    """See :class:`AnchorTarget`, with SSH's settings: right from 0.5 on (``positive_overlap``) and only so, and a
    quarter of 256 at most; ``ratios`` and ``base_size`` beside ``scales``. A fifth bottom holds scores [1, 2 A, H, W]:
    then the hardest count, not those that are drawn. Where no anchor lies within the image, all are looked at."""

    bottom_count = (3, 5)
    right_share = 0.25
    best_are_right = False

    @property
    def right_from(self) -> float:  # type: ignore[override]
        return self.positive("positive_overlap", (0.5,))[0]

    def anchors(self) -> np.ndarray:
        ratios = self.positive("ratios", (0.5, 1.0, 2.0), MAX_ANCHORS)
        scales = self.positive("scales", (8.0, 16.0, 32.0), MAX_ANCHORS // len(ratios))
        return make_anchors(self.positive("base_size", (16.0,))[0], ratios, scales)

    def counted(self, anchors: np.ndarray, info: np.ndarray) -> np.ndarray:
        found = super().counted(anchors, info)
        return found if len(found) else np.arange(len(anchors))

    def _right_scores(self, bottoms: Sequence[np.ndarray], places: np.ndarray, count: int) -> np.ndarray | None:
        if len(bottoms) < 5:
            return None
        return np.asarray(bottoms[4][0, count:].transpose(1, 2, 0).reshape(-1)[places])


@known_as("rpn.proposal_target_layer.ProposalTargetLayer")
class ProposalTarget(Python):
    """Regions that a detector is trained on, with their classes and offsets.

    Bottoms: regions [R, 5] (image, x1, y1, x2, y2) and true boxes [G, 5] (x1, y1, x2, y2, class), which count as
    regions too. Tops: regions [n, 5], classes [n], and offsets, weights and weights again [n, 4 ``num_classes``], of
    which those of a region's class are set. Of n = 128 at most, a quarter overlaps a true box by 0.5 or more; the
    others are of class 0 (``proposal_target_layer.py`` with the settings of ``faster_rcnn_end2end.yml``: offsets are
    divided by 0.1, 0.1, 0.2 and 0.2).
    """

    bottom_count = (2, 2)
    top_count = (5, 5)
    bounded_axis = 0
    batch, right_share = 128, 0.25

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        regions, boxes = bottoms
        (classes,) = self.positive("num_classes")
        if len(regions) != 2 or regions[1] != 5 or len(boxes) != 2 or boxes[1] != 5 or not 1 <= classes <= 100_000:
            self.fail(f"takes regions [R, 5] and boxes [G, 5], and num_classes, has {regions} and {boxes}")
        most, wide = min(self.batch, regions[0] + boxes[0]), 4 * int(classes)
        return [(most, 5), (most,), *[(most, wide)] * 3]

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.check_finite(bottoms)
        true, classes = bottoms[1].astype(np.float64), int(self.positive("num_classes")[0])
        if not len(true):
            self.fail_values("there is no true box in the image")
        own = np.concatenate([np.zeros((len(true), 1)), true[:, :4]], 1)
        regions = np.concatenate([bottoms[0].astype(np.float64), own])
        if regions[:, 0].any():
            self.fail_values("takes regions of one image")
        overlaps = shares(regions[:, 1:], true[:, :4], pixel=1)
        best, nearest = overlaps.max(1), overlaps.argmax(1)
        generator = np.random.default_rng(SEED)
        right = self._drawn(generator, np.flatnonzero(best >= 0.5), round(self.right_share * self.batch))
        wrong = self._drawn(generator, np.flatnonzero((best < 0.5) & (best >= 0)), self.batch - len(right))
        kept = np.concatenate([right, wrong])
        labels = np.where(np.arange(len(kept)) < len(right), true[nearest[kept], 4], 0)
        if labels.max(initial=0) >= classes or labels.min(initial=0) < 0:
            self.fail_values(f"a true box is of class {labels.max():g}, num_classes is {classes}")
        moves = offsets(regions[kept, 1:], true[nearest[kept]]) / (0.1, 0.1, 0.2, 0.2)
        targets, weights = np.zeros((len(kept), classes, 4)), np.zeros((len(kept), classes, 4))
        rows = np.flatnonzero(labels > 0)
        targets[rows, labels[rows].astype(int)], weights[rows, labels[rows].astype(int)] = moves[rows], 1
        tops = [regions[kept], labels, *(v.reshape(len(kept), -1) for v in (targets, weights, weights))]
        return [np.ascontiguousarray(t, np.float32) for t in tops]

    @staticmethod
    def _drawn(generator: np.random.Generator, places: np.ndarray, most: int) -> np.ndarray:
        return places if len(places) <= most else generator.choice(places, most, replace=False)
