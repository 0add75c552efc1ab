"""ROIPooling (Fast R-CNN) and ROIAlign (Mask R-CNN): a fixed grid of values from every region of a feature map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.net.host_layer import HostLayer
from caffezoo.net.layer import Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

FLOAT, INT64 = 1, 7


class RegionLayer(HostLayer):
    """A layer over a feature map [N, C, H, W] and regions [R, 5] of image, x1, y1, x2, y2 in pixels of the image."""

    bottom_count = (2, 2)
    on_host = False  # ONNX has the operator; the host form is torch's on any device and what tests read

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def regions(self, bottoms: Sequence[Shape]) -> int:
        """Return R, after checking both bottoms."""
        if len(bottoms[0]) != 4:
            self.fail(f"takes a feature map with 4 axes, has {bottoms[0]}")
        if not bottoms[1] or math.prod(bottoms[1][1:]) != 5:
            self.fail(f"takes regions of 5 values (image, x1, y1, x2, y2), has {bottoms[1]}")
        return bottoms[1][0]

    def check_images(self, rois: np.ndarray, count: int) -> np.ndarray:
        """Return the regions as [R, 5], all finite and of images that there are.

        Raises
        ------
        EngineError
        """
        self.check_finite([np.empty(0), rois])
        rois = rois.reshape(len(rois), 5)
        if len(rois) and not (rois[:, 0].min() >= 0 and rois[:, 0].max() < count):
            self.fail_values(f"a region names an image that is not among the {count} of the feature map")
        return rois


class PooledRegions(RegionLayer):
    """A grid of ``pooled_h`` x ``pooled_w``; regions are scaled by ``spatial_scale`` to the feature map."""

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if self.param.pooled_h < 1 or self.param.pooled_w < 1:
            self.fail("pooled_h and pooled_w must be positive")
        return [(self.regions(bottoms), bottoms[0][1], int(self.param.pooled_h), int(self.param.pooled_w))]


@register("ROIPooling")
class ROIPooling(PooledRegions):
    """The largest value of every cell of a grid laid over each region; 0 where a cell lies outside the map.

    Corners are rounded to whole pixels of the map, and cells overlap where they do not divide it. With ``pad_ratio`` a
    region first grows by that share of its size on every side and is cut at the map (MS-CNN). Source:
    ``roi_pooling_layer.cpp`` of Fast R-CNN.
    """

    param_name = "roi_pooling_param"
    differentiable = True

    def onnx(self, scope: LayerScope) -> list[str]:
        rois = scope.reshape(scope.bottoms[1], [-1, 5])
        if self.param.pad_ratio:
            rois = self._grown(scope, rois)
        scale = float(self.param.spatial_scale)
        pooled = [int(self.param.pooled_h), int(self.param.pooled_w)]
        return [scope.op("MaxRoiPool", scope.bottoms[0], rois, pooled_shape=pooled, spatial_scale=scale)]

    def _grown(self, scope: LayerScope, rois: str) -> str:
        """Append regions that are grown and cut, as whole pixels of the map times what it is smaller."""
        image, low, high = scope.ops("Split", rois, scope.ints([1, 2, 2]), outputs=3, axis=1)
        one = scope.const(1.0)
        grow = scope.op("Mul", scope.op("Add", scope.op("Sub", high, low), one), scope.const(self.param.pad_ratio))
        scale = scope.const(self.param.spatial_scale)
        low, high = (
            scope.op("Mul", scope.op(kind, corner, grow), scale) for kind, corner in (("Sub", low), ("Add", high))
        )
        half = scope.const(0.5)
        low, high = (scope.op("Floor", scope.op("Add", corner, half)) for corner in (low, high))
        low = scope.op("Max", low, scope.const(0.0))
        high = scope.op("Min", high, scope.const(self._last(scope.bottom_shapes[0])))
        low, high = (scope.op("Div", corner, scale) for corner in (low, high))
        return scope.op("Concat", image, low, high, axis=1)

    def _last(self, bottom: Shape) -> list[float]:
        """Return the last x and y that MS-CNN allows: of the image's pixels, not the map's."""
        return [float(round_half_up(size / self.param.spatial_scale)) - 1 for size in (bottom[3], bottom[2])]

    def cells(self, roi: np.ndarray, bottom: Shape) -> tuple[int, int, int, int]:
        """Return the first and last column and row of a region on the map, as x1, y1, x2, y2."""
        scale, corners = np.float32(self.param.spatial_scale), roi[1:].astype(np.float32)
        if self.param.pad_ratio:
            grow = (corners[2:] - corners[:2] + 1) * np.float32(self.param.pad_ratio)
            corners = np.concatenate([corners[:2] - grow, corners[2:] + grow])
        x1, y1, x2, y2 = (round_half_up(float(v)) for v in corners * scale)
        if self.param.pad_ratio:
            right, low = self._last(bottom)
            x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(int(right), x2), min(int(low), y2)
        return x1, y1, x2, y2

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        maps = bottoms[0]
        rois = self.check_images(bottoms[1], len(maps))
        pooled = (int(self.param.pooled_h), int(self.param.pooled_w))
        top = np.zeros((len(rois), maps.shape[1], *pooled), np.float32)
        for r, roi in enumerate(rois):
            x1, y1, x2, y2 = self.cells(roi, maps.shape)
            columns, rows = (
                grid_cells(low, high, count, size)
                for low, high, count, size in ((x1, x2, pooled[1], maps.shape[3]), (y1, y2, pooled[0], maps.shape[2]))
            )
            own = maps[int(roi[0])]
            for i, (top_row, end_row) in enumerate(rows):
                for j, (left, end) in enumerate(columns):
                    if end_row > top_row and end > left:
                        top[r, :, i, j] = own[:, top_row:end_row, left:end].max((1, 2))
        return [top]

    def torch(self, scope: TorchScope) -> Compute:
        torch, shape = scope.torch, scope.bottom_shapes[0]
        pooled = (int(self.param.pooled_h), int(self.param.pooled_w))

        def compute(own: Any, maps: Any, rois: Any) -> list[Any]:
            found = []
            for roi in self.check_images(rois.detach().float().cpu().numpy(), len(maps)):
                x1, y1, x2, y2 = self.cells(roi, shape)
                columns = grid_cells(x1, x2, pooled[1], shape[3])
                image, zero = maps[int(roi[0])], maps.new_zeros(shape[1])
                for top_row, end_row in grid_cells(y1, y2, pooled[0], shape[2]):
                    for left, end in columns:
                        filled = end_row > top_row and end > left
                        found.append(image[:, top_row:end_row, left:end].amax((1, 2)) if filled else zero)
            tops = torch.stack(found) if found else maps.new_zeros((0, shape[1]))
            return [tops.reshape(-1, *pooled, shape[1]).permute(0, 3, 1, 2).contiguous()]

        return compute


def round_half_up(value: float) -> int:
    """Return C's ``round``: halves away from 0."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def grid_cells(first: int, last: int, count: int, size: int) -> list[tuple[int, int]]:
    """Return start and end of every cell of a region's axis, cut at the map's ``size``."""
    bin_size = np.float32(max(last - first + 1, 1)) / np.float32(count)
    cells = []
    for i in range(count):
        start = math.floor(np.float32(i) * bin_size) + first
        end = math.ceil(np.float32(i + 1) * bin_size) + first
        cells.append((min(max(start, 0), size), min(max(end, 0), size)))
    return cells


