"""Layers of FlowNet 2 and DispNet: configurations and formulas value by value."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tests.net.layers.cases import _many, _one
from tests.net.layers.fork_cases import ForkCase

OWN_TESTS = {"FLOWriter", "ImgWriter", "FloatWriter", "PFMWriter"}

Arrays = Sequence[np.ndarray]


def along_rows(pad: int, kernel: int, reach: int, stride: int, step: int, direction: int = 0, subtract: bool = False):
    """Return the correlation of patches at displacements along rows, as ``CorrelateData`` of DispNet counts them."""

    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        a, b = (np.pad(x, [(0, 0), (0, 0), (0, 0), (pad, pad)]) for x in bottoms)
        radius, width = reach // step, 2 * (reach // step) + 1
        first = -radius
        if direction:
            width = radius + 1
            first = -width if direction < 0 else 0
        border = reach + kernel // 2
        wide = math.ceil((a.shape[3] - 2 * border) / stride)
        high = math.ceil((a.shape[2] - 2 * (kernel // 2)) / stride)
        y = np.zeros((len(a), width, high, wide))
        for channel, i, j in np.ndindex(width, high, wide):
            top, left, right = i * stride, j * stride + reach, j * stride + reach + (channel + first) * step
            p = a[:, :, top : top + kernel, left : left + kernel]
            q = b[:, :, top : top + kernel, right : right + kernel]
            y[:, channel, i, j] = (abs(p - q) if subtract else p * q).mean((1, 2, 3))
        return [y]

    return formula


def accumulated(height: int, width: int, count: int):
    """Return ``count`` bottoms interpolated to a size, corner to corner, one after another."""

    def resized(x: np.ndarray) -> np.ndarray:
        y = np.zeros((*x.shape[:2], height, width))
        for i, j in np.ndindex(height, width):
            row, column = i * (x.shape[2] - 1) / (height - 1), j * (x.shape[3] - 1) / (width - 1)
            for r, c in np.ndindex(x.shape[2:]):
                y[:, :, i, j] += max(0, 1 - abs(row - r)) * max(0, 1 - abs(column - c)) * x[:, :, r, c]
        return y

    return lambda bottoms, blobs: [np.concatenate([resized(x) for x in bottoms[:count]], 1)]


def lpq(p: float, q: float, p_epsilon: float, q_epsilon: float, mean: bool, entries: bool):
    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        x = bottoms[0] - (bottoms[1] if len(bottoms) > 1 else 0)
        total = 0.0
        for n, i, j in np.ndindex(len(x), *x.shape[2:]):
            inner = sum((abs(v) + p_epsilon) ** p for v in x[n, :, i, j])
            total += (inner / (x.shape[1] if mean else 1) + q_epsilon) ** q
        return [np.array(total / (x.size / x.shape[1] if entries else len(x)))]

    return formula


def middle(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the middle of an image between pixels, never beyond 1.05 pixels before its end."""
    y = np.zeros((*x.shape[:2], height, width))
    for i, j in np.ndindex(height, width):
        row = min(i + (x.shape[2] - height) / 2, x.shape[2] - 1.05)
        column = min(j + (x.shape[3] - width) / 2, x.shape[3] - 1.05)
        r, c = math.floor(row), math.floor(column)
        for s, t in np.ndindex(2, 2):
            y[:, :, i, j] += (1 - abs(row - r - s)) * (1 - abs(column - c - t)) * x[:, :, r + s, c + t]
    return y


def counted(limit: int, per_pixel: bool):
    """Return the bottom less its running mean."""

    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        x, batch = bottoms[0], int(blobs[0].ravel()[0]) + 1
        mean = blobs[1]
        if batch <= limit:
            mean = ((batch - 1) * mean + x.mean(0, keepdims=True)) / batch
            return [x - (mean if per_pixel else mean.mean((2, 3), keepdims=True))]
        return [x - (mean if per_pixel else blobs[2])]

    return formula


def _means(shift: Sequence[float], factor: float):
    return lambda x, b: [
        v * factor + np.array([shift[c % len(shift)] for c in range(v.shape[1])]).reshape(-1, 1, 1) for v in x
    ]


def warped(bottoms: Arrays, blobs: Arrays) -> Arrays:
    """Return an image moved by u and v in two bottoms, 0 where not four pixels surround a place, or in one."""
    x, *flow = bottoms
    both = np.concatenate(flow, 1)
    high, wide = x.shape[2:]
    y = np.zeros_like(x)
    for n, i, j in np.ndindex(len(x), high, wide):
        column, row = j + both[n, 0, i, j], i + both[n, 1, i, j]
        left, top = math.floor(column), math.floor(row)
        if len(flow) == 2 and not (0 <= left < wide - 1 and 0 <= top < high - 1):
            continue
        for r, c in ((top + s, left + t) for s, t in np.ndindex(2, 2)):
            share = (1 - abs(row - r)) * (1 - abs(column - c))
            y[n, :, i, j] += share * x[n, :, min(max(r, 0), high - 1), min(max(c, 0), wide - 1)]
    return [y]


