"""Concat, Slice, Split, Silence and ShuffleChannel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import ShapeError
from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import to_onnx
from caffezoo.net.registry import make_layer
from tests.net.layers.draws import BATCHES, SEEDS, arrays, cases, shapes
from tests.net.layers.runs import forward
from tests.oracle import assert_layer_matches_caffe, layer_proto, requires_caffe


@requires_caffe
@cases(25)
@given(shapes(1, 5), st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(-5, 4), st.booleans(), SEEDS)
def test_concat_matches_caffe(shape: tuple[int, ...], sizes: list[int], axis: int, legacy: bool, seed: int) -> None:
    param = f"concat_dim: {abs(axis)}" if legacy else f"axis: {axis}"
    place = abs(axis) if legacy else axis
    inputs = {f"x{i}": list(shape) for i in range(len(sizes))}
    if -len(shape) <= place < len(shape):
        for x, size in zip(inputs.values(), sizes, strict=True):
            x[place] = size
    text = _text("Concat", list(inputs), ["y"], f"concat_param {{ {param} }}")
    fits = -len(shape) <= place < len(shape)
    on_batch = fits and place % len(shape) == 0
    status = assert_layer_matches_caffe(text, arrays(inputs, seed), batch_free=not on_batch)
    assert status == ("matched" if fits else "refused")


@requires_caffe
@pytest.mark.parametrize(
    ("param", "bottoms"),
    [
        ("axis: 1 concat_dim: 1", [(2, 3), (2, 3)]),
        ("axis: 1", [(2, 3, 4), (2, 3, 5)]),
        ("axis: 1", [(2, 3, 4), (2, 3)]),
        ("concat_dim: 2", [(2, 3), (2, 3)]),
    ],
)
def test_concats_that_caffe_refuses_too(param: str, bottoms: list[tuple[int, ...]]) -> None:
    inputs = arrays({f"x{i}": s for i, s in enumerate(bottoms)}, 0)
    text = _text("Concat", list(inputs), ["y"], f"concat_param {{ {param} }}")
    assert assert_layer_matches_caffe(text, inputs) == "refused"


@requires_caffe
@cases(40)
@given(shapes(2, 4, high=9), st.integers(1, 4), st.lists(st.integers(0, 8), max_size=3), st.integers(1, 3), SEEDS)
def test_slice_matches_caffe(shape: tuple[int, ...], tops: int, points: list[int], axis: int, seed: int) -> None:
    points = sorted(points)[: tops - 1]
    param = f"axis: {axis % len(shape) or 1} " + " ".join(f"slice_point: {p}" for p in points)
    text = _text("Slice", ["x"], [f"y{i}" for i in range(tops)], f"slice_param {{ {param} }}")
    assert_layer_matches_caffe(text, arrays({"x": shape}, seed))


@requires_caffe
@pytest.mark.parametrize(
    "param", ["axis: 1 slice_dim: 1", "slice_point: 3 slice_point: 5", "slice_point: 7", "slice_dim: 4", "axis: -5"]
)
def test_slices_that_caffe_refuses_too(param: str) -> None:
    text = _text("Slice", ["x"], ["y", "z"], f"slice_param {{ {param} }}")
    assert assert_layer_matches_caffe(text, arrays({"x": (2, 6, 3, 3)}, 0)) == "refused"


def test_the_batch_axis_is_cut_at_the_declared_batch() -> None:
    inputs = arrays({"x": (3, 4)}, 0)
    found = forward(_text("Slice", ["x"], ["y", "z"], "slice_param { axis: 0 slice_point: 1 }"), inputs)
    np.testing.assert_array_equal(found[0], inputs["x"][:1])
    np.testing.assert_array_equal(found[1], inputs["x"][1:])


@requires_caffe
@cases(15)
@given(BATCHES, st.integers(1, 6), st.integers(1, 5), st.lists(st.integers(1, 9), max_size=2), SEEDS)
def test_shuffle_matches_its_plain_form(n: int, group: int, each: int, spatial: list[int], seed: int) -> None:
    text = _text("ShuffleChannel", ["x"], ["y"], f"shuffle_channel_param {{ group: {group} }}")
    inputs = arrays({"x": (n, group * each, *spatial)}, seed)
    assert assert_layer_matches_caffe(text, inputs) == "matched"


def test_shuffle_interleaves_groups() -> None:
    x = np.arange(6, dtype=np.float32).reshape(1, 6, 1, 1)
    (y,) = forward(_text("ShuffleChannel", ["x"], ["y"], "shuffle_channel_param { group: 2 }"), {"x": x})
    assert y.ravel().tolist() == [0, 3, 1, 4, 2, 5]


@pytest.mark.parametrize("group", [0, 4])
def test_shuffle_refuses_groups_that_do_not_fit(group: int) -> None:
    layer = make_layer(
        layer_proto(_text("ShuffleChannel", ["x"], ["y"], f"shuffle_channel_param {{ group: {group} }}"))
    )
    with pytest.raises(ShapeError, match=f"6 channels cannot be split into {group} groups"):
        layer.top_shapes([(1, 6, 2, 2)])


def test_silence_leaves_no_output() -> None:
    net = Network.from_text("""
        layer { name: "i" type: "Input" top: "x" top: "label" input_param { shape { dim: 2 dim: 3 } } }
        layer { name: "quiet" type: "Silence" bottom: "label" }
        layer { name: "r" type: "ReLU" bottom: "x" top: "y" }""")
    assert net.outputs == ("y",)
    assert [n.op_type for n in to_onnx(net).graph.node] == ["Relu", "Identity"]


def _text(kind: str, bottoms: list[str], tops: list[str], rest: str) -> str:
    names = [f'bottom: "{b}"' for b in bottoms] + [f'top: "{t}"' for t in tops]
    return f'name: "j" type: "{kind}" {" ".join(names)} {rest}'
