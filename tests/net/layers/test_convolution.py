"""Convolution, Deconvolution and the depthwise forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import ShapeError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Affine
from caffezoo.net.registry import make_layer
from tests.net.layers.draws import BATCHES, SEEDS, arrays, cases
from tests.oracle import assert_layer_matches_caffe, layer_proto, requires_caffe


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[str, tuple[int, ...]]:
    """Draw a convolution_param and the shape of a bottom that it mostly fits."""
    group = draw(st.sampled_from([1, 1, 2, 3]))
    channels, outputs = group * draw(st.integers(1, 4)), group * draw(st.integers(1, 4))
    param = [f"num_output: {outputs} group: {group}"]
    if draw(st.booleans()):
        param.append(f"kernel_size: {draw(st.integers(1, 5))}")
    else:
        param.append(f"kernel_h: {draw(st.integers(1, 4))} kernel_w: {draw(st.integers(1, 7))}")
    stride = draw(st.sampled_from(["", "stride: 2", "stride: 3", "stride_h: 1 stride_w: 2"]))
    pad = draw(st.sampled_from(["", "pad: 1", "pad: 3", "pad_h: 2", "pad_w: 1 pad_h: 0"]))
    dilation = draw(st.sampled_from(["", "", "dilation: 2", "dilation: 1 dilation: 3"]))
    bias = draw(st.sampled_from(["", "bias_term: false"]))
    size = (draw(st.integers(1, 40)), draw(st.integers(1, 40)))
    return " ".join([*param, stride, pad, dilation, bias]), (draw(BATCHES), channels, *size)


@requires_caffe
@cases(60)
@given(convolutions(), SEEDS)
def test_convolution_matches_caffe(drawn: tuple[str, tuple[int, ...]], seed: int) -> None:
    param, shape = drawn
    layer = f'name: "c" type: "Convolution" bottom: "x" top: "y" convolution_param {{ {param} }}'
    assert_layer_matches_caffe(layer, arrays({"x": shape}, seed), _weights(layer, shape, seed))


@requires_caffe
@cases(30)
@given(convolutions(), SEEDS)
def test_deconvolution_matches_caffe(drawn: tuple[str, tuple[int, ...]], seed: int) -> None:
    param, (n, c, h, w) = drawn
    shape = (n, c, min(h, 12), min(w, 12))
    layer = f'name: "c" type: "Deconvolution" bottom: "x" top: "y" convolution_param {{ {param} }}'
    assert_layer_matches_caffe(layer, arrays({"x": shape}, seed), _weights(layer, shape, seed))


@requires_caffe
@cases(20)
@given(st.integers(1, 9), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2), st.integers(5, 40), SEEDS)
def test_depthwise_matches_caffe(channels: int, kernel: int, stride: int, pad: int, size: int, seed: int) -> None:
    param = f"kernel_size: {kernel} stride: {stride} pad: {pad} num_output: 1"
    layer = f'name: "c" type: "ConvolutionDepthwise" bottom: "x" top: "y" convolution_param {{ {param} }}'
    shape = (2, channels, size, 41 - size + kernel)
    assert assert_layer_matches_caffe(layer, arrays({"x": shape}, seed), _weights(layer, shape, seed)) == "matched"


@requires_caffe
def test_several_bottoms_share_the_weights() -> None:
    text = 'name: "c" type: "Convolution" bottom: "a" bottom: "b" top: "y" top: "z"'
    text += " convolution_param { num_output: 3 kernel_size: 3 pad: 1 }"
    assert assert_layer_matches_caffe(text, arrays({"a": (2, 4, 5, 6), "b": (2, 4, 5, 6)}, 0)) == "matched"
    assert assert_layer_matches_caffe(text, arrays({"a": (2, 4, 5, 6), "b": (2, 4, 5, 7)}, 0)) == "refused"


def _weights(layer: str, shape: tuple[int, ...], seed: int) -> list[np.ndarray] | None:
    """Return zero-centred blobs, or None where the layer cannot take the bottom."""
    rng = np.random.default_rng(seed + 1)
    try:
        made = make_layer(layer_proto(layer))
        made.top_shapes([shape])
        return [rng.uniform(-1, 1, s).astype(np.float32) for s in made.blob_shapes([shape])]
    except ShapeError:
        return None


REFUSED = {
    "no kernel": ("num_output: 4", (2, 4, 5, 5)),
    "zero kernel": ("num_output: 4 kernel_size: 0", (2, 4, 5, 5)),
    "kernel_h without kernel_w": ("num_output: 4 kernel_h: 3", (2, 4, 5, 5)),
    "kernel twice": ("num_output: 4 kernel_size: 3 kernel_h: 3 kernel_w: 3", (2, 4, 5, 5)),
    "three kernel sizes for two axes": ("num_output: 4 kernel_size: [3, 3, 3]", (2, 4, 5, 5)),
    "stride twice": ("num_output: 4 kernel_size: 3 stride: 1 stride_h: 1 stride_w: 1", (2, 4, 5, 5)),
    "stride_h without stride_w": ("num_output: 4 kernel_size: 3 stride_h: 1", (2, 4, 5, 5)),
    "pad twice": ("num_output: 4 kernel_size: 3 pad: 1 pad_h: 1", (2, 4, 5, 5)),
    "three dilations": ("num_output: 4 kernel_size: 3 dilation: [1, 1, 1]", (2, 4, 5, 5)),
    "no outputs": ("kernel_size: 3", (2, 4, 5, 5)),
    "inputs and groups": ("num_output: 4 kernel_size: 1 group: 2", (2, 5, 5, 5)),
    "outputs and groups": ("num_output: 5 kernel_size: 1 group: 2", (2, 4, 5, 5)),
    "axis out of range": ("num_output: 4 kernel_size: 1 axis: 4", (2, 4, 5, 5)),
    "kernel_h on one axis": ("num_output: 4 kernel_h: 1 kernel_w: 1", (2, 4, 5)),
}


@requires_caffe
@pytest.mark.parametrize("name", REFUSED)
def test_caffe_refuses_too(name: str) -> None:
    param, shape = REFUSED[name]
    layer = f'name: "c" type: "Convolution" bottom: "x" top: "y" convolution_param {{ {param} }}'
    assert assert_layer_matches_caffe(layer, arrays({"x": shape}, 0)) == "refused"


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_names_the_layer(name: str) -> None:
    param, shape = REFUSED[name]
    with pytest.raises(ShapeError, match=r"layer 'c' \(Convolution\)"):
        _layer("Convolution", param).top_shapes([shape])


def test_kernel_larger_than_the_padded_image_is_refused() -> None:
    """Caffe's C division truncates toward zero and would give one output pixel; we refuse."""
    with pytest.raises(ShapeError, match="spans 5 px does not fit 2 px padded by 1"):
        _layer("Convolution", "num_output: 1 kernel_size: 3 dilation: 2 stride: 2 pad: 1").top_shapes([(1, 1, 2, 2)])


