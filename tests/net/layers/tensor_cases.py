"""More of :mod:`tests.net.layers.fork_cases`: matrices, padding, resizing and what else is done to a map."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tests.net.layers.cases import IMAGE, _many, _one
from tests.net.layers.fork_cases import ForkCase, _values

Arrays = Sequence[np.ndarray]


def local(pad: int, kernel: int, stride: int):
    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        x = np.pad(bottoms[0], [(0, 0), (0, 0), (pad, pad), (pad, pad)])
        high, wide = ((d - kernel) // stride + 1 for d in x.shape[2:])
        y = np.zeros((len(x), len(blobs[0]), high, wide))
        for i, j in np.ndindex(high, wide):
            part = x[:, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel].reshape(len(x), -1)
            y[:, :, i, j] = part @ blobs[0][:, 0, :, i * wide + j].T + blobs[1][0, 0, :, i * wide + j]
        return [y]

    return formula


def between(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a map resized with its first pixel where it was, and 0 behind its last."""
    y = np.zeros((*x.shape[:2], height, width))
    x = np.pad(x, [(0, 0), (0, 0), (0, 1), (0, 1)])
    for i, j in np.ndindex(height, width):
        row, column = i * (x.shape[2] - 1) / height, j * (x.shape[3] - 1) / width
        r, c = math.floor(row), math.floor(column)
        for a, b in np.ndindex(2, 2):
            y[:, :, i, j] += x[:, :, r + a, c + b] * (1 - abs(row - r - a)) * (1 - abs(column - c - b))
    return y


OWN_TESTS = {"MatWrite", "CompactBilinear", "DenseCRF", "DomainTransform", "CTCLoss"}

SPATIAL = [(0, 0), (0, 0), (2, 2), (2, 2)]

TENSOR_CASES: dict[str, ForkCase] = {
    "matmul": ForkCase(_many("MatMul", "", (2, 3, 4, 5), (2, 3, 5, 2)), lambda x, b: [x[0] @ x[1]]),
    "matmul_transposed": ForkCase(
        _many("MatMul", "matmul_param { transpose_a: true transpose_b: true }", (2, 5, 4), (2, 3, 5)),
        lambda x, b: [x[0].transpose(0, 2, 1) @ x[1].transpose(0, 2, 1)],
    ),
    "matrix_multiplication": ForkCase(
        _many("MatrixMultiplication", "", (3, 4), (2, 4, 5)), lambda x, b: [np.einsum("mk,bkn->bmn", *x)]
    ),
    "local": ForkCase(
        _one("Local", "local_param { num_output: 3 kernel_size: 3 stride: 2 pad: 1 }", (2, 2, 5, 6)), local(1, 3, 2)
    ),
    "padding": ForkCase(
        _one("Padding", "padding_param { pad: 2 }", (2, 3, 3, 4)), _values(lambda x: np.pad(x, SPATIAL))
    ),
    "padding_before_and_behind": ForkCase(
        _one("Padding", "padding_param { pad_beg: 1 pad_end: 2 }", (2, 3, 3, 4)),
        _values(lambda x: np.pad(x, [(0, 0), (0, 0), (1, 2), (1, 2)])),
    ),
    "padding_that_cuts": ForkCase(
        _one("Padding", "padding_param { pad_beg: -1 pad_end: -2 }", (2, 3, 5, 6)),
        _values(lambda x: x[:, :, 1:3, 1:4]),
    ),
    "convolution_with_holes": ForkCase(
        _one("Convolution", "convolution_param { num_output: 3 kernel_size: 2 hole_h: 2 hole_w: 3 bias_term: false }"),
        lambda x, b: [
            sum(
                np.einsum("nchw,oc->nohw", x[0][:, :, 2 * i : 5 + 2 * i, 3 * j : 6 + 3 * j], b[0][:, :, i, j])
                for i, j in np.ndindex(2, 2)
            )
        ],
    ),
    "pad_zero": ForkCase(
        _one("Pad", "pad_param { pad_h: 1 pad_w: 2 }", (2, 3, 3, 4)),
        _values(lambda x: np.pad(x, [(0, 0), (0, 0), (1, 1), (2, 2)])),
    ),
    "pad_edge": ForkCase(
        _one("Pad", "pad_param { pad: 2 type: REPLICATE }", (2, 3, 3, 4)),
        _values(lambda x: np.pad(x, SPATIAL, "edge")),
    ),
    "pad_reflect": ForkCase(
        _one("Pad", "pad_param { pad: 2 type: REFLECT }", (2, 3, 3, 4)),
        _values(lambda x: np.pad(x, SPATIAL, "symmetric")),
    ),
    "pad_reflect_101": ForkCase(
        _one("Pad", "pad_param { pad: 2 type: REFLECT_101 }", (2, 3, 3, 4)),
        _values(lambda x: np.pad(x, SPATIAL, "reflect")),
    ),
    "resize": ForkCase(
        _one("Resize", "resize_param { height: 6 width: 7 }", (2, 3, 4, 3)), _values(lambda x: between(x, 6, 7))
    ),
    "resize_by_scales": ForkCase(
        _one(
            "Resize",
            "resize_param { is_pyramid_test: true out_height_scale: 0.5 out_width_scale: 1.5 }",
            (2, 3, 5, 4),
        ),
        _values(lambda x: between(x, 2, 6)),
    ),
    "resize_repeats": ForkCase(
        _one("Resize", "resize_param { top_height: 6 top_width: 4 }", (2, 3, 3, 4)), _values(lambda x: x.repeat(2, 2))
    ),
    "grn": ForkCase(
        _one("GRN", "grn_param { bias: 0.5 }", IMAGE),
        _values(lambda x: x / np.sqrt((x * x).sum(1, keepdims=True) + 0.5)),
    ),
    "bilinear": ForkCase(
        _many("Bilinear", "", (2, 3, 4, 5), (2, 2, 4, 5)),
        lambda x, b: [np.einsum("nahw,nbhw->nab", *x).reshape(2, 6, 1, 1)],
    ),
    "gram": ForkCase(
        _one("Gram", "", (2, 3, 4, 5)), _values(lambda x: np.einsum("nahw,nbhw->nab", x, x)[..., None] / 60)
    ),
    "signed_sqrt": ForkCase(_one("SignedSqrt", ""), _values(lambda x: np.sign(x) * np.sqrt(abs(x)))),
    "sqrt": ForkCase(_one("Sqrt", "", low=0.5, high=4), _values(np.sqrt)),
    "channel_scale": ForkCase(
        _many("ChannelScale", "", (2, 3, 4, 5), (2, 1, 4, 5)), lambda x, b: [x[0] * x[1].reshape(2, 1, 4, 5)]
    ),
    "channel_scale_only_backward": ForkCase(
        _many("ChannelScale", "channel_scale_param { do_forward: false }", (2, 3), (2, 1)), lambda x, b: [x[0]]
    ),
    "l2_normalization": ForkCase(
        _one("L2Normalization", "", (2, 5, 1, 1)), _values(lambda x: x / np.sqrt((x * x).sum(1, keepdims=True)))
    ),
}
