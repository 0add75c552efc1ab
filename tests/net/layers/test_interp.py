"""Interp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import ShapeError
from caffezoo.net.layers.interp import interpolation_matrix
from caffezoo.net.registry import make_layer
from tests.net.layers.draws import BATCHES, SEEDS, arrays, cases
from tests.net.layers.runs import forward
from tests.oracle import assert_layer_matches_caffe, layer_proto, requires_caffe

SIZES = st.tuples(BATCHES, st.integers(1, 3), st.integers(2, 15), st.integers(2, 15))


@requires_caffe
@cases(20)
@given(SIZES, st.integers(1, 20), st.integers(1, 20), st.integers(-1, 0), SEEDS)
def test_matches_its_plain_form(shape: tuple[int, ...], height: int, width: int, pad: int, seed: int) -> None:
    text = _text(f"height: {height} width: {width} pad_beg: {pad}")
    assert assert_layer_matches_caffe(text, arrays({"x": shape}, seed)) == "matched"


@cases(30)
@given(SIZES, st.integers(1, 20), st.integers(1, 20))
def test_interpolates_along_lines(shape: tuple[int, ...], height: int, width: int) -> None:
    """Aligned corners, against numpy's own linear interpolation."""
    x = arrays({"x": shape}, 0)
    (found,) = forward(_text(f"height: {height} width: {width}"), x)
    wanted = x["x"].astype(np.float64)
    for axis, size in ((2, height), (3, width)):
        n = shape[axis]
        places = np.linspace(0, n - 1, size) if size > 1 else np.zeros(1)
        wanted = np.apply_along_axis(lambda line, p=places, n=n: np.interp(p, np.arange(n), line), axis, wanted)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("param", "size"),
    [
        ("zoom_factor: 3", (19, 25)),
        ("shrink_factor: 2", (4, 5)),
        ("shrink_factor: 2 zoom_factor: 4", (13, 17)),
        ("zoom_factor: 2 pad_beg: -1 pad_end: -1", (9, 13)),
        ("height: 5 width: 6", (5, 6)),
    ],
)
def test_sizes(param: str, size: tuple[int, int]) -> None:
    assert _layer(param).top_shapes([(1, 2, 7, 9)]) == [(1, 2, *size)]


def test_a_second_bottom_gives_the_size() -> None:
    text = 'name: "i" type: "Interp" bottom: "x" bottom: "r" top: "y" interp_param { use_blob_size: true }'
    assert make_layer(layer_proto(text)).top_shapes([(1, 2, 7, 9), (1, 5, 3, 4)]) == [(1, 2, 3, 4)]


@pytest.mark.parametrize(
    "param",
    [
        "",
        "height: 4",
        "height: 4 width: 0",
        "pad_beg: 1 height: 4 width: 4",
        "pad_end: -7 height: 4 width: 4",
        "zoom_factor: 0",
        "use_blob_size: true",
    ],
)
def test_refuses(param: str) -> None:
    with pytest.raises(ShapeError, match=r"layer 'i' \(Interp\)"):
        _layer(param).top_shapes([(1, 2, 7, 9)])


@given(st.integers(1, 30), st.integers(1, 30))
def test_weights_of_a_pixel_add_up_to_one(size: int, out: int) -> None:
    np.testing.assert_allclose(interpolation_matrix(size, 0, size, out).sum(1), 1, rtol=1e-6)


def _text(param: str) -> str:
    return f'name: "i" type: "Interp" bottom: "x" top: "y" interp_param {{ {param} }}'


def _layer(param: str):  # type: ignore[no-untyped-def]
    return make_layer(layer_proto(_text(param)))