def test_depthwise_convolution_must_say_the_channel_count() -> None:
    with pytest.raises(ShapeError, match="group 2 must be the channel count 4"):
        _layer("DepthwiseConvolution", "num_output: 4 group: 2 kernel_size: 3").top_shapes([(1, 4, 5, 5)])


def test_three_spatial_axes_have_shapes() -> None:
    layer = _layer("Convolution", "num_output: 6 kernel_size: [1, 2, 3] stride: 2 group: 2")
    assert layer.top_shapes([(1, 4, 5, 6, 7)]) == [(1, 6, 3, 3, 3)]
    assert layer.blob_shapes([(1, 4, 5, 6, 7)]) == [(6, 2, 1, 2, 3), (6,)]


@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 5), st.integers(1, 3), st.integers(5, 40)
)
def test_macs_and_parameters_follow_the_formula(g: int, i: int, o: int, k: int, s: int, size: int) -> None:
    layer = _layer("Convolution", f"num_output: {g * o} group: {g} kernel_size: {k} stride: {s}")
    bottom = (2, g * i, size, size)
    out = (size - k) // s + 1
    assert layer.macs([bottom], layer.top_shapes([bottom])) == 2 * g * o * out * out * i * k * k
    assert layer.parameter_count([bottom]) == g * o * (i * k * k + 1)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(2, 5), st.integers(1, 9))
