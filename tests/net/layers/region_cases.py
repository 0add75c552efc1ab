"""Layers over regions and masks, and windows that move: configurations and formulas place by place."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tests.net.layers.cases import _many, _one
from tests.net.layers.fork_cases import ForkCase, _values

OWN_TESTS = {"MultiStageMeanfield", "ROIWarping", "PSROIAlign", "YoloDetectionOutput"}

Arrays = Sequence[np.ndarray]


def clamped(image: np.ndarray, row: float, column: float) -> np.ndarray:
    """Return the bilinear value of a map [C, H, W] at a place that is at most one pixel behind its last."""
    row, column = min(row, image.shape[1] - 1), min(column, image.shape[2] - 1)
    r, c = math.floor(row), math.floor(column)
    found = np.zeros(len(image))
    for a, b in np.ndindex(2, 2):
        weight = (1 - abs(row - r - a)) * (1 - abs(column - c - b))
        if weight > 0:
            found += weight * image[:, r + a, c + b]
    return found


def deformable(kernel: int, stride: int, pad: int, dilation: int, group: int = 1):
    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        x, offset = bottoms
        count, channels, height, width = x.shape
        moved = offset.reshape(count, -1, kernel, kernel, 2, *offset.shape[2:])
        part = channels // moved.shape[1]
        windows = np.zeros((count, channels, kernel, kernel, *offset.shape[2:]))
        for n, g, i, j, h, w in np.ndindex(count, moved.shape[1], kernel, kernel, *offset.shape[2:]):
            row = h * stride - pad + i * dilation + moved[n, g, i, j, 0, h, w]
            column = w * stride - pad + j * dilation + moved[n, g, i, j, 1, h, w]
            if 0 <= row < height and 0 <= column < width:
                cut = slice(g * part, (g + 1) * part)
                windows[n, cut, i, j, h, w] = clamped(x[n, cut], row, column)
        found = []
        for g in range(group):
            inputs = windows[:, g * channels // group : (g + 1) * channels // group]
            outputs = len(blobs[0]) // group
            found.append(np.einsum("ncijhw,ocij->nohw", inputs, blobs[0][g * outputs : (g + 1) * outputs]))
        y = np.concatenate(found, 1)
        return [y + blobs[1].reshape(-1, 1, 1) if len(blobs) > 1 else y]

    return formula


def mask_resized(height: int, width: int):
    def formula(x: np.ndarray) -> np.ndarray:
        y = np.zeros((*x.shape[:2], height, width))
        for n, i, j in np.ndindex(len(x), height, width):
            row, column = i * x.shape[2] / height, j * x.shape[3] / width
            if row <= x.shape[2] - 0.5 and column <= x.shape[3] - 0.5:
                y[n, :, i, j] = clamped(x[n], row, column)
        return y

    return _values(formula)


REGION_CASES: dict[str, ForkCase] = {
    "deformable_convolution": ForkCase(
        _many(
            "DeformableConvolution",
            "deformable_convolution_param { num_output: 3 kernel_size: 3 stride: 2 pad: 1 deformable_group: 1 }",
            *((2, 2, 5, 6), (2, 18, 3, 3)),
        ),
        deformable(3, 2, 1, 1),
    ),
    "deformable_convolution_of_groups": ForkCase(
        _many(
            "DeformableConvolution",
            "deformable_convolution_param { num_output: 4 kernel_size: 2 dilation: 2 group: 2 bias_term: false }",
            *((2, 4, 5, 4), (2, 16, 3, 2)),
            low=-2.0,
        ),
        deformable(2, 1, 0, 2, 2),
    ),
    "mask_resize": ForkCase(
        _one("MaskResize", "mask_resize_param { output_height: 14 output_width: 3 }", (2, 1, 4, 7)),
        mask_resized(14, 3),
    ),
    "mask_pooling": ForkCase(_many("MaskPooling", "", (2, 3, 4, 5), (2, 1, 4, 5)), lambda x, b: [x[0] * x[1]]),
}