FLOW_CASES: dict[str, ForkCase] = {
    **{
        f"correlation_1d_{direction}": ForkCase(
            _many(
                "Correlation1D",
                "correlation_param { pad: 4 kernel_size: 1 max_displacement: 4 stride_1: 1 stride_2: 2 "
                f"single_direction: {direction} }}",
                *[(2, 3, 4, 9)] * 2,
            ),
            along_rows(4, 1, 4, 1, 2, direction),
        )
        for direction in (0, 1)
    },
    "correlation_1d_of_patches": ForkCase(
        _many(
            "Correlation1D",
            "correlation_param { pad: 2 kernel_size: 3 max_displacement: 2 stride_1: 2 stride_2: 1 "
            "correlation_type: SUBTRACT }",
            *[(2, 3, 6, 9)] * 2,
        ),
        along_rows(2, 3, 2, 2, 1, subtract=True),
    ),
    "warping_apart": ForkCase(
        _many("Warping", "", (2, 3, 5, 6), (2, 1, 5, 6), (2, 1, 5, 6), low=-2), warped, smooth=False
    ),
    "warping": ForkCase(_many("Warping", "", (2, 3, 5, 6), (2, 2, 5, 6), low=-2), warped),
    "mean_subtracted": ForkCase(
        _one("Mean", 'mean_param { operation: "SUBTRACT" value: 3 value: 0.5 input_scale: 2 output_scale: 0.5 }'),
        _means((-1.5, -0.25), 1.0),
    ),
    "mean_added": ForkCase(
        _many(
            "Mean",
            'mean_param { operation: "ADD" value: 1 value: 2 value: 3 input_scale: 0.25 mean_scale: 0.1 }',
            (2, 3, 4, 5),
            (1, 6, 2, 2),
            top="y z",
        ),
        _means((0.1, 0.2, 0.3), 0.25),
    ),
    "accum": ForkCase(_many("Accum", "", (2, 3, 4, 5), (2, 1, 6, 3)), accumulated(6, 5, 2)),
    "accum_divisible": ForkCase(
        _many("Accum", "accum_param { size_divisible_by: 4 }", (2, 3, 5, 3), (2, 1, 6, 3)), accumulated(8, 4, 2)
    ),
    "accum_of_a_size_too_small": ForkCase(
        _many("Accum", "accum_param { top_height: 6 top_width: 9 }", (2, 3, 6, 3)), accumulated(6, 3, 1)
    ),
    "accum_reference": ForkCase(
        _many("Accum", "accum_param { have_reference: true }", (2, 3, 5, 4), (2, 1, 6, 3), (1, 1, 3, 7)),
        accumulated(3, 7, 2),
    ),
    "neg_relu": ForkCase(_one("NegReLU"), lambda x, b: [np.minimum(x[0], 0)]),
    "neg_relu_leaky": ForkCase(
        _one("NegReLU", "relu_param { negative_slope: 0.25 }"), lambda x, b: [np.where(x[0] > 0, 0.25 * x[0], x[0])]
    ),
    "lpq_loss": ForkCase(
        _one("LpqLoss", "lpq_loss_param { p: 1.5 q: 0.5 p_epsilon: 0.01 }", (2, 3, 4, 5)),
        lpq(1.5, 0.5, 0.01, 1e-2, False, False),
    ),
    "lpq_loss_of_two": ForkCase(
        _many(
            "LpqLoss",
            "lpq_loss_param { p: 2 q: 0.4 p: 1 q: 1 pq_episode_starts_at_iter: 0 pq_episode_starts_at_iter: 9 "
            "q_epsilon: 0.1 l2_prescale_by_channels: true normalize_by_num_entries: true }",
            *[(2, 3, 4, 5)] * 2,
        ),
        lpq(2, 0.4, 0, 0.1, True, True),
    ),
    "data_augmentation": ForkCase(
        _one("DataAugmentation", "augmentation_param { crop_width: 4 crop_height: 7 zoom { prob: 1 } }", (2, 3, 7, 7)),
        lambda x, b: [middle(x[0], 7, 4)],
        smooth=False,
    ),
    "data_augmentation_mean": ForkCase(
        _one("DataAugmentation", "augmentation_param { mean: 1 mean: 2 mean: 3 mean_per_pixel: false }", (2, 3, 4, 5)),
        lambda x, b: [x[0] - np.array([1, 2, 3]).reshape(3, 1, 1)],
        smooth=False,
    ),
    **{
        f"data_augmentation_recomputed_{limit}_{per_pixel}": ForkCase(
            _one(
                "DataAugmentation",
                f"augmentation_param {{ recompute_mean: {limit} mean_per_pixel: {str(per_pixel).lower()} }}",
                (2, 3, 4, 5),
            ),
            counted(limit, per_pixel),
            smooth=False,
        )
        for limit, per_pixel in ((1, True), (5, False))
    },
}