def test_deconvolution_undoes_the_shape_of_a_convolution(i: int, o: int, k: int, size: int) -> None:
    layer = _layer("Deconvolution", f"num_output: {o} kernel_size: {k} stride: 2 bias_term: false")
    bottom = (1, i, size, size)
    (top,) = layer.top_shapes([bottom])
    assert _layer("Convolution", f"num_output: {i} kernel_size: {k} stride: 2").top_shapes([top]) == [bottom]
    assert layer.macs([bottom], [top]) == size * size * i * o * k * k


@pytest.mark.parametrize(
    ("kind", "param"),
    [
        ("Convolution", "num_output: 6 group: 2 kernel_size: 3 bias_term: false"),
        ("ConvolutionDepthwise", "kernel_size: 3"),
        ("Deconvolution", "num_output: 6 group: 2 kernel_size: 3 stride: 2"),
    ],
)
def test_a_map_after_the_layer_is_absorbed(kind: str, param: str) -> None:
    from tests.net.layers.runs import forward

    rng = np.random.default_rng(0)
    layer, shape = _layer(kind, param), (2, 4, 6, 5)
    blobs = [rng.normal(size=s).astype(np.float32) for s in layer.blob_shapes([shape])]
    channels = layer.top_shapes([shape])[0][1]
    map_ = Affine(rng.normal(size=channels), rng.normal(size=channels))
    folded = layer.absorb_after(blobs, map_)
    assert folded is not None
    x = arrays({"x": shape}, 1)
    (y,) = forward(layer.proto, x, blobs)
    wanted = y * map_.a.reshape(1, -1, 1, 1) + map_.b.reshape(1, -1, 1, 1)
    (found,) = forward(folded.proto, x, folded.blobs)
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("kind", "param", "shift"),
    [
        ("Convolution", "num_output: 6 group: 2 kernel_size: 3", True),
        ("Convolution", "num_output: 6 kernel_size: 3 pad: 1", False),
        ("ConvolutionDepthwise", "kernel_size: 3 bias_term: false", True),
        ("Deconvolution", "num_output: 6 group: 2 kernel_size: 3 stride: 2", False),
    ],
)
def test_a_map_before_the_layer_is_absorbed(kind: str, param: str, shift: bool) -> None:
    from tests.net.layers.runs import forward

    rng = np.random.default_rng(0)
    layer, shape = _layer(kind, param), (2, 4, 6, 5)
    blobs = [rng.normal(size=s).astype(np.float32) for s in layer.blob_shapes([shape])]
    map_ = Affine(rng.normal(size=4), rng.normal(size=4) * shift)
    folded = layer.absorb_before(blobs, map_)
    assert folded is not None
    x = arrays({"x": shape}, 1)
    mapped = x["x"] * map_.a.reshape(1, -1, 1, 1) + map_.b.reshape(1, -1, 1, 1)
    (wanted,) = forward(layer.proto, {"x": mapped.astype(np.float32)}, blobs)
    (found,) = forward(folded.proto, x, folded.blobs)
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_a_shift_before_padding_is_not_absorbed() -> None:
    layer = _layer("Convolution", "num_output: 2 kernel_size: 3 pad: 1")
    blobs = [np.ones(s, np.float32) for s in layer.blob_shapes([(1, 2, 5, 5)])]
    assert layer.absorb_before(blobs, Affine(np.ones(2), np.ones(2))) is None


def _layer(kind: str, param: str) -> Any:
    text = f'name: "c" type: "{kind}" bottom: "x" top: "y" convolution_param {{ {param} }}'
    return make_layer(layer_proto(text))


def test_plain_depthwise_is_a_grouped_convolution() -> None:
    form = _layer("ConvolutionDepthwise", "kernel_size: 3 pad: 1").plain([(1, 5, 7, 7)])
    (layer,) = form.layers
    assert (layer.type, layer.name) == ("Convolution", "c")
    assert layer.convolution_param == pb.ConvolutionParameter(num_output=5, group=5, kernel_size=[3], pad=[1])
