"""BoxOutput (MS-CNN) and BoxGroupOutput (Cascade R-CNN): regions from the maps of several scales."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from caffezoo.net.boxes import MAX_CANDIDATES, suppress
from caffezoo.net.host_layer import HostLayer
from caffezoo.net.layer import Shape, register
from caffezoo.net.layers.decode_bbox import offset_scale

KINDS = ("IOU", "IOMU", "IOFU")
NO_REGION = (0.0, 1.0, 1.0, 10.0, 10.0)
"""The one row of the first top where no box is left."""


class BoxLayer(HostLayer):
    """What both layers share: their bounds, suppression, and the form of their tops.

    Tops: regions [R, 5, 1, 1] of image, x1, y1, x2, y2, and the same with the score as a sixth value where there is a
    second top.
    """

    top_count = (1, 2)
    bounded_axis = 0
    pixel: ClassVar[float]

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def bounded(self, images: int, boxes: int) -> list[Shape]:
        """Return the tops' shapes for images with at most so many boxes each."""
        if self.param.nms_type not in KINDS:
            self.fail(f"nms_type is '{self.param.nms_type}'; there are {', '.join(KINDS)}")
        if not self.param.field_whr > 0 or not self.param.field_xyr > 0:
            self.fail("field_whr and field_xyr must be positive")
        offset_scale(self, self.proto.bbox_reg_param)
        limits = [int(v) for v in (self.param.max_nms_num, self.param.max_post_nms_num) if v > 0]
        rows = max(images * min([boxes, *limits]), 1)
        shapes: list[Shape] = [(rows, 5, 1, 1), (rows, 6, 1, 1)]
        return shapes[: self.top_number]

    def offsets(self, loc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return shift and stretch of offsets [4, H, W], de-normalised and held within their bounds."""
        mean, std = (v[:, None, None] for v in offset_scale(self, self.proto.bbox_reg_param))
        loc = loc * std + mean
        reach, ratio = np.float32(1) / np.float32(self.param.field_xyr), np.float32(math.log(self.param.field_whr))
        return np.clip(loc[:2], -reach, reach), np.clip(loc[2:], -ratio, ratio)

    def tops(self, found: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the tops of the kept boxes [n, 5] (x1, y1, x2, y2, score) of every image."""
        rows = [np.concatenate([np.full((len(b), 1), i, np.float32), b], 1) for i, b in enumerate(found)]
        every = np.concatenate(rows).astype(np.float32)
        tops = (
            [every[:, :5], every] if len(every) else [np.array([NO_REGION], np.float32), np.zeros((1, 6), np.float32)]
        )
        return [top[:, :, None, None] for top in tops[: self.top_number]]

    def kept(self, boxes: np.ndarray) -> np.ndarray:
        """Return the best of one image's boxes [n, 5] after suppression."""
        before, after = int(self.param.max_nms_num), int(self.param.max_post_nms_num)
        boxes = boxes[np.argsort(-boxes[:, 4], kind="stable")]
        boxes = boxes[:before] if before else boxes
        if len(boxes) > MAX_CANDIDATES:
            self.fail_values(
                f"{len(boxes)} boxes go into suppression, the limit is {MAX_CANDIDATES}", hint="give max_nms_num"
            )
        kept = suppress(
            boxes[:, :4],
            self.param.iou_thr,
            pixel=self.pixel,
            most=after or None,
            kind=self.param.nms_type,
            ends=True,
        )
        best: np.ndarray = boxes[kept]
        return best


@register("BoxOutput")
class BoxOutput(BoxLayer):
    """Boxes of one map a scale: scores of all classes (background first) and four offsets, [N, C + 4, H, W].

    A box is taken where the best class's score less the background's is ``fg_thr`` or more. Source:
    ``box_output_layer.cpp`` of MS-CNN (Z. Cai and others, arXiv 1607.07155).
    """

    param_name = "box_output_param"
    bottom_count = (1, None)
    pixel = 0

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if any(len(b) != 4 or b[:2] != bottoms[0][:2] for b in bottoms) or bottoms[0][1] < 6:
            self.fail("takes maps [N, C + 4, H, W] of as many images and two classes or more")
        given = [len(v) for v in (self.param.field_h, self.param.field_w, self.param.downsample_rate)]
        if given != [len(bottoms)] * 3:
            self.fail(f"takes field_h, field_w and downsample_rate once a bottom: {len(bottoms)} bottoms, {given}")
        return self.bounded(bottoms[0][0], sum(b[2] * b[3] for b in bottoms))

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.check_finite(bottoms)
        p = self.param
        found = []
        for i in range(len(bottoms[0])):
            scales = [
                self._of_map(x[i], float(h), float(w), float(rate))
                for x, h, w, rate in zip(bottoms, p.field_h, p.field_w, p.downsample_rate, strict=True)
            ]
            found.append(self.kept(np.concatenate(scales)))
        return self.tops(found)

    def _of_map(self, x: np.ndarray, field_h: float, field_w: float, rate: float) -> np.ndarray:
        rows, columns = x.shape[1:]
        score = x[1:-4].max(0) - x[0]
        shift, stretch = self.offsets(x[-4:])
        field = np.array([field_w, field_h], np.float32)[:, None, None]
        place = np.stack(np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)).astype(np.float32) * rate
        size = field * np.exp(stretch)
        start = np.maximum(shift * field + place - size / 2, 0)
        image = np.array([columns * rate, rows * rate], np.float32)[:, None, None]
        size = np.minimum(size, image - start)
        taken = (score >= self.param.fg_thr) & (size >= self.param.min_size).all(0)
        boxes = np.concatenate([start, start + size, score[None]]).reshape(5, -1)
        return boxes[:, taken.ravel()].T


