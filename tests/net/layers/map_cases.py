"""More of :mod:`tests.net.layers.fork_cases`: windows over volumes, regions, norms, losses, flow and ConvLSTM."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tests.net.layers.cases import IMAGE, _many, _one
from tests.net.layers.fork_cases import ForkCase, _values, repeated
from tests.net.layers.fork_formulas import center_loss, conv_lstm, correlation, flow_warp, transformed


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


def four_pads(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return the convolution at stride 2 of a map padded by 2 above, 1 below and 1 on the right."""
    padded = np.pad(x, [(0, 0), (0, 0), (2, 1), (0, 1)])[:, :, None]
    return convolved(padded, weight[:, :, None], bias, (1, 2, 2), (0, 0, 0))[:, :, 0]


MAP_CASES: dict[str, ForkCase] = {
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
    "l1_loss": ForkCase(_many("L1Loss", "", IMAGE, IMAGE), lambda x, b: [np.array(abs(x[0] - x[1]).sum() / 3)]),
    "l1_loss_of_places": ForkCase(
        _many("L1Loss", "l1_loss_param { l2_per_location: true epsilon: 0.1 }", IMAGE, IMAGE),
        lambda x, b: [np.array(np.sqrt(((x[0] - x[1]) ** 2).sum(1) + np.float32(0.1)).sum() / 3)],
    ),
    "l1_loss_of_entries": ForkCase(
        _one("L1Loss", "l1_loss_param { normalize_by_num_entries: true }"), _values(lambda x: np.array(abs(x).mean()))
    ),
    "abs_loss": ForkCase(_many("AbsLoss", "", (3, 4), (3, 4)), lambda x, b: [np.array(abs(x[0] - x[1]).sum() / 3)]),
    "softmax_cross_entropy_loss": ForkCase(
        _many("SoftmaxCrossEntropyLoss", "", (3, 4), (3, 4)),
        lambda x, b: [np.array(-((x[0] - np.log(np.exp(x[0]).sum(1, keepdims=True))) * x[1]).sum() / 3)],
    ),
    "center_loss": ForkCase(
        _many("CenterLoss", "center_loss_param { num_output: 5 }", (3, 4), (3,), classes=5), center_loss
    ),
    "correlation": ForkCase(
        _many(
            "Correlation",
            "correlation_param { pad: 3 kernel_size: 1 max_displacement: 2 stride_1: 1 stride_2: 2 }",
            *[(2, 3, 5, 6)] * 2,
        ),
        correlation(3, 1, 2, 1, 2),
    ),
    "correlation_of_patches": ForkCase(
        _many(
            "Correlation",
            "correlation_param { pad: 2 kernel_size: 3 max_displacement: 1 stride_1: 2 stride_2: 1 "
            "correlation_type: SUBTRACT }",
            *[(2, 3, 7, 6)] * 2,
        ),
        correlation(2, 3, 1, 2, 1, subtract=True),
    ),
    "flow_warp": ForkCase(_many("FlowWarp", "", (2, 3, 4, 5), (2, 2, 4, 5)), flow_warp),
    "spatial_transformer": ForkCase(
        _many("SpatialTransformer", "st_param { output_H: 3 output_W: 4 }", (2, 3, 5, 4), (2, 6)), transformed(3, 4)
    ),
    "spatial_transformer_fixed": ForkCase(
        _many("SpatialTransformer", "st_param { theta_1_2: 0 theta_2_1: 0.25 }", (2, 3, 5, 4), (2, 4)),
        transformed(5, 4, {1: 0.0, 3: 0.25}),
    ),
    "resample_nearest": ForkCase(
        _one("Resample", "resample_param { factor: 2 type: NEAREST }", (2, 3, 2, 3)), repeated(2, 2)
    ),
    "conv_lstm": ForkCase(
        _many(
            "ConvLSTM",
            "lstm_conv_param { num_output: 2 kernel_size: 3 pad: 1 } "
            "lstm_debug_param { axis_hadamard: 3 num_axes_hadamard: 2 }",
            *((3, 2, 2, 3, 4), (3, 2)),
            classes=2,
        ),
        conv_lstm,
    ),
    "conv_lstm_exposed": ForkCase(
        _many(
            "ConvLSTM",
            "recurrent_param { expose_hidden: true } "
            "lstm_conv_param { num_output: 2 kernel_size: 3 pad: 2 dilation: 2 } "
            "lstm_debug_param { axis_hadamard: 2 num_axes_hadamard: 1 }",
            *((2, 2, 2, 3, 4), (2, 2), (1, 2, 2, 3, 4), (1, 2, 2, 3, 4)),
            top="y h c",
            labels=(1, 2),
        ),
        conv_lstm,
    ),
    "convolution_of_four_pads": ForkCase(
        _one(
            "Convolution",
            "convolution_param { num_output: 3 kernel_size: 3 stride: 2 pad_l: 0 pad_r: 1 pad_t: 2 pad_b: 1 }",
            (2, 2, 5, 6),
        ),
        lambda x, b: [
            convolved(
                np.pad(x[0], [(0, 0), (0, 0), (2, 1), (0, 1)])[:, :, None], b[0][:, :, None], b[1], (1, 2, 2), (0,) * 3
            )[:, :, 0]
        ],
    ),
    "pooling_without_its_pad": ForkCase(
        _one(
            "Pooling",
            "pooling_param { pool: AVE_EXC_PAD kernel_size: 3 stride: 2 pad_l: 1 pad_r: 1 pad_t: 1 pad_b: 1 }",
            (2, 2, 5, 7),
        ),
        _values(
            lambda x: (
                pooled(x, (3, 3), (2, 2), (1, 1), mean=True)
                / pooled(np.ones_like(x), (3, 3), (2, 2), (1, 1), mean=True)
            )
        ),
    ),
    "pooling_of_four_pads": ForkCase(
        _one(
            "Pooling",
            "pooling_param { kernel_size: 3 stride: 2 ceil_mode: false pad_l: 0 pad_r: 1 pad_t: 1 pad_b: 0 }",
            (2, 2, 6, 6),
        ),
        _values(
            lambda x: pooled(
                np.pad(x, [(0, 0), (0, 0), (1, 0), (0, 1)], constant_values=-np.inf), (3, 3), (2, 2), (0, 0)
            )
        ),
    ),
}
