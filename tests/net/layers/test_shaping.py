"""Flatten, Reshape, Permute, Crop and Tile."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import LoweringError, NetworkError, ShapeError
from caffezoo.net.graph import Network
from caffezoo.net.registry import make_layer
from tests.net.layers.draws import arrays, cases, shapes
from tests.net.layers.runs import forward
from tests.oracle import assert_layer_matches_caffe, layer_proto, requires_caffe


@requires_caffe
@cases(30)
@given(shapes(3, 5), st.integers(-4, 3), st.integers(-3, 4))
def test_flatten_matches_caffe(shape: tuple[int, ...], axis: int, end: int) -> None:
    text = _text("Flatten", f"flatten_param {{ axis: {axis} end_axis: {end} }}")
    assert_layer_matches_caffe(text, arrays({"x": shape}, 0))


@st.composite
def reshapes(draw: st.DrawFn) -> tuple[str, tuple[int, ...]]:
    """Draw a reshape_param and the shape of a bottom, each dim kept, copied, inferred, regrouped or wrong."""
    shape = draw(shapes(1, 4, high=6))
    start = draw(st.integers(0, len(shape)))
    count = draw(st.integers(0, len(shape) - start))
    region = list(shape[start : start + count])
    form = draw(st.sampled_from(["keep", "join", "split", "ones", "wrong"]))
    if form == "join" and len(region) > 1:
        region = [math.prod(region)]
    elif form == "split" and region:
        last = region.pop()
        region += [last // 2, 2] if last % 2 == 0 else [1, last]
    elif form == "ones":
        region = [*region, 1]
    elif form == "wrong" and region:
        region[-1] += 1
    dims = [draw(st.sampled_from([d, d, 0])) if start + i < len(shape) else d for i, d in enumerate(region)]
    if dims and draw(st.booleans()):
        dims[draw(st.integers(0, len(dims) - 1))] = -1
    axis = start if draw(st.booleans()) else start - len(shape) - 1
    to_end = start + count == len(shape) and draw(st.booleans())
    text = " ".join(f"dim: {d}" for d in dims)
    return f"shape {{ {text} }} axis: {axis} num_axes: {-1 if to_end else count}", shape


@requires_caffe
@cases(50)
@given(reshapes())
def test_reshape_matches_caffe(drawn: tuple[str, tuple[int, ...]]) -> None:
    """At the bottom's own batch: a dim may give the batch as a number, and then only that batch fits."""
    param, shape = drawn
    assert_layer_matches_caffe(
        _text("Reshape", f"reshape_param {{ {param} }}"), arrays({"x": shape}, 0), batch_free=False
    )


@requires_caffe
@pytest.mark.parametrize(
    ("param", "shape"),
    [
        ("shape { dim: 0 dim: -1 }", (3, 4, 5)),
        ("shape { dim: -1 dim: 5 }", (3, 4, 5)),
        ("shape { dim: 2 dim: -1 } axis: 1 num_axes: 1", (3, 4, 5)),
        ("shape { dim: 1 } axis: -1", (3, 4)),
        ("shape { dim: 1 } axis: 0 num_axes: 0", (3, 4)),
        ("shape { dim: 0 dim: 0 }", (3, 4, 1, 1)),
    ],
)
def test_reshape_leaves_the_batch_free(param: str, shape: tuple[int, ...]) -> None:
    assert assert_layer_matches_caffe(_text("Reshape", f"reshape_param {{ {param} }}"), arrays({"x": shape}, 0)) == (
        "matched"
    )


@requires_caffe
@pytest.mark.parametrize(
    "param",
    [
        "shape { dim: -1 dim: -1 }",
        "shape { dim: 0 dim: 0 dim: 0 dim: 0 }",
        "shape { dim: 7 dim: -1 }",
        "shape { dim: 6 dim: 5 }",
        "shape { dim: 24 } num_axes: -2",
        "shape { dim: 24 } axis: 1 num_axes: 3",
        "shape { dim: 24 } axis: 4",
        "shape { dim: 24 } axis: -5",
    ],
)
def test_reshapes_that_caffe_refuses_too(param: str) -> None:
    text = _text("Reshape", f"reshape_param {{ {param} }}")
    assert assert_layer_matches_caffe(text, arrays({"x": (2, 3, 4)}, 0)) == "refused"


