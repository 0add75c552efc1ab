"""Layers of forks that no judge at hand runs: configurations, and the same function written a second time in numpy.

A formula takes the bottoms and the learned blobs, float64, in order, and returns the tops.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tests.net.layers.cases import IMAGE, Case, _many, _one

Arrays = Sequence[np.ndarray]


@dataclass(frozen=True)
class ForkCase:
    """A configuration and its formula; ``smooth`` where gradients are checked by finite differences."""

    case: Case
    formula: Callable[[Arrays, Arrays], Arrays]
    smooth: bool = True


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _values(function: Callable[[np.ndarray], np.ndarray]) -> Callable[[Arrays, Arrays], Arrays]:
    return lambda bottoms, blobs: [function(bottoms[0])]


def _elementwise(kind: str, param: str, function: Callable[[np.ndarray], np.ndarray], smooth: bool = True) -> ForkCase:
    return ForkCase(_one(kind, param, low=-9, high=9), _values(function), smooth)


def elu(x: np.ndarray, alpha: float) -> np.ndarray:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def lstm(bottoms: Arrays, blobs: Arrays, samples: int | None = None) -> Arrays:
    x, (weight, recurrent, bias) = bottoms[0], blobs
    steps = x.shape[0] if samples is None else x.shape[0] // samples
    flat = x.reshape(steps, x.shape[1] if samples is None else samples, -1)
    marks = bottoms[1].reshape(steps, -1) != 0 if len(bottoms) == 2 else np.ones(flat.shape[:2])
    h = c = np.zeros((flat.shape[1], recurrent.shape[1]))
    out = []
    for step, mark in zip(flat, marks, strict=True):
        h, c = h * mark[:, None], c * mark[:, None]
        i, f, o, g = np.split(step @ weight.T + h @ recurrent.T + bias, 4, 1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        out.append(h)
    y = np.stack(out)
    return [y if samples is None else y.reshape(-1, y.shape[2])]


def batch_norm(x: np.ndarray, slope: np.ndarray, bias: np.ndarray, mean: np.ndarray, variance: np.ndarray, eps: float):
    return (x - mean) / np.sqrt(variance + eps) * slope + bias


def own_batch_norm(bottoms: Arrays, blobs: Arrays) -> Arrays:
    x = bottoms[0]
    over = (0, 2, 3)
    return [batch_norm(x, *blobs, x.mean(over, keepdims=True), x.var(over, keepdims=True), 1e-9)]


def scattered(height: int, width: int) -> Callable[[Arrays, Arrays], Arrays]:
    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        x, places = bottoms
        y = np.zeros((*x.shape[:2], height * width))
        for n, c, h, w in np.ndindex(x.shape):
            y[n, c, int(places[n, c, h, w])] = x[n, c, h, w]
        return [y.reshape(*x.shape[:2], height, width)]

    return formula


def repeated(down: int, right: int, factor: float = 1.0) -> Callable[[Arrays, Arrays], Arrays]:
    return _values(lambda x: x.repeat(down, 2).repeat(right, 3) * factor)


def interpolated(bottom: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a map resized so that its corners stay where they are."""
    y = bottom
    for axis, size in ((2, height), (3, width)):
        place = np.linspace(0, y.shape[axis] - 1, size)
        low = np.minimum(np.floor(place).astype(int), y.shape[axis] - 1)
        high = np.minimum(low + 1, y.shape[axis] - 1)
        part = (place - low).reshape([-1 if i == axis else 1 for i in range(4)])
        y = y.take(low, axis) * (1 - part) + y.take(high, axis) * part
    return y


def greedy(bottoms: Arrays, blobs: Arrays) -> Arrays:
    x = bottoms[0]
    steps, samples, classes = x.shape
    found, scores = np.full((samples, steps, 1, 1), -1.0), np.ones((samples, 1, 1, 1))
    for n in range(samples):
        last, count = -1, 0
        for t in range(steps):
            if t and len(bottoms) == 2 and bottoms[1][t, n] == 0:
                break
            best = int(x[t, n].argmax())
            scores[n] *= x[t, n, best]
            if best not in (last, classes - 1):
                found[n, count], count = best, count + 1
            last = best
    return [found, scores]


INSANE = (math.log(8) - math.log(3)) / 5
PLACES = {"classes": 30}

