"""Layers of forks that look at places of maps: configurations, and their formulas written place by place."""

from __future__ import annotations

import math

import numpy as np

from tests.net.layers.cases import _many, _one
from tests.net.layers.fork_cases import Arrays, ForkCase
from tests.net.layers.fork_formulas import Formula, between


def _round(x: float) -> int:
    return int(math.copysign(math.floor(abs(x) + 0.5), x))


def _tent(d: float) -> float:
    return max(1 - abs(d), 0)


def _catmull_rom(d: float) -> float:
    d = abs(d)
    if d <= 1:
        return d * d * (1.5 * d - 2.5) + 1
    return d * (d * (2.5 - 0.5 * d) - 4) + 2 if d < 2 else 0


def resample(height: int, width: int, kind: str, antialias: bool) -> Formula:
    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        x = bottoms[0]
        high, wide = x.shape[2:]
        fx, fy = wide / width, high / height
        a = (1 / fx, 1 / fy) if antialias and max(fx, fy) > 1 else (1.0, 1.0)
        weight, reach = (_tent, 2) if kind == "LINEAR" else (_catmull_rom, 4)
        y = np.zeros((*x.shape[:2], height, width))
        for i, j in np.ndindex(height, width):
            column, row = j * fx + fy / 2 - 0.5, i * fy + fx / 2 - 0.5
            if kind == "NEAREST":
                y[:, :, i, j] = x[:, :, _round(row), _round(column)]
                continue
            rx, ry = (2 if f < 1 else math.ceil(reach / s) for f, s in zip((fx, fy), a, strict=True))
            total = weights = 0.0
            for r in range(_round(row) - ry, _round(row) + ry + 1):
                for c in range(_round(column) - rx, _round(column) + rx + 1):
                    if 0 <= r < high and 0 <= c < wide:
                        w = weight(a[0] * (column - c)) * weight(a[1] * (row - r))
                        total, weights = total + w * x[:, :, r, c], weights + w
            y[:, :, i, j] = total / weights if weights else 0
        return [y]

    return formula


def downsample(height: int, width: int) -> Formula:
    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        x = bottoms[0]
        high, wide = x.shape[2:]
        sx, sy = (wide - 1) / (width - 1), (high - 1) / (height - 1)
        y = np.zeros((*x.shape[:2], height, width))
        for i, j in np.ndindex(height, width):
            column, row = j / (width - 1) * (wide - 1), i / (height - 1) * (high - 1)
            weights = np.array([_tent((r - row) / sy) for r in range(high)])[:, None] * np.array(
                [_tent((c - column) / sx) for c in range(wide)]
            )
            y[:, :, i, j] = (x * weights).sum((2, 3)) / weights.sum()
        return [y]

    return formula


def warp(bottoms: Arrays, blobs: Arrays) -> Arrays:
    x, flow = bottoms
    y = np.zeros_like(x)
    for n, i, j in np.ndindex(len(x), *x.shape[2:]):
        column, row = j + flow[n, 0, i, j], i + flow[n, 1, i, j]
        if 0 <= row <= x.shape[2] - 1 and 0 <= column <= x.shape[3] - 1:
            y[n, :, i, j] = between(x[n], row, column)
    return [y]


def placed(height: int, width: int, matrix: object) -> Formula:
    """Places from corner to corner, by a matrix of each sample's values."""

    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        x, theta = bottoms
        y = np.zeros((*x.shape[:2], height, width))
        for n, i, j in np.ndindex(len(x), height, width):
            lines = np.array(matrix(theta[n].ravel())).reshape(3, 3)  # type: ignore[operator]
            column, row, depth = lines @ [2 * j / (width - 1) - 1, 2 * i / (height - 1) - 1, 1]
            place = ((row / depth + 1) * (x.shape[2] - 1) / 2, (column / depth + 1) * (x.shape[3] - 1) / 2)
            row, column = (min(max(p, 0), d - 1) for p, d in zip(place, x.shape[2:], strict=True))
            y[n, :, i, j] = between(x[n], row, column)
        return [y]

    return formula


