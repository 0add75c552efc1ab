"""Layers that multiply by something made of their weights: configurations and formulas value by value."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from tests.net.layers.cases import _one
from tests.net.layers.fork_cases import ForkCase

Arrays = Sequence[np.ndarray]
FIXED = (
    "quantization_param { bw_layer_in: 6 bw_layer_out: 7 bw_params: 5 fl_layer_in: 4 fl_layer_out: 3 fl_params: 3 %s }"
)


def fixed(x: np.ndarray, bits: int, fraction: int) -> np.ndarray:
    """Return values cut and rounded one by one."""
    found = []
    for v in x.ravel().tolist():
        v = min(max(v, -(2 ** (bits - 1)) / 2**fraction), (2 ** (bits - 1) - 1) / 2**fraction) * 2**fraction
        found.append((math.floor(v + 0.5) if v >= 0 else math.ceil(v - 0.5)) / 2**fraction)
    return np.array(found).reshape(x.shape)


def convolved(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return a convolution with kernels of 2 x 2."""
    high, wide = x.shape[2] - 1, x.shape[3] - 1
    y = sum(
        np.einsum("nchw,oc->nohw", x[:, :, i : i + high, j : j + wide], weight[:, :, i, j]) for i, j in np.ndindex(2, 2)
    )
    return y + bias.reshape(-1, 1, 1)


def transposed(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return a deconvolution with kernels of 2 x 2."""
    y = np.zeros((len(x), weight.shape[1], x.shape[2] + 1, x.shape[3] + 1))
    for i, j in np.ndindex(2, 2):
        y[:, :, i : i + x.shape[2], j : j + x.shape[3]] += np.einsum("nchw,co->nohw", x, weight[:, :, i, j])
    return y + bias.reshape(-1, 1, 1)


def inner(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1) @ weight.T + bias


def ristretto(compute: Callable[..., np.ndarray], trims_bottom: bool = True):
    def formula(bottoms: Arrays, blobs: Arrays) -> Arrays:
        x = fixed(bottoms[0], 6, 4) if trims_bottom else bottoms[0]
        return [fixed(compute(x, *(fixed(b, 5, 3) for b in blobs)), 7, 3)]

    return formula


def power(w: np.ndarray) -> np.ndarray:
    exponents = [min(max(round(math.log2(abs(v))), -3), -1) for v in w.ravel().tolist()]
    return np.sign(w) * 2.0 ** np.array(exponents).reshape(w.shape)


CONVOLUTION = "convolution_param { num_output: 3 kernel_size: 2 }"
INNER = "inner_product_param { num_output: 3 }"
SHAPE = (2, 2, 4, 5)

WEIGHT_CASES: dict[str, ForkCase] = {
    "convolution_ristretto": ForkCase(
        _one("ConvolutionRistretto", f"{CONVOLUTION} {FIXED % ''}", SHAPE, low=-3, high=3), ristretto(convolved), False
    ),
    "convolution_of_the_first_ristretto": ForkCase(
        _one("ConvolutionRistretto", f"{CONVOLUTION} {FIXED % 'precision: FIXED_POINT'}", SHAPE),
        ristretto(convolved, trims_bottom=False),
        False,
    ),
    "convolution_by_powers_of_two": ForkCase(
        _one(
            "ConvolutionRistretto",
            f"{CONVOLUTION} quantization_param {{ precision: INTEGER_POWER_OF_2_WEIGHTS exp_min: -3 exp_max: -1 }}",
            SHAPE,
        ),
        lambda x, b: [convolved(x[0], power(b[0]), b[1])],
        False,
    ),
    "deconvolution_ristretto": ForkCase(
        _one("DeconvolutionRistretto", f"{CONVOLUTION} {FIXED % ''}", SHAPE), ristretto(transposed), False
    ),
    "fc_ristretto": ForkCase(_one("FcRistretto", f"{INNER} {FIXED % ''}", SHAPE), ristretto(inner), False),
    "masked_convolution": ForkCase(
        _one("CConvolution", f"{CONVOLUTION} cconvolution_param {{ gamma: 0.1 c_rate: 2 }}", SHAPE),
        lambda x, b: [convolved(x[0], b[0] * b[2], b[1] * b[3])],
        False,
    ),
    "masked_inner_product": ForkCase(
        _one("CInnerProduct", INNER, SHAPE), lambda x, b: [inner(x[0], b[0] * b[2], b[1] * b[3])], False
    ),
    "binary_convolution": ForkCase(
        _one("BinaryConvolution", f"{CONVOLUTION} binary_convolution_param {{ use_alpha: true }}", SHAPE),
        lambda x, b: [convolved(x[0], np.sign(b[0]) * abs(b[0]).mean((1, 2, 3), keepdims=True), b[1])],
        False,
    ),
    "binary_convolution_of_signs": ForkCase(
        _one("BinaryConvolution", f"{CONVOLUTION} binary_convolution_param {{ use_alpha: false }}", SHAPE),
        lambda x, b: [convolved(x[0], np.sign(b[0]), b[1])],
        False,
    ),
}
