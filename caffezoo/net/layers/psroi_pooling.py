"""PSROIPooling (R-FCN) and PSROIAlign: every cell of a region's grid averages channels of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from caffezoo.net.layer import Shape, register
from caffezoo.net.layers.roi_pooling import RegionLayer, round_half_up

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope

SMALLEST_REGION = 0.1


@register("PSROIPooling")
class PSROIPooling(RegionLayer):
    """Cell (i, j) of ``group_size`` x ``group_size`` averages the map's channel ``(c g + i) g + j`` for top channel c.

    Corners are rounded to whole pixels of the image and scaled; a cell takes every pixel of the map that it touches, 0
    where it touches none. Source: ``psroi_pooling_layer.cu`` of R-FCN (J. Dai and others, arXiv 1605.06409).
    """

    param_name = "psroi_pooling_param"
    on_host = True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        count, group, out = self.regions(bottoms), int(self.param.group_size), int(self.param.output_dim)
        if group < 1 or out < 1 or not self.param.spatial_scale > 0:
            self.fail("group_size, output_dim and spatial_scale must be positive")
        if bottoms[0][1] != out * group * group:
            self.fail(f"takes {out * group * group} channels (output_dim x group_size^2), has {bottoms[0][1]}")
        return [(count, out, group, group)]

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        maps = bottoms[0]
        rois = self.check_images(bottoms[1], len(maps))
        group, out = int(self.param.group_size), int(self.param.output_dim)
        count, _, height, width = maps.shape
        whole = np.zeros((count, out, group, group, height + 1, width + 1))
        sums = maps.reshape(count, out, group, group, height, width).astype(np.float64)
        whole[..., 1:, 1:] = sums.cumsum(-2).cumsum(-1)
        (top, bottom), (left, right) = (self.cells(rois, axis, size) for axis, size in ((1, height), (0, width)))
        image = rois[:, 0].astype(np.int64)[:, None, None, None]
        channel, i, j = np.ogrid[:out, :group, :group]
        cut = {
            (row, column): whole[image, channel, i, j, rows[:, None, :, None], columns[:, None, None, :]]
            for row, rows in (("top", top), ("bottom", bottom))
            for column, columns in (("left", left), ("right", right))
        }
        total = cut["bottom", "right"] - cut["top", "right"] - cut["bottom", "left"] + cut["top", "left"]
        pixels = ((bottom - top)[:, None, :, None] * (right - left)[:, None, None, :]).astype(np.float64)
        means = np.divide(total, pixels, out=np.zeros_like(total), where=np.broadcast_to(pixels > 0, total.shape))
        return [means.astype(np.float32)]

    def cells(self, rois: np.ndarray, axis: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return start and end of every region's cells along an axis (0: x, 1: y), each [R, group_size]."""
        scale, group = np.float32(self.param.spatial_scale), int(self.param.group_size)
        low, high = (np.array([round_half_up(float(v)) for v in rois[:, 1 + axis + end]], np.float32) for end in (0, 2))
        start, stop = low * scale, (high + np.float32(1)) * scale
        cell = np.maximum(stop - start, np.float32(SMALLEST_REGION)) / np.float32(group)
        places = np.arange(group, dtype=np.float32)
        first = np.floor(places * cell[:, None] + start[:, None])
        last = np.ceil((places + 1) * cell[:, None] + start[:, None])
        begin, end = (np.clip(x, 0, size).astype(np.int64) for x in (first, last))
        return begin, np.maximum(begin, end)

    def onnx(self, scope: LayerScope) -> list[str]:
        raise scope.refuse("ONNX has no position-sensitive pooling; engines run it outside the model")


@register("PSROIAlign")
class PSROIAlign(PSROIPooling):
    """PSROIPooling by samples: a cell is the mean of four bilinear ones, at a quarter and three quarters of its sides.

    Corners are not rounded; a sample outside of the map counts 0, and so does a cell without area
    (``psroi_align_layer.cu`` of fallingdust/caffe-fast-rcnn). The fork whose ``psroi_align_param`` has a
    ``sampling_ratio`` is another layer.
    """

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        maps = bottoms[0]
        rois = self.check_images(bottoms[1], len(maps))
        group, out = int(self.param.group_size), int(self.param.output_dim)
        count, _, height, width = maps.shape
        parts = maps.reshape(count, out, group, group, height, width).astype(np.float64)
        top = np.zeros((len(rois), out, group, group), np.float32)
        scale = np.float32(self.param.spatial_scale)
        for r, roi in enumerate(rois.astype(np.float32)):
            x1, y1, x2, y2 = roi[1:] * scale
            if x2 > x1 and y2 > y1:
                rows, columns = self.weights(y1, y2, height), self.weights(x1, x2, width)
                top[r] = np.einsum("ih,cijhw,jw->cij", rows, parts[int(roi[0])], columns, optimize=True)
        return [top]

    def weights(self, low: np.float32, high: np.float32, size: int) -> np.ndarray:
        """Return how much each pixel of an axis counts in each cell, [group_size, size]."""
        group = int(self.param.group_size)
        cell = (high - low) / np.float32(group)
        found = np.zeros((group, size))
        for i in range(group):
            for quarter in (0.25, 0.75):
                place = float(np.float32(i) * cell + low + np.float32(quarter) * cell)
                if 0 <= place <= size - 1:
                    left = int(place)
                    found[i, left] += (1 - (place - left)) / 2
                    if left + 1 < size:
                        found[i, left + 1] += (place - left) / 2
        return found
