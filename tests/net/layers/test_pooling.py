"""Pooling: rounding, clipping and divisors, at every edge that Caffe has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from caffezoo.errors import LoweringError, ShapeError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.registry import make_layer
from tests.net.layers.draws import BATCHES, SEEDS, arrays, cases
from tests.net.layers.runs import forward
from tests.oracle import assert_layer_matches_caffe, layer_proto, requires_caffe

ROUNDINGS = st.sampled_from(["", "round_mode: FLOOR", "ceil_mode: false", "ceil_mode: true"])


@st.composite
def poolings(draw: st.DrawFn, method: str) -> tuple[str, tuple[int, ...]]:
    """Draw a pooling_param and the shape of a bottom that it mostly fits."""
    kernel = (draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    if draw(st.booleans()):
        kernel = (kernel[0], kernel[0])
        param = f"kernel_size: {kernel[0]}"
    else:
        param = f"kernel_h: {kernel[0]} kernel_w: {kernel[1]}"
    stride = draw(st.sampled_from(["", "stride: 2", "stride: 3", "stride_h: 2 stride_w: 5", "stride: 7"]))
    low = min(kernel) - 1
    pad = draw(st.sampled_from(["", f"pad: {min(low, 1)}", f"pad: {low}", f"pad_h: {kernel[0] - 1} pad_w: 0"]))
    size = (draw(st.integers(1, 40)), draw(st.integers(1, 20)))
    return f"pool: {method} {param} {stride} {pad} {draw(ROUNDINGS)}", (draw(BATCHES), draw(st.integers(1, 3)), *size)


@requires_caffe
@cases(60)
@given(poolings("MAX"), SEEDS)
def test_max_matches_caffe(drawn: tuple[str, tuple[int, ...]], seed: int) -> None:
    assert_layer_matches_caffe(_text(drawn[0]), arrays({"x": drawn[1]}, seed, -2, -1))


@requires_caffe
@cases(60)
@given(poolings("AVE"), SEEDS)
def test_average_matches_caffe(drawn: tuple[str, tuple[int, ...]], seed: int) -> None:
    assert_layer_matches_caffe(_text(drawn[0]), arrays({"x": drawn[1]}, seed, 1, 2))


@requires_caffe
@cases(30)
@given(poolings("MAX"), SEEDS)
def test_arg_maximum_matches_caffe(drawn: tuple[str, tuple[int, ...]], seed: int) -> None:
    """With few different values there are ties: the first maximum wins."""
    text = _text(drawn[0]).replace('top: "y"', 'top: "y" top: "index"')
    assert_layer_matches_caffe(text, arrays({"x": drawn[1]}, seed, steps=3))


@requires_caffe
@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize(
    ("param", "size"),
    [
        ("kernel_size: 1 stride: 3", (3, 3)),
        ("kernel_size: 1 stride: 4", (2, 3)),
        ("kernel_size: 2 stride: 5", (6, 5)),
        ("kernel_h: 2 kernel_w: 3 stride_h: 5 stride_w: 2", (6, 8)),
        ("kernel_size: 3 stride: 2", (2, 2)),
        ("kernel_size: 7", (7, 7)),
        ("kernel_size: 3 stride: 2 pad: 2", (4, 6)),
        ("kernel_size: 5 stride: 3 pad: 1", (5, 9)),
        ("global_pooling: true", (5, 3)),
    ],
)
def test_edges_match_caffe(method: str, param: str, size: tuple[int, int]) -> None:
    """Windows wholly outside, larger than the image, clipped, overhanging, and global ones."""
    inputs = arrays({"x": (2, 3, *size)}, 0, 1, 2)
    assert assert_layer_matches_caffe(_text(f"pool: {method} {param}"), inputs) == "matched"


REFUSED = {
    "no kernel": "",
    "kernel twice": "kernel_size: 3 kernel_h: 3 kernel_w: 3",
    "kernel_h without kernel_w": "kernel_h: 3",
    "zero kernel": "kernel_size: 0",
    "global with kernel": "global_pooling: true kernel_size: 3",
    "global with stride": "global_pooling: true stride: 2",
    "global with pad": "global_pooling: true pad: 1",
    "pad twice": "kernel_size: 3 pad: 1 pad_h: 1 pad_w: 1",
    "pad_h without pad_w": "kernel_size: 3 pad_h: 1",
    "stride twice": "kernel_size: 3 stride: 1 stride_h: 1 stride_w: 1",
    "stride_h without stride_w": "kernel_size: 3 stride_h: 2",
    "pad as large as the kernel": "kernel_size: 3 pad: 3",
    "padded stochastic": "pool: STOCHASTIC kernel_size: 3 pad: 1",
}


@requires_caffe
@pytest.mark.parametrize("name", REFUSED)
def test_caffe_refuses_too(name: str) -> None:
    assert assert_layer_matches_caffe(_text(REFUSED[name]), arrays({"x": (2, 3, 8, 8)}, 0)) == "refused"


@requires_caffe
def test_caffe_refuses_other_ranks_and_second_tops_too() -> None:
    second = _text("pool: AVE kernel_size: 2").replace('top: "y"', 'top: "y" top: "index"')
    assert assert_layer_matches_caffe(_text("kernel_size: 2"), arrays({"x": (2, 3, 8)}, 0)) == "refused"
    assert assert_layer_matches_caffe(second, arrays({"x": (2, 3, 8, 8)}, 0)) == "refused"


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_names_the_layer(name: str) -> None:
    with pytest.raises(ShapeError, match=r"layer 'p' \(Pooling\)"):
        _layer(REFUSED[name]).top_shapes([(2, 3, 8, 8)])


def test_stochastic_pooling_has_a_shape_and_at_train_no_onnx_form() -> None:
    text = _text("pool: STOCHASTIC kernel_size: 3") + " phase: TRAIN"
    assert _layer("pool: STOCHASTIC kernel_size: 3").top_shapes([(2, 3, 8, 8)]) == [(2, 3, 6, 6)]
    with pytest.raises(LoweringError, match="STOCHASTIC"):
        forward(text, arrays({"x": (2, 3, 8, 8)}, 0))


@pytest.mark.parametrize(
    ("rounding", "size", "output"),
    [("", 112, 56), ("ceil_mode: false", 112, 55), ("round_mode: FLOOR", 112, 55), ("", 113, 56), ("", 2, 1)],
)
def test_rounding(rounding: str, size: int, output: int) -> None:
    assert _layer(f"kernel_size: 3 stride: 2 {rounding}").top_shapes([(1, 1, size, size)]) == [(1, 1, output, output)]


@cases(25)
@given(poolings("AVE"), SEEDS)
def test_average_follows_the_rule_written_out(drawn: tuple[str, tuple[int, ...]], seed: int) -> None:
    """The sum over a window, divided by its positions before size + pad, straight from the definition."""
    layer = _layer(drawn[0])
    try:
        layer.top_shapes([drawn[1]])
    except ShapeError:
        assume(False)
    x = arrays({"x": drawn[1]}, seed)["x"]
    (found,) = forward(layer.proto, {"x": x})
    for h in range(found.shape[2]):
        for w in range(found.shape[3]):
            total, divisor = x.astype(np.float64), 1
            for axis, (place, line) in enumerate(zip((h, w), layer.axes(drawn[1]), strict=True), 2):
                start = place * line.stride - line.pad
                stop = min(start + line.kernel, line.size + line.pad)
                divisor *= stop - start
                window = range(max(start, 0), min(stop, line.size))
                total = np.take(total, list(window), axis=axis)
            wanted = total.sum(axis=(2, 3)) / divisor if divisor else np.full(total.shape[:2], np.nan)
            np.testing.assert_allclose(found[:, :, h, w], wanted, atol=1e-5)


def test_plain_form_spells_floor_as_bvlc_does() -> None:
    (layer,) = _layer("kernel_size: 3 ceil_mode: false").plain([(1, 1, 8, 8)]).layers
    assert layer.pooling_param == pb.PoolingParameter(kernel_size=3, round_mode=pb.PoolingParameter.FLOOR)
    assert _layer("kernel_size: 3").plain([(1, 1, 8, 8)]) is None


def test_a_dilation_of_one_is_none() -> None:
    plain = _layer("kernel_size: 3 dilation: 1 dilation: 1").plain([(1, 1, 8, 8)])
    assert plain is not None
    assert plain.layers[0].pooling_param == pb.PoolingParameter(kernel_size=3)
    with pytest.raises(ShapeError, match=r"layer 'p' \(Pooling\): dilation other than 1"):
        _layer("kernel_size: 3 dilation: 2").top_shapes([(1, 1, 8, 8)])


def _text(param: str) -> str:
    return f'name: "p" type: "Pooling" bottom: "x" top: "y" pooling_param {{ {param} }}'


def _layer(param: str) -> Any:
    return make_layer(layer_proto(_text(param)))
