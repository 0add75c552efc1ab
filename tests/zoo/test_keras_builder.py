"""KerasBuilder's layers compute what TensorFlow's padding rules say, in both ONNX runtimes and in real Caffe.

The reference is written from the definition: output ``i`` sees the pixels ``i * stride - before + 0 .. kernel - 1``, a
pixel outside the map is zero (convolution), nothing (maximum) or not counted (average).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import to_onnx
from caffezoo.zoo.architectures.keras_resnet import zero_border
from caffezoo.zoo.keras_builder import KerasBuilder
from tests.oracle import caffe_outputs, onnx_outputs, plain_net, requires_caffe

CHANNELS = 3


def same_before(n: int, kernel: int, strides: int) -> tuple[int, int]:
    """Return TensorFlow's number of outputs and padding in front."""
    out = (n + strides - 1) // strides
    return out, max((out - 1) * strides + kernel - n, 0) // 2


def windows(x: np.ndarray, kernel: int, strides: int, padding: str, outside: float) -> np.ndarray:
    """Return (N, C, out, out, kernel, kernel): what each output sees."""
    n = x.shape[2]
    out, before = same_before(n, kernel, strides) if padding == "same" else ((n - kernel) // strides + 1, 0)
    padded = np.full((*x.shape[:2], n + 2 * kernel + strides, n + 2 * kernel + strides), outside, np.float64)
    padded[:, :, kernel : kernel + n, kernel : kernel + n] = x
    starts = [kernel - before + i * strides for i in range(out)]
    rows = np.stack([np.stack([padded[:, :, r : r + kernel, c : c + kernel] for c in starts], 2) for r in starts], 2)
    return rows


def convolution(x: np.ndarray, weights: np.ndarray, strides: int, padding: str) -> np.ndarray:
    return np.einsum("nchwij,ocij->nohw", windows(x, weights.shape[2], strides, padding, 0.0), weights)


def depthwise(x: np.ndarray, weights: np.ndarray, strides: int) -> np.ndarray:
    return np.einsum("nchwij,cij->nchw", windows(x, weights.shape[2], strides, "same", 0.0), weights[:, 0])


def maximum(x: np.ndarray, kernel: int, strides: int, padding: str) -> np.ndarray:
    return windows(x, kernel, strides, padding, -np.inf).max((4, 5))


def average(x: np.ndarray, kernel: int, strides: int, padding: str) -> np.ndarray:
    return np.nanmean(windows(x, kernel, strides, padding, np.nan), (4, 5))


def check(build: Callable[[KerasBuilder], str], x: np.ndarray, wanted: Callable[..., np.ndarray], caffe: bool) -> None:
    """Build one layer on ``x``; hold the result against ``wanted(x, *weights)``."""
    b = KerasBuilder("layer", "", x.shape[2])
    top = build(b)
    network = Network.from_text(b.to_prototxt(), inputs={"data": x.shape})
    rng = np.random.default_rng(0)
    shapes = {n.name: n.blob_shapes for n in network.nodes if n.blob_shapes}
    weights = {name: [rng.normal(size=s).astype(np.float32) for s in blobs] for name, blobs in shapes.items()}
    network = network.with_weights(weights)
    reference = wanted(x.astype(np.float64), *[blob for blobs in weights.values() for blob in blobs])
    assert network.outputs == (top,)
    assert b.size(top) == reference.shape[2]
    if caffe:
        text, blobs = plain_net(network)
        found = {"caffe": caffe_outputs(text, blobs, {"data": x}, [top])}
    else:
        found = onnx_outputs(to_onnx(network), {"data": x})
    for runtime, tops in found.items():
        np.testing.assert_allclose(tops[top], reference, rtol=1e-5, atol=1e-5, err_msg=runtime)


def image(n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, CHANNELS, n, n)).astype(np.float32)


JUDGES = [pytest.param(False, id="onnx"), pytest.param(True, id="caffe", marks=requires_caffe)]


@pytest.mark.parametrize("caffe", JUDGES)
@settings(max_examples=15, deadline=None)
@given(
    n=st.integers(7, 14),
    kernel=st.sampled_from([1, 3, 5, 7]),
    strides=st.integers(1, 3),
    padding=st.sampled_from(["same", "valid"]),
)
def test_conv2d(caffe: bool, n: int, kernel: int, strides: int, padding: str) -> None:
    check(
        lambda b: b.conv2d("layer", b.image, 4, kernel, strides=strides, padding=padding),
        image(n),
        lambda x, w: convolution(x, w, strides, padding),
        caffe,
    )


@pytest.mark.parametrize("caffe", JUDGES)
@pytest.mark.parametrize("n", [8, 9])
def test_depthwise(caffe: bool, n: int) -> None:
    build = lambda b: b.depthwise("layer", b.image, 5, strides=2)  # noqa: E731
    check(build, image(n), lambda x, w: depthwise(x, w, 2), caffe)