@requires_caffe
@cases(20)
@given(shapes(2, 5, high=5), st.permutations(range(5)), st.integers(1, 5))
def test_permute_matches_caffe(shape: tuple[int, ...], axes: list[int], count: int) -> None:
    """Through the plain form too: Slice, Reshape and Concat."""
    order = [i for i in axes if i < len(shape)][:count]
    text = _text("Permute", "permute_param { " + " ".join(f"order: {i}" for i in order) + " }")
    assert assert_layer_matches_caffe(text, arrays({"x": shape}, 0), batch_free=order[0] == 0) == "matched"


def test_permute_refuses() -> None:
    with pytest.raises(ShapeError, match="names an axis that"):
        _layer("Permute", "permute_param { order: 3 }").top_shapes([(1, 2, 3)])
    with pytest.raises(ShapeError, match="names an axis twice"):
        _layer("Permute", "permute_param { order: 1 order: 1 }").top_shapes([(1, 2, 3)])
    with pytest.raises(LoweringError, match="1000 slices"):
        _layer("Permute", "permute_param { order: 0 order: 2 order: 1 }").plain([(1, 3, 1000)])


@st.composite
def crops(draw: st.DrawFn) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """Draw a crop_param and both bottoms."""
    x = draw(shapes(2, 4, high=8))
    axis = draw(st.integers(1, len(x) - 1))
    count = draw(st.sampled_from([0, 1, len(x) - axis, len(x) - axis, 2]))
    offsets = [draw(st.integers(0, 3)) for _ in range(count)]
    reference = [draw(st.integers(1, d)) for d in x]
    for i in range(axis, len(x)):
        offset = offsets[0] if count == 1 else offsets[i - axis] if i - axis < count else 0
        reference[i] = max(1, min(reference[i], x[i] - offset))
    axis = axis if draw(st.booleans()) else axis - len(x)
    return f"axis: {axis} " + " ".join(f"offset: {o}" for o in offsets), x, (x[0], *reference[1:])


@requires_caffe
@cases(30)
@given(crops())
def test_crop_matches_caffe(drawn: tuple[str, tuple[int, ...], tuple[int, ...]]) -> None:
    param, x, reference = drawn
    text = f'name: "s" type: "Crop" bottom: "x" bottom: "r" top: "y" crop_param {{ {param} }}'
    assert_layer_matches_caffe(text, arrays({"x": x, "r": reference}, 0))


@requires_caffe
@cases(15)
@given(shapes(1, 4), st.integers(-3, 3), st.integers(0, 3))
def test_tile_matches_caffe(shape: tuple[int, ...], axis: int, tiles: int) -> None:
    text = _text("Tile", f"tile_param {{ axis: {axis} tiles: {tiles} }}")
    assert_layer_matches_caffe(text, arrays({"x": shape}, 0))


@pytest.mark.parametrize("kind", ["Flatten", "Reshape"])
def test_in_place_is_refused(kind: str) -> None:
    text = f"""
        layer {{ name: "i" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 6 }} }} }}
        layer {{ name: "s" type: "{kind}" bottom: "x" top: "x" reshape_param {{ shape {{ dim: 0 dim: 6 }} }} }}"""
    with pytest.raises(NetworkError, match="in place"):
        Network.from_text(text)


def test_flatten_over_the_batch_keeps_it_free() -> None:
    x = arrays({"x": (2, 3, 4)}, 0)
    (y,) = forward(_text("Flatten", "flatten_param { axis: 0 end_axis: 1 }"), x)
    np.testing.assert_array_equal(y, x["x"].reshape(6, 4))


def _text(kind: str, rest: str) -> str:
    return f'name: "s" type: "{kind}" bottom: "x" top: "y" {rest}'


def _layer(kind: str, rest: str) -> Any:
    return make_layer(layer_proto(_text(kind, rest)))