FORK_CASES: dict[str, ForkCase] = {
    "relu6": _elementwise("ReLU6", "", lambda x: np.clip(x, 0, 6)),
    "relu6_leaky": _elementwise(
        "ReLU6", "relu6_param { threshold: 4 negative_slope: 0.5 }", lambda x: np.minimum(np.where(x > 0, x, x / 2), 4)
    ),
    "brelu": _elementwise("BReLU", "brelu_param { minval: -1 maxval: 2 }", lambda x: np.clip(x, -1, 2)),
    "truncation": _elementwise(
        "Truncation", "truncation_param { truncation_min: 1 truncation_max: 4 }", lambda x: np.clip(x, 1, 4)
    ),
    "selu": _elementwise("SELU", "", lambda x: 1.0507009873554805 * elu(x, 1.6732632423543772)),
    "selu_of_one_fork": _elementwise("SeLu", "", lambda x: 1.0507009873554805 * elu(x, 1.6732632423543772)),
    "mish": _elementwise("Mish", "", lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    "hard_sigmoid": _elementwise("HardSigmoid", "", lambda x: np.clip(0.2 * x + 0.5, 0, 1)),
    "hard_swish": _elementwise("HardSwish", "", lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    "crelu": _elementwise("CReLU", "", lambda x: np.maximum(np.concatenate([x, -x], 1), 0)),
    "insanity": _elementwise("Insanity", "", lambda x: np.where(x > 0, x, x * INSANE)),
    "selu_dropout": _elementwise("SeLuDropout", "", lambda x: x),
    "noise": _elementwise("Noise", "noise_param { gaussian_std: 3 }", lambda x: x),
    "output_decay": _elementwise("OutputDecay", "", lambda x: x),
    "data_rand_transform": _elementwise("DataRandTransform", "", lambda x: x),
    "gradient_scaler": _elementwise("GradientScaler", "", lambda x: x),
    "mixup": ForkCase(_many("Mixup", "", IMAGE, (3,), top="y z"), lambda bottoms, blobs: bottoms),
    "bn": ForkCase(_one("BN", "bn_param { frozen: true eps: 0.01 }"), lambda x, b: [batch_norm(x[0], *b, 0.01)]),
    "bn_inference": ForkCase(_one("BN", "bn_param { bn_mode: INFERENCE }"), lambda x, b: [x[0] * b[0] + b[1]]),
    "bn_learn": ForkCase(_one("BN", "bn_param { scale_filler { value: 1 } }"), own_batch_norm),
    "upsample_mask": ForkCase(
        _many("Upsample", "upsample_param { scale: 2 pad_out_h: true }", (2, 3, 3, 3), (2, 3, 3, 3), **PLACES),
        scattered(5, 6),
    ),
    "upsample_nearest": ForkCase(_one("Upsample", "upsample_param { scale: 3 }", (2, 3, 2, 3)), repeated(3, 3)),
    "upsample_scales": ForkCase(
        _one("Upsample", "upsample_param { height_scale: 2 width_scale: 3 }", (2, 3, 2, 3)), repeated(2, 3)
    ),
    "upsample_bilinear": ForkCase(
        _one("Upsample", "upsample_param { height_scale: 2.5 width_scale: 2 mode: BILINEAR }", (2, 3, 2, 3)),
        _values(lambda x: interpolated(x, 5, 6)),
    ),
    "unpooling_max": ForkCase(
        _many(
            "Unpooling",
            "unpooling_param { unpool: MAX kernel_size: 2 stride: 2 unpool_size: 6 }",
            *((2, 3, 3, 3), (2, 3, 3, 3)),
            **PLACES,
        ),
        scattered(6, 6),
    ),
    "unpooling_tile": ForkCase(
        _one("Unpooling", "unpooling_param { unpool: TILE kernel_size: 2 stride: 2 }", (2, 3, 2, 3)), repeated(2, 2)
    ),
    "unpooling_ave": ForkCase(
        _one("Unpooling", "unpooling_param { unpool: AVE kernel_size: 2 stride: 2 }", (2, 3, 2, 3)),
        repeated(2, 2, 0.25),
    ),
    "bilinear_interpolation": ForkCase(
        _many("BilinearInterpolation", "", (2, 3, 3, 4), (2, 1, 7, 5)),
        lambda x, b: [interpolated(x[0], 7, 5)],
    ),
    "transpose": ForkCase(
        _one("Transpose", "transpose_param { dim: 3 dim: 2 dim: 0 dim: 1 }"), _values(lambda x: x.transpose(3, 2, 0, 1))
    ),
    "greedy_decoder": ForkCase(
        _many("CTCGreedyDecoder", "", (7, 3, 3), (7, 3), top="y z", classes=2), greedy, smooth=False
    ),
    "greedy_decoder_of_one_length": ForkCase(_one("CTCGreedyDecoder", "", (7, 3, 4), top="y z"), greedy, smooth=False),
    "lstm_of_forks": ForkCase(_one("Lstm", "lstm_param { num_output: 3 }", (4, 2, 2, 3)), lstm),
    "lstm_of_rows": ForkCase(
        _one("Lstm", "lstm_param { num_output: 3 batch_size: 2 }", (6, 4)), lambda x, b: lstm(x, b, 2)
    ),
    "lstm_with_markers": ForkCase(_many("Lstm", "lstm_param { num_output: 3 }", (5, 2, 4), (5, 2), classes=2), lstm),
}
