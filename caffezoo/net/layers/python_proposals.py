"""Python layers that propose regions: of py-faster-rcnn, of the face detector SSH, and of the text detector CTPN."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from caffezoo.net.layer import Shape
from caffezoo.net.layers.proposal import MAX_ANCHORS, ProposalLayer, ProposalSettings, make_anchors
from caffezoo.net.layers.python import Python, known_as

TEXT_HEIGHTS = (11, 16, 23, 33, 48, 68, 97, 139, 198, 283)
TEXT_WIDTH = 16


@known_as("rpn.proposal_layer.ProposalLayer")
class PythonProposal(ProposalLayer, Python):
    """``ProposalLayer`` of ``rpn.proposal_layer`` with py-faster-rcnn's settings at TEST: 6000 boxes into suppression
    at 0.7, 300 out of it, sides of 16 px; ``param_str`` gives ``feat_stride`` and may give ``scales`` of anchors."""

    bottom_count = (3, 3)
    top_count = (1, 2)
    score_axes = (1,)

    def settings(self) -> ProposalSettings:
        (stride,) = self.positive("feat_stride")
        scales = self.positive("scales", (8.0, 16.0, 32.0), MAX_ANCHORS // 3)
        return ProposalSettings(stride, make_anchors(16, (0.5, 1.0, 2.0), scales), 6000, 300, 0.7, 16, True)


@known_as("SSH.layers.proposal_layer.ProposalLayer")
class FaceProposal(PythonProposal):
    """``ProposalLayer`` of SSH (Najibi and others, ICCV 2017) at TEST: the best 1000 boxes of a module, no suppression.

    ``param_str`` gives ``feat_stride`` and may give ``scales``, ``ratios`` and ``base_size`` (16); no box is too small
    (``N_DETS_PER_MODULE`` 1000 and ``ANCHOR_MIN_SIZE`` 0 of its ``default_config.yml``).
    """

    def settings(self) -> ProposalSettings:
        (stride,), (base,) = self.positive("feat_stride"), self.positive("base_size", (16.0,))
        ratios = self.positive("ratios", (0.5, 1.0, 2.0), MAX_ANCHORS)
        anchors = make_anchors(base, ratios, self.positive("scales", (8.0, 16.0, 32.0), MAX_ANCHORS // len(ratios)))
        return ProposalSettings(stride, anchors, 1000, 1000, math.inf, 0, True)


@known_as("layers.text_proposal_layer.ProposalLayer")
class TextProposal(Python):
    """``ProposalLayer`` of CTPN (Tian and others, ECCV 2016): strips of 16 px at every place, in ten heights.

    Bottoms: scores [1, 20, H, W] (background first), offsets [1, 20, H, W] (dy, dh), and the image's height and width.
    Tops: boxes [10 H W, 4] (x1, y1, x2, y2), cut at the image, and their scores [10 H W, 1], by row, column and anchor;
    whatever follows is left to the program (``text_proposal_layer.py`` and ``anchor.py`` of tianzhi0549/CTPN).
    """

    bottom_count = (3, 3)
    top_count = (2, 2)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        scores, offsets, info = bottoms
        count = len(TEXT_HEIGHTS)
        if len(scores) != 4 or scores[:2] != (1, 2 * count) or offsets != scores or math.prod(info) < 2:
            self.fail(f"takes scores and offsets [1, {2 * count}, H, W] and an image's size, has {bottoms}")
        self.positive("feat_stride")
        boxes = count * scores[2] * scores[3]
        return [(boxes, 4), (boxes, 1)]

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.check_finite(bottoms)
        scores, offsets, info = bottoms[0][0], bottoms[1][0], bottoms[2].ravel()
        count, (stride,) = len(TEXT_HEIGHTS), self.positive("feat_stride")
        halves = np.array(TEXT_HEIGHTS) // 2  # whole pixels, in the division of the code's Python 2
        middle, half = (TEXT_WIDTH - 1) / 2, TEXT_WIDTH // 2
        y, x, up = np.meshgrid(*(np.arange(n) * stride for n in scores.shape[1:]), halves, indexing="ij")
        top, bottom = y + np.trunc(middle - up), y + np.trunc(middle + up)
        moves = offsets.transpose(1, 2, 0).reshape(*scores.shape[1:], count, 2)
        sides = bottom - top + 1
        with np.errstate(over="ignore"):
            tall = (np.exp(moves[..., 1]) * sides).astype(np.float32)
        if not np.isfinite(tall).all():
            self.fail_values("a box is not finite: its offsets are too large")
        high = (moves[..., 0] * sides + (top + bottom) / 2 - tall / 2).astype(np.float32)
        left, right = x + np.trunc(middle - half), x + np.trunc(middle + half)
        boxes = np.stack([left, high, right, high + tall], -1).reshape(-1, 4)
        boxes = np.clip(boxes, 0, np.array([info[1], info[0], info[1], info[0]]) - 1)
        found = scores[count:].transpose(1, 2, 0).reshape(-1, 1)
        return [boxes.astype(np.float32), np.ascontiguousarray(found)]
