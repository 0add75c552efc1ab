"""PriorBox (SSD): the boxes that a network's offsets are relative to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from caffezoo.net.layer import Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

MAX_PRIORS = 4_000_000


@register("PriorBox")
class PriorBox(Layer):
    """Boxes of fixed sizes around the centre of every pixel of the first bottom, relative to the image (the second).

    Top: [1, 2, 4 P]: x1, y1, x2, y2 of every prior, and the variance of each. At a pixel stand, for each ``min_size``
    s with ``max_size`` m: s x s, sqrt(s m) x sqrt(s m), and s sqrt(r) x s / sqrt(r) for every other aspect ratio r (and
    1 / r with ``flip``). Before them stand those of ``fixed_size`` of a fork (FaceBoxes): a box repeated ``density`` x
    ``density`` times inside its own size, in the ratios of ``fixed_ratio`` or else all, its x1 and y1 at least 0, x2
    and y2 at most 1. With ``denser_prior_boxes`` (TextBoxes++) every prior of a ``min_size`` is followed by one half a
    step lower. Source: ``prior_box_layer.cpp`` of SSD.
    """

    param_name = "prior_box_param"
    bottom_count = (2, 2)
    in_place_allowed = False
    differentiable = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if any(len(b) != 4 for b in bottoms):
            self.fail(f"takes two blobs with 4 axes, has {', '.join(str(b) for b in bottoms)}")
        self._check()
        height, width = bottoms[0][2:]
        most = MAX_PRIORS // (height * width)
        boxes = sum(1 for _ in islice(self._boxes_of_pixel(1.0, 1.0), most + 1))
        if boxes > most:
            self.fail(f"would make more than {most} priors at each of {height} x {width} pixels, {MAX_PRIORS} together")
        return [(1, 2, 4 * height * width * boxes)]

    def _check(self) -> None:
        p = self.param
        if not p.min_size and not p.fixed_size:
            self.fail("has no min_size")
        if any(not s > 0 for s in (*p.min_size, *p.fixed_size)):
            self.fail("min_size must be positive")
        if p.max_size and len(p.max_size) != len(p.min_size):
            self.fail(f"takes one max_size a min_size: {len(p.min_size)} min_size, {len(p.max_size)} max_size")
        if any(not big > small for small, big in zip(p.min_size, p.max_size, strict=False)):
            self.fail("max_size must be above min_size")
        if any(not r > 0 for r in (*p.aspect_ratio, *p.fixed_ratio)):
            self.fail("aspect_ratio must be positive")
        if len(p.variance) not in (0, 1, 4) or any(not v > 0 for v in p.variance):
            self.fail(f"takes 1 or 4 positive variances, has {[round(v, 6) for v in p.variance]}")
        if p.fixed_size and len(p.density) != len(p.fixed_size):
            self.fail(f"takes one density a fixed_size: {len(p.fixed_size)} fixed_size, {len(p.density)} density")
        if any(not 1 <= d <= 64 for d in p.density):
            self.fail("density must be 1 to 64")
        if p.HasField("img_size") and (p.HasField("img_h") or p.HasField("img_w")):
            self.fail("takes img_size or img_h and img_w, not both")
        if p.HasField("step") and (p.HasField("step_h") or p.HasField("step_w")):
            self.fail("takes step or step_h and step_w, not both")

    def _ratios(self) -> list[float]:
        """Return the aspect ratios, 1 first, none twice."""
        ratios = [1.0]
        for ratio in self.param.aspect_ratio:
            if all(abs(ratio - known) >= 1e-6 for known in ratios):
                ratios += [float(ratio), 1 / float(ratio)] if self.param.flip else [float(ratio)]
        return ratios

    def _boxes_of_pixel(self, step_w: float, step_h: float) -> Iterator[tuple[float, float, float, float]]:
        """Yield shift of the centre in x and y, width and height of every prior of a pixel, in pixels of the image."""
        p = self.param
        yield from self._tiled_boxes()
        for box in self._sized_boxes():
            yield box
            if p.denser_prior_boxes:
                yield box[0], box[1] + step_h / 2, *box[2:]

    def _tiled_boxes(self) -> Iterator[tuple[float, float, float, float]]:
        p = self.param
        for size, density in zip(p.fixed_size, p.density, strict=True):
            dense = int(density)
            shift = int(size) // dense
            for ratio in p.fixed_ratio or self._ratios():
                for row in range(dense):
                    for column in range(dense):
                        x, y = (-int(size) / 2 + shift / 2 + k * shift for k in (column, row))
                        yield x, y, size * math.sqrt(ratio), size / math.sqrt(ratio)

    def _sized_boxes(self) -> Iterator[tuple[float, float, float, float]]:
        for i, size in enumerate(self.param.min_size):
            yield 0.0, 0.0, size, size
            if self.param.max_size:
                middle = math.sqrt(size * self.param.max_size[i])
                yield 0.0, 0.0, middle, middle
            for ratio in self._ratios()[1:]:
                yield 0.0, 0.0, size * math.sqrt(ratio), size / math.sqrt(ratio)

    def priors(self, bottoms: Sequence[Shape]) -> np.ndarray:
        """Return the top for these shapes, float32."""
        p = self.param
        (rows, columns), (image_h, image_w) = bottoms[0][2:], bottoms[1][2:]
        image_h = int(p.img_size or p.img_h or image_h)
        image_w = int(p.img_size or p.img_w or image_w)
        step_h = np.float32(p.step or p.step_h or np.float32(image_h) / np.float32(rows))
        step_w = np.float32(p.step or p.step_w or np.float32(image_w) / np.float32(columns))
        offset = np.float32(p.offset)
        x = (np.arange(columns, dtype=np.float32) + offset) * step_w
        y = (np.arange(rows, dtype=np.float32) + offset) * step_h
        shapes = np.array(list(self._boxes_of_pixel(float(step_w), float(step_h))), np.float32).astype(np.float64)
        boxes = np.empty((rows, columns, len(shapes), 4))
        centre_x = x.astype(np.float64)[None, :, None] + shapes[:, 0]
        centre_y = y.astype(np.float64)[:, None, None] + shapes[:, 1]
        boxes[..., 0] = (centre_x - shapes[:, 2] / 2) / image_w
        boxes[..., 1] = (centre_y - shapes[:, 3] / 2) / image_h
        boxes[..., 2] = (centre_x + shapes[:, 2] / 2) / image_w
        boxes[..., 3] = (centre_y + shapes[:, 3] / 2) / image_h
        tiled = boxes[:, :, : sum(1 for _ in self._tiled_boxes())]
        np.maximum(tiled[..., :2], 0, out=tiled[..., :2])
        np.minimum(tiled[..., 2:], 1, out=tiled[..., 2:])
        if p.clip:
            boxes = boxes.clip(0, 1)
        line = [float(v) for v in p.variance] or [0.1]
        variances = np.resize(np.array(line * 4 if len(line) == 1 else line, np.float32), boxes.size)
        return np.stack([boxes.astype(np.float32).reshape(-1), variances])[None]

    def onnx(self, scope: LayerScope) -> list[str]:
        return [scope.const(self.priors(scope.bottom_shapes))]

    def torch(self, scope: TorchScope) -> Compute:
        scope.constant("priors", self.priors(scope.bottom_shapes))
        return lambda own, *bottoms: [own.priors]
