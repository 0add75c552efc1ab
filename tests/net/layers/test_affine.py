"""Scale and Bias, with one and two bottoms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import ShapeError
from caffezoo.net.layer import Affine
from caffezoo.net.registry import make_layer
from tests.net.layers.draws import SEEDS, arrays, cases, shapes
from tests.net.layers.runs import forward
from tests.oracle import assert_layer_matches_caffe, layer_proto, requires_caffe

KINDS = st.sampled_from(["Scale", "Bias"])


@requires_caffe
@cases(30)
@given(KINDS, shapes(), st.integers(-3, 3), st.integers(-1, 3), st.booleans(), SEEDS)
def test_learned_operand_matches_caffe(
    kind: str, shape: tuple[int, ...], axis: int, num_axes: int, bias: bool, seed: int
) -> None:
    axis = axis if axis % len(shape) or num_axes == 0 else 1
    param = f"axis: {axis} num_axes: {num_axes}" + (f" bias_term: {str(bias).lower()}" if kind == "Scale" else "")
    assert_layer_matches_caffe(_text(kind, param), arrays({"x": shape}, seed))


@requires_caffe
@cases(30)
@given(KINDS, shapes(), st.integers(0, 3), st.integers(1, 4), st.booleans(), SEEDS)
def test_second_bottom_matches_caffe(
    kind: str, shape: tuple[int, ...], axis: int, count: int, bias: bool, seed: int
) -> None:
    axis = axis % len(shape)
    operand = shape[axis : axis + count]
    param = f"axis: {axis}" + (f" bias_term: {str(bias).lower()}" if kind == "Scale" else "")
    inputs = arrays({"x": shape, "s": operand}, seed)
    assert assert_layer_matches_caffe(_text(kind, param, "s"), inputs, batch_free=axis == 0) == "matched"


REFUSED = {
    "axis out of range": ("axis: 4", [(2, 3, 4, 5)]),
    "too many axes": ("axis: 2 num_axes: 3", [(2, 3, 4, 5)]),
    "num_axes below -1": ("num_axes: -2", [(2, 3, 4, 5)]),
    "second bottom too long": ("axis: 3", [(2, 3, 4, 5), (5, 1)]),
    "second bottom of another size": ("axis: 1", [(2, 3, 4, 5), (4,)]),
}


@requires_caffe
@pytest.mark.parametrize("kind", ["Scale", "Bias"])
@pytest.mark.parametrize("name", REFUSED)
def test_caffe_refuses_too(name: str, kind: str) -> None:
    param, bottoms = REFUSED[name]
    inputs = arrays(dict(zip("xs", bottoms, strict=False)), 0)
    assert assert_layer_matches_caffe(_text(kind, param, *list(inputs)[1:]), inputs) == "refused"


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_names_the_layer(name: str) -> None:
    param, bottoms = REFUSED[name]
    with pytest.raises(ShapeError, match=r"layer 's' \(Scale\)"):
        _layer("Scale", param, *("s" for _ in bottoms[1:])).top_shapes(bottoms)


def test_a_learned_operand_over_the_batch_runs_at_the_declared_batch() -> None:
    inputs = arrays({"x": (2, 3)}, 0)
    (found,) = forward(_text("Scale", "axis: 0"), inputs, [np.array([2, -1], np.float32)])
    np.testing.assert_allclose(found, inputs["x"] * [[2], [-1]], rtol=1e-6)


@given(shapes(), st.booleans())
def test_parameters_follow_the_formula(shape: tuple[int, ...], bias: bool) -> None:
    layer = _layer("Scale", f"num_axes: -1 bias_term: {str(bias).lower()}")
    assert layer.parameter_count([shape]) == math.prod(shape[1:]) * (1 + bias)
    assert layer.macs([shape], [shape]) == 0


@pytest.mark.parametrize(
    ("kind", "param"), [("Scale", "bias_term: true"), ("Scale", ""), ("Scale", "num_axes: 0"), ("Bias", "")]
)
def test_maps_are_absorbed(kind: str, param: str) -> None:
    rng = np.random.default_rng(0)
    layer, x = _layer(kind, param), arrays({"x": (2, 4, 3, 3)}, 0)
    blobs = [rng.normal(size=s).astype(np.float32) for s in layer.blob_shapes([(2, 4, 3, 3)])]
    (y,) = forward(layer.proto, x, blobs)
    map_ = Affine(rng.normal(size=4), rng.normal(size=4))
    a, b = map_.a.reshape(-1, 1, 1), map_.b.reshape(-1, 1, 1)
    after, before, own = layer.absorb_after(blobs, map_), layer.absorb_before(blobs, map_), layer.affine(blobs, 4)
    np.testing.assert_allclose(forward(after.proto, x, after.blobs)[0], y * a + b, atol=1e-5)
    (wanted,) = forward(layer.proto, {"x": (x["x"] * a + b).astype(np.float32)}, blobs)
    np.testing.assert_allclose(forward(before.proto, x, before.blobs)[0], wanted, atol=1e-5)
    np.testing.assert_allclose(x["x"] * own.a.reshape(-1, 1, 1) + own.b.reshape(-1, 1, 1), y, atol=1e-5)


def test_a_gate_is_never_a_map() -> None:
    assert _layer("Scale", "axis: 0", "s").affine([], 4) is None
    assert _layer("Scale", "axis: 2").affine([np.ones(4)], 4) is None


def _text(kind: str, param: str, *more: str) -> str:
    bottoms = " ".join(f'bottom: "{b}"' for b in ("x", *more))
    return f'name: "s" type: "{kind}" {bottoms} top: "y" {kind.lower()}_param {{ {param} }}'


def _layer(kind: str, param: str, *more: str) -> Any:
    return make_layer(layer_proto(_text(kind, param, *more)))