@register("ROIAlign")
class ROIAlign(PooledRegions):
    """Means of bilinear samples in every cell of a grid laid over each region, which is not rounded.

    ``sampling_ratio`` samples a cell and axis, or as many as the cell has pixels where it is 0. Source: RoIAlign of
    Caffe2, which the forks took over (K. He and others, arXiv 1703.06870); no half-pixel shift.
    """

    param_name = "roi_align_param"

    def _samples(self) -> int:
        return int(self.param.sampling_ratio or self.param.sample_ratio)

    def onnx(self, scope: LayerScope) -> list[str]:
        rois = scope.reshape(scope.bottoms[1], [-1, 5])
        image, boxes = scope.ops("Split", rois, scope.ints([1, 4]), outputs=2, axis=1)
        index = scope.op("Cast", scope.reshape(image, [-1]), to=INT64)
        attributes = {
            "mode": "avg",
            "coordinate_transformation_mode": "output_half_pixel",
            "output_height": int(self.param.pooled_h),
            "output_width": int(self.param.pooled_w),
            "sampling_ratio": self._samples(),
            "spatial_scale": float(self.param.spatial_scale),
        }
        return [scope.op("RoiAlign", scope.bottoms[0], boxes, index, **attributes)]

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        maps = bottoms[0]
        rois = self.check_images(bottoms[1], len(maps))
        pooled = (int(self.param.pooled_h), int(self.param.pooled_w))
        top = np.zeros((len(rois), maps.shape[1], *pooled), np.float32)
        for r, roi in enumerate(rois):
            x1, y1, x2, y2 = (float(v) * self.param.spatial_scale for v in roi[1:])
            rows, columns = (
                self._weights(low, max(high - low, 1.0), count, size)
                for low, high, count, size in ((y1, y2, pooled[0], maps.shape[2]), (x1, x2, pooled[1], maps.shape[3]))
            )
            top[r] = np.einsum("ih,chw,jw->cij", rows, maps[int(roi[0])].astype(np.float64), columns)
        return [top]

    def _weights(self, low: float, length: float, count: int, size: int) -> np.ndarray:
        """Return how much each pixel of an axis counts in each cell, [count, size]."""
        cell = length / count
        samples = self._samples() or max(math.ceil(cell), 1)
        weights = np.zeros((count, size))
        for i in range(count):
            for k in range(samples):
                place = low + i * cell + (k + 0.5) * cell / samples
                if not -1 <= place <= size:
                    continue
                place = min(max(place, 0), size - 1)
                left = min(int(place), size - 1)
                weights[i, left] += (1 - (place - left)) / samples
                weights[i, min(left + 1, size - 1)] += (place - left) / samples
        return weights