@pytest.mark.parametrize("caffe", JUDGES)
@pytest.mark.parametrize("n", [7, 8, 9, 10])
def test_odd_conv2d_reads_the_pixels_that_stride_2_skips(caffe: bool, n: int) -> None:
    def wanted(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        shifted = np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1)))[:, :, 1:, 1:]
        return convolution(shifted, w, 2, "valid")

    check(lambda b: b.odd_conv2d("layer", b.image, 4), image(n), wanted, caffe)


@pytest.mark.parametrize("caffe", JUDGES)
@settings(max_examples=15, deadline=None)
@given(
    n=st.integers(6, 13),
    kernel=st.integers(2, 5),
    strides=st.just(2),
    padding=st.sampled_from(["same", "valid"]),
)
def test_max_pool(caffe: bool, n: int, kernel: int, strides: int, padding: str) -> None:
    build = lambda b: b.max_pool("layer", b.image, kernel, strides=strides, padding=padding)  # noqa: E731
    check(build, image(n), lambda x: maximum(x, kernel, strides, padding), caffe)


@pytest.mark.parametrize("caffe", JUDGES)
@settings(max_examples=15, deadline=None)
@given(
    n=st.integers(6, 13),
    kernel=st.sampled_from([3, 5]),
    strides=st.integers(1, 2),
    padding=st.sampled_from(["same", "valid"]),
)
def test_average_pool(caffe: bool, n: int, kernel: int, strides: int, padding: str) -> None:
    build = lambda b: b.average_pool("layer", b.image, kernel, strides=strides, padding=padding)  # noqa: E731
    check(build, image(n), lambda x: average(x, kernel, strides, padding), caffe)


@pytest.mark.parametrize("pool", ["max_pool", "average_pool"])
def test_even_windows_of_stride_1_are_refused(pool: str) -> None:
    b = KerasBuilder("layer", "", 8)
    with pytest.raises(ValueError, match="no 2x2 'same' window of stride 1"):
        getattr(b, pool)("layer", b.image, 2, strides=1, padding="same")


def test_averages_over_one_size_share_their_correction() -> None:
    b = KerasBuilder("two averages", "", 9)
    wide = b.conv2d("wide", b.image, 5, 1)
    tops = [b.average_pool(name, x, 3, padding="same") for name, x in (("a", b.image), ("b", b.image), ("c", wide))]
    kinds = [layer.type for layer in b.net.layer]
    assert (kinds.count("Power"), kinds.count("Tile"), kinds.count("Eltwise")) == (2, 2, 3)
    assert [b.size(top) for top in tops] == [9, 9, 9]


@pytest.mark.parametrize("caffe", JUDGES)
@pytest.mark.parametrize("n", [8, 12])
def test_zero_border_is_a_maximum_over_zero_padding(caffe: bool, n: int) -> None:
    def build(b: KerasBuilder) -> str:
        return zero_border(b, "layer", b.max_pool("pool", b.image, 3, padding=1))

    def wanted(x: np.ndarray) -> np.ndarray:
        return maximum(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), 3, 2, "valid")

    check(build, image(n) - 2, wanted, caffe)


@pytest.mark.parametrize("caffe", JUDGES)
@pytest.mark.parametrize("n", [8, 9, 11, 12])
@pytest.mark.parametrize("pool", ["max_pool", "average_pool"])
def test_pooling_behind_zero_padding(caffe: bool, n: int, pool: str) -> None:
    """The padding is TensorFlow's for 'same', and the pooling 'valid': all zeros take part."""
    before = same_before(n, 3, 2)[1]

    def wanted(x: np.ndarray) -> np.ndarray:
        padded = np.pad(x, ((0, 0), (0, 0), (before, 1), (before, 1)))
        return maximum(padded, 3, 2, "valid") if pool == "max_pool" else average(padded, 3, 2, "valid")

    def build(b: KerasBuilder) -> str:
        return getattr(b, pool)("layer", b.zero_padding("pad", b.image, 3), 3, strides=2)

    check(build, image(n) - 2, wanted, caffe)


def test_zero_padding_of_more_than_one_pixel_is_refused() -> None:
    b = KerasBuilder("layer", "", 9)
    with pytest.raises(ValueError, match="more than one pixel"):
        b.zero_padding("pad", b.image, 5)


def test_automatic_names_count_from_one() -> None:
    b = KerasBuilder("names", "", 8)
    assert [b.numbered(kind) for kind in ("conv2d", "add", "conv2d")] == ["conv2d_1", "add_1", "conv2d_2"]


def test_normalisation_without_gamma_owns_three_values_a_channel() -> None:
    b = KerasBuilder("bn", "", 8)
    b.bn("with", b.image)
    b.bn("without", b.image, gamma=False)
    counts = [n.parameter_count for n in Network.from_text(b.to_prototxt()).nodes[1:]]
    assert counts == [2 * CHANNELS, 2 * CHANNELS, 2 * CHANNELS, CHANNELS]
    assert {layer.batch_norm_param.eps for layer in b.net.layer if layer.type == "BatchNorm"} == {np.float32(1e-3)}
