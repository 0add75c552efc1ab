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


def pooled(
    x: np.ndarray, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int], mean: bool = False
) -> np.ndarray:
    """Return the pooling over all axes behind the channels, window by window."""
    sizes = x.shape[2:]
    outputs = [-(-(n + 2 * p - k) // s) + 1 for n, k, s, p in zip(sizes, kernel, stride, pad, strict=True)]
    if any(pad):
        outputs = [o - ((o - 1) * s >= n + p) for o, n, s, p in zip(outputs, sizes, stride, pad, strict=True)]
    y = np.zeros((*x.shape[:2], *outputs))
    for place in np.ndindex(*outputs):
        starts = [i * s - p for i, s, p in zip(place, stride, pad, strict=True)]
        ends = [min(a + k, n + p) for a, k, n, p in zip(starts, kernel, sizes, pad, strict=True)]
        part = x[(..., *(slice(max(a, 0), min(b, n)) for a, b, n in zip(starts, ends, sizes, strict=True)))]
        over = tuple(range(2, x.ndim))
        count = math.prod(b - a for a, b in zip(starts, ends, strict=True))
        y[(..., *place)] = part.sum(over) / count if mean else part.max(over)
    return y


def convolved(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: Sequence[int], pad: Sequence[int]):
    """Return the convolution over three axes, place by place."""
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in pad)])
    outputs = [(n - k) // s + 1 for n, k, s in zip(x.shape[2:], weight.shape[2:], stride, strict=True)]
    y = np.zeros((x.shape[0], weight.shape[0], *outputs))
    for place in np.ndindex(*outputs):
        cut = [slice(i * s, i * s + k) for i, s, k in zip(place, stride, weight.shape[2:], strict=True)]
        y[(..., *place)] = np.einsum("ncdhw,ocdhw->no", x[(..., *cut)], weight)
    return y + bias.reshape(-1, 1, 1, 1)


def standardised(x: np.ndarray, groups: int, eps: float = 1e-5) -> np.ndarray:
    y = x.reshape(x.shape[0], groups, -1)
    return ((y - y.mean(2, keepdims=True)) / np.sqrt(y.var(2, keepdims=True) + eps)).reshape(x.shape)


def tiled(x: np.ndarray, r: int) -> np.ndarray:
    n, c, h, w = x.shape
    return x.reshape(n, c // r**2, r, r, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(n, c // r**2, h * r, w * r)


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
    "pooling_nd": ForkCase(
        _one("PoolingND", "pooling_nd_param { kernel_size: 3 stride: 2 pad: 1 }", (2, 2, 5, 4, 6)),
        _values(lambda x: pooled(x, (3, 3, 3), (2, 2, 2), (1, 1, 1))),
    ),
    "pooling_nd_mean": ForkCase(
        _one("PoolingND", "pooling_nd_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }", (2, 2, 5, 4, 6)),
        _values(lambda x: pooled(x, (3, 3, 3), (2, 2, 2), (1, 1, 1), mean=True)),
    ),
    "pooling_nd_global": ForkCase(
        _one("PoolingND", "pooling_nd_param { pool: AVE global_pooling: true }", (2, 2, 3, 4, 2)),
        _values(lambda x: x.mean((2, 3, 4), keepdims=True)),
    ),
    "nd_pooling": ForkCase(
        _one("NdPooling", "pooling_nd_param { kernel_shape { dim: 2 dim: 3 } stride_shape { dim: 2 dim: 1 } }"),
        _values(lambda x: pooled(x, (2, 3), (2, 1), (0, 0))),
    ),
    "pooling_3d": ForkCase(
        _one(
            "Pooling3D",
            "pooling3d_param { kernel_size: 2 stride: 2 kernel_depth: 1 temporal_stride: 1 }",
            (2, 2, 3, 5, 4),
        ),
        _values(lambda x: pooled(x, (1, 2, 2), (1, 2, 2), (0, 0, 0))),
    ),
    "convolution_3d": ForkCase(
        _one(
            "Convolution3D",
            "convolution3d_param { num_output: 3 kernel_size: 3 kernel_depth: 2 pad: 1 stride: 2 temporal_pad: 1 }",
            (2, 2, 3, 5, 4),
        ),
        lambda x, b: [convolved(x[0], *b, (1, 2, 2), (1, 1, 1))],
    ),
    "nd_convolution": ForkCase(
        _one(
            "NdConvolution",
            "convolution_param { num_output: 3 kernel_shape { dim: 1 dim: 3 dim: 2 }"
            " stride_shape { dim: 1 dim: 2 dim: 1 } pad_shape { dim: 0 dim: 1 dim: 0 } }",
            (2, 2, 3, 5, 4),
        ),
        lambda x, b: [convolved(x[0], *b, (1, 2, 1), (0, 1, 0))],
    ),
    "division": ForkCase(
        _one(
            "Division",
            "division_param { width: 3 height: 2 xcoord: 0 xcoord: 3 ycoord: 0 ycoord: 5 }",
            top="y z",
        ),
        lambda x, b: [x[0][:, :, :2, :3], x[0][:, :, 5:7, 3:6]],
    ),
    "combination": ForkCase(
        _many(
            "Combination",
            "combination_param { xcoord: 3 xcoord: 0 xcoord: 0 xcoord: 3 ycoord: 0 ycoord: 0 ycoord: 2 ycoord: 2 }",
            *[(2, 2, 2, 3)] * 4,
        ),
        lambda x, b: [np.concatenate([np.concatenate([x[1], x[0]], 3), np.concatenate([x[2], x[3]], 3)], 2)],
    ),
    "merge_crop": ForkCase(
        _many("MergeCrop", "", (2, 2, 3, 3), (2, 3, 6, 5)),
        lambda x, b: [np.concatenate([x[0], x[1][:, :, 1:4, 1:4]], 1)],
    ),
    "merge_crop_add": ForkCase(
        _many("MergeCrop", "mergecrop_param { operation: ADD }", (2, 2, 3, 3), (2, 2, 5, 3)),
        lambda x, b: [x[0] + x[1][:, :, 1:4]],
    ),
    "duplicate": ForkCase(
        _one("Duplicate", "duplicate_param { height: 3 width: 2 }", (2, 3, 1, 1)),
        _values(lambda x: x.repeat(3, 2).repeat(2, 3)),
    ),
    "flip": ForkCase(_one("Flip", ""), _values(lambda x: x[:, :, :, ::-1])),
    "flip_both": ForkCase(_one("Flip", "flip_param { flip_height: true }"), _values(lambda x: x[:, :, ::-1, ::-1])),
    "slice_half": ForkCase(_one("SliceHalf", "", top="y z"), lambda x, b: [x[0][:, :2], x[0][:, 2:]]),
    "tiling": ForkCase(_one("Tiling", "tiling_param { tile_dim: 2 }", (2, 8, 3, 2)), _values(lambda x: tiled(x, 2))),
    "pixel_shuffle": ForkCase(
        _one("PixelShuffle", "pixel_shuffle_param { upscale_factor: 3 }", (2, 9, 3, 2)), _values(lambda x: tiled(x, 3))
    ),
    "pixel_shuffler": ForkCase(_one("PixelShuffler", "", (2, 8, 3, 2)), _values(lambda x: tiled(x, 2))),
    "group_norm": ForkCase(
        _one("GroupNorm", "group_norm_param { group_num: 2 }"), _values(lambda x: standardised(x, 2))
    ),
    "instance_norm": ForkCase(_one("InstanceNorm", ""), _values(lambda x: standardised(x, 4))),
    "instance_norm_affine": ForkCase(
        _one("InstanceNorm", "instance_norm_param { affine: true eps: 0.01 }"),
        lambda x, b: [standardised(x[0], 4, 0.01) * b[0].reshape(-1, 1, 1) + b[1].reshape(-1, 1, 1)],
    ),
    "l2_norm": ForkCase(_one("L2Norm", ""), _values(lambda x: x / np.sqrt((x * x).sum((1, 2, 3), keepdims=True)))),
    "pooling_of_volumes": ForkCase(
        _one("Pooling", "pooling_param { kernel_size: 2 stride: 2 }", (2, 2, 3, 5, 4)),
        _values(lambda x: pooled(x, (2, 2, 2), (2, 2, 2), (0, 0, 0))),
    ),
}
