"""ROIWarping of MNC: the largest of bilinear samples in every cell of a grid laid over each region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from caffezoo.net.layer import Shape, register
from caffezoo.net.layers.roi_pooling import PooledRegions, round_half_up
from caffezoo.net.own_fields import fields

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope

MOST_SAMPLES = 1 << 12
"""Most samples along an axis of one region: it would be that many pixels of the map large."""


@register("ROIWarping")
class ROIWarping(PooledRegions):
    """The largest of the bilinear samples of each cell, which lie one pixel apart or less and on its borders.

    Corners are scaled and rounded; samples within half a pixel around the map take its border, and cells without one
    are 0 (``roi_warping_layer.cu`` of MNC, J. Dai and others, arXiv 1512.04412).
    """

    param_name = "roi_warping_param"
    own_fields = fields(pooled_h=0, pooled_w=0, spatial_scale=1.0)
    on_host = True

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        maps = bottoms[0]
        rois = self.check_images(bottoms[1], len(maps))
        pooled = (int(self.param.pooled_h), int(self.param.pooled_w))
        top = np.zeros((len(rois), maps.shape[1], *pooled), np.float32)
        scale = np.float32(self.param.spatial_scale)
        for r, roi in enumerate(rois.astype(np.float32)):
            x1, y1, x2, y2 = (round_half_up(float(v)) for v in roi[1:] * scale)
            rows = self._samples(y1, y2, pooled[0], maps.shape[2])
            columns = self._samples(x1, x2, pooled[1], maps.shape[3])
            for i, down in enumerate(rows):
                for j, right in enumerate(columns):
                    if len(down) and len(right):
                        values = np.einsum("ah,chw,bw->cab", down, maps[int(roi[0])], right, optimize=True)
                        top[r, :, i, j] = values.max((1, 2))
        return [top]

    def _samples(self, first: int, last: int, count: int, size: int) -> list[np.ndarray]:
        """Return the samples of each cell of an axis: how much each pixel counts in them, [samples, size]."""
        length = max(last - first, 0)
        cell, number = np.float32(length) / np.float32(count), -(-length // count)
        if number > MOST_SAMPLES:
            self.fail_values(f"a region is {length} pixels of the map large")
        step = np.float32(1 / number) if number else np.float32(np.inf)
        found = []
        for i in range(count):
            places, at = [], np.float32(i)
            while at <= i + 1:
                places.append(float(np.float32(first) + at * cell))
                at = at + step
            inside = np.clip([p for p in places if -0.5 <= p <= size - 0.5], 0, size - 1)
            low = inside.astype(int)
            weights = np.zeros((len(inside), size))
            np.add.at(weights, (np.arange(len(inside)), low), 1 - (inside - low))
            np.add.at(weights, (np.arange(len(inside)), np.minimum(low + 1, size - 1)), inside - low)
            found.append(weights)
        return found

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if not self.param.spatial_scale > 0:
            self.fail("spatial_scale must be positive")
        return super().top_shapes(bottoms)

    def onnx(self, scope: LayerScope) -> list[str]:
        raise scope.refuse("ONNX has no pooling of bilinear samples' largest; engines run it outside the model")
