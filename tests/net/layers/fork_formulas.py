"""Formulas of fork layers that take more than a line, place by place in numpy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

Arrays = Sequence[np.ndarray]
Formula = Callable[[Arrays, Arrays], Arrays]


def center_loss(bottoms: Arrays, blobs: Arrays) -> Arrays:
    x, labels = bottoms
    return [np.array(sum(((row - blobs[0][int(k)]) ** 2).sum() for row, k in zip(x, labels, strict=True)) / 2 / len(x))]


def correlation(pad: int, kernel: int, reach: int, stride: int, step: int, subtract: bool = False) -> Formula:
    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        a, b = (np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)]) for x in bottoms)
        border = reach + kernel // 2
        high, wide = (math.ceil((d - 2 * border) / stride) for d in a.shape[2:])
        shifts = [s * step for s in range(-(reach // step), reach // step + 1)]
        y = np.zeros((a.shape[0], len(shifts) ** 2, high, wide))
        for channel, (down, right) in enumerate((d, r) for d in shifts for r in shifts):
            for i, j in np.ndindex(high, wide):
                top, left = i * stride + reach, j * stride + reach
                p = a[:, :, top : top + kernel, left : left + kernel]
                q = b[:, :, top + down : top + down + kernel, left + right : left + right + kernel]
                y[:, channel, i, j] = (abs(p - q) if subtract else p * q).mean((1, 2, 3))
        return [y]

    return formula


def pixel(image: np.ndarray, row: int, column: int) -> np.ndarray:
    """Return a pixel [C], 0 outside."""
    inside = 0 <= row < image.shape[1] and 0 <= column < image.shape[2]
    return image[:, row, column] if inside else np.zeros(len(image))


def between(image: np.ndarray, row: float, column: float) -> np.ndarray:
    """Return the bilinear value at a place, with 0 outside of the image."""
    i, j = math.floor(row), math.floor(column)
    return sum((1 - abs(row - r)) * (1 - abs(column - c)) * pixel(image, r, c) for r in (i, i + 1) for c in (j, j + 1))


def flow_warp(bottoms: Arrays, blobs: Arrays) -> Arrays:
    x, flow = bottoms
    y = np.zeros_like(x)
    height, width = x.shape[2:]
    for n, i, j in np.ndindex(len(x), height, width):
        column, row = j + flow[n, 0, i, j], i + flow[n, 1, i, j]
        if 0 <= row < height and 0 <= column < width:
            y[n, :, i, j] = between(x[n], min(row, height - 1), min(column, width - 1))
    return [y]


def transformed(height: int, width: int, fixed: Mapping[int, float] | None = None) -> Formula:
    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        x, given = bottoms
        y = np.zeros((*x.shape[:2], height, width))
        for n in range(len(x)):
            rest = iter(given[n])
            theta = np.array([(fixed or {}).get(i) if i in (fixed or {}) else next(rest) for i in range(6)])
            for i, j in np.ndindex(height, width):
                row, column = theta.reshape(2, 3) @ [2 * i / height - 1, 2 * j / width - 1, 1]
                y[n, :, i, j] = between(x[n], (row + 1) * x.shape[2] / 2, (column + 1) * x.shape[3] / 2)
        return [y]

    return formula


def same_convolution(x: np.ndarray, weight: np.ndarray, dilation: int) -> np.ndarray:
    """Return the convolution that keeps the size of its map."""
    pad = dilation * (weight.shape[2] - 1) // 2
    x = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
    height, width = (d - 2 * pad for d in x.shape[2:])
    return sum(
        np.einsum("nchw,oc->nohw", x[:, :, r * dilation :, c * dilation :][:, :, :height, :width], weight[:, :, r, c])
        for r, c in np.ndindex(*weight.shape[2:])
    )


def conv_lstm(bottoms: Arrays, blobs: Arrays) -> Arrays:
    x, cont, *states = bottoms
    dilation = 2 if states else 1
    peepholes = [b.reshape(-1, 1, 1) if b.ndim == 1 else b for b in blobs[12:]]
    h, c = (s[0] for s in states) if states else [np.zeros((x.shape[1], 2, *x.shape[3:]))] * 2
    out = []
    for step, mark in zip(x, cont, strict=True):
        mark = mark.reshape(-1, 1, 1, 1)
        sums = [
            same_convolution(step, blobs[k], dilation)
            + same_convolution(h * mark, blobs[4 + 2 * k], dilation)
            + blobs[5 + 2 * k].reshape(-1, 1, 1)
            for k in range(4)
        ]
        i, f, o = (1 / (1 + np.exp(-(s + p * c))) for s, p in zip(sums, peepholes, strict=False))
        c = f * (c * mark) + i * np.tanh(sums[3])
        h = o * np.tanh(c)
        out.append(h)
    return [np.stack(out), h[None], c[None]][: 3 if states else 1]
