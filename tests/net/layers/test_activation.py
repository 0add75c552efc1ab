"""Activations, Power, Exp and Log."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import LoweringError, ShapeError
from caffezoo.net.layer import Affine
from caffezoo.net.registry import make_layer
from tests.net.layers.draws import SEEDS, arrays, cases, shapes
from tests.net.layers.runs import forward
from tests.oracle import assert_layer_matches_caffe, layer_proto, requires_caffe

COEFFICIENTS = st.sampled_from([-2.0, -1.0, -0.3, 0.0, 0.5, 1.0, 1.75])
BASES = st.sampled_from([-1.0, 0.5, 2.0, 10.0])


KINDS = {
    "ReLU": "relu_param { negative_slope: %g }",
    "ELU": "elu_param { alpha: %g }",
    "Swish": "swish_param { beta: %g }",
    "Threshold": "threshold_param { threshold: %g }",
    "Sigmoid": "",
    "TanH": "",
    "BNLL": "",
    "AbsVal": "",
}


@requires_caffe
@pytest.mark.parametrize("kind", KINDS)
@cases(5)
@given(COEFFICIENTS, shapes(1, 5), st.sampled_from([1, 30]), SEEDS)
def test_activation_matches_caffe(kind: str, value: float, shape: tuple[int, ...], reach: int, seed: int) -> None:
    text = _text(kind, KINDS[kind].replace("%g", str(value)))
    assert assert_layer_matches_caffe(text, arrays({"x": shape}, seed, -reach, reach)) == "matched"


@requires_caffe
@cases(20)
@given(COEFFICIENTS, COEFFICIENTS, st.booleans(), shapes(1, 5), SEEDS)
def test_clip_matches_caffe(low: float, high: float, crossed: bool, shape: tuple[int, ...], seed: int) -> None:
    low, high = (max(low, high), min(low, high)) if crossed else (min(low, high), max(low, high))
    text = _text("Clip", f"clip_param {{ min: {low} max: {high} }}")
    assert assert_layer_matches_caffe(text, arrays({"x": shape}, seed, -3, 3)) == "matched"


@requires_caffe
@cases(15)
@given(st.booleans(), shapes(), SEEDS)
def test_prelu_matches_caffe(shared: bool, shape: tuple[int, ...], seed: int) -> None:
    text = _text("PReLU", f"prelu_param {{ channel_shared: {str(shared).lower()} }}")
    assert assert_layer_matches_caffe(text, arrays({"x": shape}, seed)) == "matched"


@requires_caffe
@cases(25)
@given(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0]), COEFFICIENTS, COEFFICIENTS, shapes(1, 5), SEEDS)
def test_power_matches_caffe(power: float, scale: float, shift: float, shape: tuple[int, ...], seed: int) -> None:
    text = _text("Power", f"power_param {{ power: {power} scale: {scale} shift: {shift} }}")
    assert assert_layer_matches_caffe(text, arrays({"x": shape}, seed, 0.5, 4)) == "matched"


@requires_caffe
@cases(25)
@given(st.sampled_from(["Exp", "Log"]), BASES, COEFFICIENTS, COEFFICIENTS, shapes(1, 5), SEEDS)
def test_exp_and_log_match_caffe(
    kind: str, base: float, scale: float, shift: float, shape: tuple[int, ...], seed: int
) -> None:
    text = _text(kind, f"{kind.lower()}_param {{ base: {base} scale: {scale} shift: {shift} }}")
    assert assert_layer_matches_caffe(text, arrays({"x": shape}, seed, 0.5, 4)) == "matched"


@requires_caffe
@pytest.mark.parametrize(
    "text", ["exp_param { base: 0 }", "exp_param { base: -2 }", "log_param { base: 0 }", "log_param { base: 1 }"]
)
def test_bases_that_caffe_refuses_too(text: str) -> None:
    kind = "Exp" if text.startswith("exp") else "Log"
    assert assert_layer_matches_caffe(_text(kind, text), arrays({"x": (2, 3)}, 0, 1, 2)) == "refused"


@requires_caffe
def test_prelu_of_a_vector_is_refused_by_caffe_too() -> None:
    assert assert_layer_matches_caffe(_text("PReLU", ""), arrays({"x": (4,)}, 0)) == "refused"


@pytest.mark.parametrize("param", ["", "min: 0", "max: 6"])
def test_clip_takes_both_bounds(param: str) -> None:
    with pytest.raises(ShapeError, match="takes both min and max"):
        _layer("Clip", f"clip_param {{ {param} }}").top_shapes([(1, 2)])


def test_dropout_is_the_identity_at_test_only() -> None:
    x = arrays({"x": (2, 3)}, 0)
    np.testing.assert_array_equal(forward(_text("Dropout", ""), x)[0], x["x"])
    with pytest.raises(LoweringError, match="random"):
        forward(_text("Dropout", "phase: TRAIN"), x)


def test_softplus_is_stable() -> None:
    x = np.array([[-200.0, -90.0, 0.0, 90.0, 200.0]], np.float32)
    (found,) = forward(_text("BNLL", ""), {"x": x})
    np.testing.assert_allclose(found, [[0, 0, np.log(2), 90, 200]], rtol=1e-6, atol=1e-30)


def test_a_linear_power_is_a_map() -> None:
    layer = _layer("Power", "power_param { scale: 2 shift: -1 }")
    own = layer.affine([], 3)
    assert own.a.tolist() == [2, 2, 2]
    assert own.b.tolist() == [-1, -1, -1]
    assert _layer("Power", "power_param { power: 2 }").affine([], 3) is None
    uniform = layer.absorb_after([], Affine(np.full(3, 0.5), np.full(3, 4.0)))
    assert (uniform.proto.type, uniform.proto.power_param.scale, uniform.proto.power_param.shift) == ("Power", 1, 3.5)
    each = layer.absorb_before([], Affine(np.array([1.0, 2.0, 3.0]), np.zeros(3)))
    assert each.proto.type == "Scale"
    assert [b.tolist() for b in each.blobs] == [[2, 4, 6], [-1, -1, -1]]


def _text(kind: str, rest: str) -> str:
    return f'name: "a" type: "{kind}" bottom: "x" top: "y" {rest}'


def _layer(kind: str, rest: str) -> Any:
    return make_layer(layer_proto(_text(kind, rest)))
