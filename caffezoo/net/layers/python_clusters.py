"""Python layers of DetectNet (NVIDIA's Caffe): boxes from a grid by votes, and how many of them are right."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from caffezoo.net.layer import Shape
from caffezoo.net.layers.python import Python, known_as

LISTED = 50
"""Boxes of an image that ``mean_ap.py`` has room for."""
MAX_VOTES = 20_000
"""Boxes of one image that are held against one another."""


def group_rectangles(rectangles: np.ndarray, threshold: int, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the means of groups of similar rectangles [n, 4] (x, y, width, height), and how many each is of.

    OpenCV's ``groupRectangles``: rectangles are similar whose four edges differ by ``eps`` times half the smaller width
    and height at most, groups hang together by similar pairs, those of ``threshold`` or fewer are dropped, and so is a
    group within another that is larger (``cascadedetect.cpp`` of OpenCV 4).
    """
    rectangles = np.trunc(rectangles).astype(np.int64)
    if threshold <= 0 or not len(rectangles):
        return rectangles, np.ones(len(rectangles), np.int64)
    edges = np.concatenate([rectangles[:, :2], rectangles[:, :2] + rectangles[:, 2:]], 1)
    label = np.full(len(rectangles), -1)
    groups = 0
    for first in range(len(rectangles)):
        if label[first] >= 0:
            continue
        open_, label[first] = [first], groups
        while open_:
            one = open_.pop()
            sides = np.minimum(rectangles[one, 2:], rectangles[:, 2:]).sum(1) * eps * 0.5
            near = (abs(edges - edges[one]).max(1) <= sides) & (label < 0)
            label[near] = groups
            open_.extend(np.flatnonzero(near))
        groups += 1
    counts = np.bincount(label, minlength=groups)
    sums = np.stack([np.bincount(label, weights=column, minlength=groups) for column in rectangles.T], 1)
    means = np.rint(sums.astype(np.float32) * (np.float32(1) / counts.astype(np.float32))[:, None]).astype(np.int64)
    large = np.flatnonzero(counts > threshold).tolist()
    kept = [i for i in large if not any(_within(means, counts, i, j, eps) for j in large if j != i)]
    return means[kept], counts[kept]


def _within(means: np.ndarray, counts: np.ndarray, inner: int, outer: int, eps: float) -> bool:
    (x, y, width, height), (ox, oy, owidth, oheight) = means[inner].tolist(), means[outer].tolist()
    dx, dy = round(owidth * eps), round(oheight * eps)
    inside = x >= ox - dx and y >= oy - dy and x + width <= ox + owidth + dx and y + height <= oy + oheight + dy
    return inside and bool(counts[outer] > max(3, counts[inner]) or counts[inner] < 3)