@register("BoxGroupOutput")
class BoxGroupOutput(BoxLayer):
    """Boxes of groups of fields at every scale: two bottoms a scale, scores [N G, C, H, W] and offsets [N G, 4, H, W].

    ``box_group_param`` gives each scale's stride and the sizes of its G fields; a box is taken where 1 less the first
    channel's score is ``fg_thr`` or more. Source: ``box_group_output_layer.cpp`` of Cascade R-CNN (arXiv 1712.00726).
    """

    param_name = "box_group_output_param"
    bottom_count = (2, None)
    pixel = 1

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        groups = self.param.box_group_param
        if len(bottoms) != 2 * len(groups):
            self.fail(f"takes two bottoms a box_group_param: {len(groups)} of these, {len(bottoms)} bottoms")
        images, boxes = set(), 0
        for group, scores, loc in zip(groups, bottoms[::2], bottoms[1::2], strict=True):
            count = len(group.field_h)
            if not count or count != len(group.field_w) or not group.stride > 0:
                self.fail("takes a stride, and as many field_h as field_w, in every box_group_param")
            if len(scores) != 4 or len(loc) != 4 or loc[1] != 4 or (scores[0], *scores[2:]) != (loc[0], *loc[2:]):
                self.fail(f"takes scores [N G, C, H, W] and offsets [N G, 4, H, W], has {list(scores)}, {list(loc)}")
            if scores[0] % count:
                self.fail(f"axis 0 holds {scores[0]} maps, {count} fields do not divide them")
            images.add(scores[0] // count)
            boxes += count * scores[2] * scores[3]
        if len(images) != 1:
            self.fail("the scales differ in their number of images")
        return self.bounded(images.pop(), boxes)

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.check_finite(bottoms)
        groups = self.param.box_group_param
        found = []
        for i in range(len(bottoms[0]) // len(groups[0].field_h)):
            parts = []
            for group, scores, loc in zip(groups, bottoms[::2], bottoms[1::2], strict=True):
                count = len(group.field_h)
                parts += [
                    self._of_map(scores[m], loc[m], group, m - i * count) for m in range(i * count, (i + 1) * count)
                ]
            found.append(self.kept(np.concatenate(parts)))
        return self.tops(found)

    def _of_map(self, scores: np.ndarray, loc: np.ndarray, group: Any, field: int) -> np.ndarray:
        rows, columns = loc.shape[1:]
        shift, stretch = self.offsets(loc)
        size = np.array([group.field_w[field], group.field_h[field]], np.float32)[:, None, None]
        place = np.stack(np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)).astype(np.float32) * group.stride
        own = size * np.exp(stretch)
        start = shift * size + place - own / 2
        image = np.array([int(columns * group.stride), int(rows * group.stride)], np.float32)[:, None, None]
        end = np.minimum(start + own - 1, image)
        start = np.maximum(start, 0)
        score = 1 - scores[0]
        taken = (score >= self.param.fg_thr) & (end - start + 1 >= self.param.min_size).all(0)
        boxes = np.concatenate([start, end, score[None]]).reshape(5, -1)
        return boxes[:, taken.ravel()].T