def hypercolumns(bottoms: Arrays, blobs: Arrays) -> Arrays:
    normals, *maps = bottoms
    rows = []
    for n, i, j in np.ndindex(len(normals), *normals.shape[2:]):
        line = []
        for x in maps:
            step = normals.shape[2] // x.shape[2]
            place = [min(max((k + 0.5) / step - 0.5, 0), size - 1) for k, size in zip((i, j), x.shape[2:], strict=True)]
            line.append(between(x[n], *place))
        rows.append(np.concatenate(line))
    return [np.array(rows), normals.transpose(0, 2, 3, 1).reshape(-1, 3) / 128 - 1]


def _resample(height: int, width: int, kind: str, antialias: bool = True) -> ForkCase:
    param = f"height: {height} width: {width} type: {kind} antialias: {str(antialias).lower()}"
    case = _one("Resample", f"resample_param {{ {param} }}", (2, 2, 6, 9))
    return ForkCase(case, resample(height, width, kind, antialias))


SAMPLING_CASES: dict[str, ForkCase] = {
    "resample_smaller": _resample(2, 3, "LINEAR"),
    "resample_smaller_in_one_axis": _resample(4, 12, "LINEAR"),
    "resample_smaller_sharp": _resample(4, 6, "LINEAR", False),
    "resample_larger": _resample(9, 11, "LINEAR"),
    "resample_cubic": _resample(9, 14, "CUBIC"),
    "resample_cubic_smaller": _resample(4, 5, "CUBIC"),
    "resample_nearest_smaller": _resample(3, 5, "NEAREST"),
    "downsample": ForkCase(
        _one("Downsample", "downsample_param { top_height: 3 top_width: 4 }", (2, 2, 7, 9)), downsample(3, 4), False
    ),
    "downsample_like": ForkCase(_many("Downsample", "", (2, 2, 5, 6), (1, 3, 2, 5)), downsample(2, 5), False),
    "channel_norm": ForkCase(
        _one("ChannelNorm", "", (2, 3, 4, 5)), lambda x, b: [np.sqrt((x[0] ** 2).sum(1, keepdims=True))]
    ),
    "warp": ForkCase(_many("Warp", "", (2, 3, 4, 5), (2, 2, 4, 5)), warp),
    "warp_truncate": ForkCase(_many("Warp", "warp_param { outliers: TRUNCATE }", (1, 2, 3, 4), (1, 2, 3, 4)), warp),
    "projective_places": ForkCase(
        _many(
            "SpatialTransformer",
            'st_param { transform_type: "projective" output_H: 4 output_W: 5 }',
            *((2, 3, 6, 5), (2, 8)),
            low=-0.45,
        ),
        placed(4, 5, lambda t: [*t, 1]),
        smooth=False,
    ),
    "scaled_and_shifted_places": ForkCase(
        _many("SpatialTransformer", 'st_param { transform_type: "translation_scaling" }', (2, 3, 4, 5), (2, 4, 1, 1)),
        placed(4, 5, lambda t: [t[0], 0, t[1], 0, t[2], t[3], 0, 0, 1]),
    ),
    "shifted_places": ForkCase(
        _many(
            "SpatialTransformer",
            'st_param { transform_type: "translation" theta_1_1: 0.5 theta_2_2: 0.75 output_W: 3 }',
            *((2, 3, 4, 5), (2, 2)),
        ),
        placed(4, 3, lambda t: [0.5, 0, t[0], 0, 0.75, t[1], 0, 0, 1]),
    ),
    "hypercolumns": ForkCase(
        _many(
            "HyperColumns",
            "hypercolumns_param { is_train: false }",
            (2, 3, 8, 4),
            (2, 2, 4, 2),
            (2, 3, 8, 4),
            (2, 1, 2, 1),
            top="y z",
        ),
        hypercolumns,
    ),
    "batch_reduction": ForkCase(
        _one("BatchReduction", "batch_reduction_param { reduction_param { axis: 1 operation: MEAN } }", (2, 5, 3)),
        lambda x, b: [x[0].mean(1)],
    ),
    "batch_reduction_levels": ForkCase(
        _one("BatchReduction", "batch_reduction_param { level: 1 level: 2 reduction_param { axis: 1 } }", (2, 5, 3)),
        lambda x, b: [np.stack([x[0][:, 0], x[0][:, 1:].sum(1)], 1)],
    ),
}
