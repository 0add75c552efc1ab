"""Eltwise and Axpy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import ShapeError
from caffezoo.net.registry import make_layer
from tests.net.layers.draws import BATCHES, SEEDS, arrays, cases, shapes
from tests.oracle import assert_layer_matches_caffe, layer_proto, requires_caffe

COEFFICIENTS = st.lists(st.sampled_from([-1.5, 0.0, 0.5, 1.0]), max_size=4)


@requires_caffe
@cases(30)
@given(st.sampled_from(["SUM", "PROD", "MAX"]), COEFFICIENTS, st.integers(2, 4), shapes(1, 5), SEEDS)
def test_eltwise_matches_caffe(
    operation: str, coefficients: list[float], count: int, shape: tuple[int, ...], seed: int
) -> None:
    names = [f"x{i}" for i in range(count)]
    coeff = " ".join(f"coeff: {c}" for c in coefficients)
    text = _text("Eltwise", names, f"eltwise_param {{ operation: {operation} {coeff} }}")
    status = assert_layer_matches_caffe(text, arrays(dict.fromkeys(names, shape), seed))
    fits = len(coefficients) in (0, count) and not (operation == "PROD" and coefficients)
    assert status == ("matched" if fits else "refused")


@requires_caffe
def test_caffe_refuses_other_shapes_too() -> None:
    text = _text("Eltwise", ["a", "b"], "")
    assert assert_layer_matches_caffe(text, arrays({"a": (2, 3), "b": (2, 1)}, 0)) == "refused"


@requires_caffe
@cases(15)
@given(BATCHES, st.integers(1, 9), st.integers(1, 20), st.integers(1, 20), st.booleans(), SEEDS)
def test_axpy_matches_caffe(n: int, c: int, h: int, w: int, flat: bool, seed: int) -> None:
    inputs = arrays({"a": (n, c) if flat else (n, c, 1, 1), "x": (n, c, h, w), "y": (n, c, h, w)}, seed)
    assert assert_layer_matches_caffe(_text("Axpy", ["a", "x", "y"], ""), inputs) == "matched"


@pytest.mark.parametrize(
    ("gate", "x", "y"),
    [
        ((2, 3), (2, 3, 4, 4), (2, 3, 4, 5)),
        ((2, 1), (2, 3, 4, 4), (2, 3, 4, 4)),
        ((2, 3, 4, 4), (2, 3, 4, 4), (2, 3, 4, 4)),
        ((2,), (2, 3, 4, 4), (2, 3, 4, 4)),
    ],
)
def test_axpy_refuses(gate: tuple[int, ...], x: tuple[int, ...], y: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"layer 'e' \(Axpy\)"):
        make_layer(layer_proto(_text("Axpy", ["a", "x", "y"], ""))).top_shapes([gate, x, y])


def test_axpy_takes_three_bottoms() -> None:
    with pytest.raises(ShapeError, match=r"takes 3 bottom\(s\), has 2"):
        make_layer(layer_proto(_text("Axpy", ["a", "x"], "")))


def _text(kind: str, bottoms: list[str], rest: str) -> str:
    names = " ".join(f'bottom: "{b}"' for b in bottoms)
    return f'name: "e" type: "{kind}" {names} top: "top" {rest}'