class GridBoxes(Python):
    """Boxes of each class from coverage [N, K, H, W] and boxes [N, 4, H, W], whose ends are relative to their cell.

    Tops: one a class, [N, max_boxes, 5]: x1, y1, x2, y2 and a fifth value, in steps of float16; rows of 0 fill up
    (``clustering.py`` of NVIDIA/caffe). ``param_str`` lists numbers.
    """

    bottom_count = (2, 2)
    top_count = (1, None)
    places = 3
    """Where the number of classes stands in ``param_str``; the most boxes follow."""

    def given(self) -> list[float]:
        try:
            return [float(v) for v in self.param.param_str.split(",")]
        except ValueError:
            self.fail(f"takes numbers with commas in param_str, has {self.param.param_str!r}")

    def _counts(self) -> tuple[int, int]:
        """Return the numbers of classes and of boxes."""
        rest = [int(v) for v in self.given()[self.places :]]
        return (rest[0] if rest else 1), (rest[1] if len(rest) > 1 else LISTED)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        coverage, boxes = bottoms
        if len(self.given()) < self.places:
            self.fail(f"takes {self.places} numbers or more in param_str, has {self.param.param_str!r}")
        width, height, stride = self.given()[:3]
        classes, most = self._counts()
        if not 1 <= most <= 10_000 or min(width, height, stride) < 1 or min(width, height) < stride:
            self.fail(
                f"takes an image's width and height, a stride and up to 10000 boxes, has {self.param.param_str!r}"
            )
        if len(coverage) != 4 or len(boxes) != 4 or boxes[1] != 4 or boxes[::2] != coverage[::2]:
            self.fail(f"takes coverage [N, K, H, W] and boxes [N, 4, H, W], has {coverage} and {boxes}")
        if boxes[3] != coverage[3] or coverage[1] != classes or len(self.proto.top) != classes:
            self.fail(f"takes coverage and makes a top of {classes} class(es), has {coverage} and {boxes}")
        return [(coverage[0], most, 5)] * classes

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.check_finite(bottoms)
        coverage, boxes = bottoms
        classes, most = self._counts()
        tops = np.zeros((classes, len(coverage), most, 5), np.float32)
        for k, n in np.ndindex(classes, len(coverage)):
            found = self.listed(self._cells(coverage[n, k], boxes[n])).astype(np.float16)
            if len(found) > most:
                self.fail_values(f"{len(found)} boxes in an image, max_boxes is {most}")
            tops[k, n, : len(found)] = found
        return list(tops)

    def _cells(self, coverage: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Return the boxes [n, 4] of the cells that count."""
        width, height, stride = (int(v) for v in self.given()[:3])
        columns, rows = width // stride, height // stride
        y, x = np.nonzero(self.counted(coverage[:rows]))
        shift = np.stack([x * (width // columns), y * (height // rows)] * 2, 1)
        return boxes[:, y, x].T + shift

    def counted(self, coverage: np.ndarray) -> np.ndarray:
        """Return where a cell counts."""
        raise NotImplementedError

    def listed(self, boxes: np.ndarray) -> np.ndarray:
        """Return rows [m, 5] for the boxes of an image's cells."""
        raise NotImplementedError


@known_as("caffe.layers.detectnet.clustering.ClusterDetections")
class ClusterDetections(GridBoxes):
    """See :class:`GridBoxes`; cells of a coverage from the threshold on vote, and the fifth value is the logarithm of a
    group's votes. ``param_str``: width, height, stride, coverage threshold, votes that are too few, ``eps`` of
    :func:`group_rectangles`, least height of a box, and if given the number of classes and of boxes."""

    places = 7

    def counted(self, coverage: np.ndarray) -> np.ndarray:
        return np.asarray(coverage >= np.float32(self.given()[3]))

    def listed(self, boxes: np.ndarray) -> np.ndarray:
        _, _, _, _, few, eps, lowest = self.given()[:7]
        if not boxes.any():
            return np.zeros((0, 5))
        if len(boxes) > MAX_VOTES:
            self.fail_values(f"{len(boxes)} boxes of one image, the limit is {MAX_VOTES}")
        means, votes = group_rectangles(boxes, int(few), eps)
        tall = means[:, 3] - means[:, 1] >= lowest
        return np.concatenate([means[tall], np.log(votes[tall])[:, None]], 1)


@known_as("caffe.layers.detectnet.clustering.ClusterGroundtruth")
class ClusterGroundtruth(GridBoxes):
    """See :class:`GridBoxes`; each different box of the cells with any coverage once, in order, and a fifth value of 0.
    ``param_str``: width, height, stride, and if given the number of classes and of boxes."""

    def counted(self, coverage: np.ndarray) -> np.ndarray:
        return np.asarray(coverage > 0)

    def listed(self, boxes: np.ndarray) -> np.ndarray:
        rows = list(dict.fromkeys(map(tuple, boxes.tolist())))
        return np.array([(*row, 0.0) for row in rows]).reshape(-1, 5)


@known_as("caffe.layers.detectnet.mean_ap.ScoreDetections")
class ScoreDetections(Python):
    """True boxes and detections [N, M, 5] told apart, [N, 50, 5]: the last value is 1 for a detection that fits a true
    box, 2 for one that fits none, 3 for a true box that is missed (``mean_ap.py`` of NVIDIA/caffe).

    They fit where they share ``param_str`` (0.7) of their union; a true box takes the first that is left.
    """

    bottom_count = (2, 2)
    top_count = (1, 1)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if any(len(b) != 3 or b[2] != 5 or b[0] != bottoms[0][0] for b in bottoms):
            self.fail(f"takes true boxes and detections [N, M, 5], has {bottoms}")
        return [(bottoms[0][0], LISTED, 5)]

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        try:
            threshold = float(self.param.param_str)
        except ValueError:
            threshold = 0.7
        top = np.zeros((len(bottoms[0]), LISTED, 5), np.float32)
        for n, pair in enumerate(zip(*bottoms, strict=True)):
            true, found = (boxes[:, :4][boxes[:, :4].any(1)].astype(np.float64) for boxes in pair)
            taken, met = np.zeros(len(found), bool), np.zeros(len(true), bool)
            for i, box in enumerate(true):
                fits = np.flatnonzero((_shared(found, box) >= threshold) & ~taken)
                if len(fits):
                    taken[fits[0]] = met[i] = True
            rows = [*((*b, 1) for b in found[taken]), *((*b, 2) for b in found[~taken]), *((*b, 3) for b in true[~met])]
            if len(rows) > LISTED:
                self.fail_values(f"{len(rows)} boxes in an image, there is room for {LISTED}")
            top[n, : len(rows)] = np.array(rows).reshape(-1, 5)
        return [top]


def _shared(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return the area that boxes share with one, by that of the union."""
    ends = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    both = np.maximum(ends, 0).prod(1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod() - both
    return np.asarray(np.divide(both, union, out=np.zeros(len(boxes)), where=both != 0))


@known_as("caffe.layers.detectnet.mean_ap.mAP")
class MeanPrecision(Python):
    """Precision times recall, precision and recall in percent, each [1], of what :class:`ScoreDetections` makes."""

    bottom_count = (1, 1)
    top_count = (3, 3)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if math.prod(bottoms[0][-1:]) != 5:
            self.fail(f"takes boxes with a mark, [N, M, 5], has {bottoms[0]}")
        return [(1,)] * 3

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        right, wrong, missed = (int((bottoms[0][..., 4] == mark).sum()) for mark in (1, 2, 3))
        precision = 100 * right / (right + wrong) if right + wrong else 0.0
        recall = 100 * right / (right + missed) if right + missed else 0.0
        return [np.array([v], np.float32) for v in (precision * recall / 100, precision, recall)]
