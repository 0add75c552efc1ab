"""InnerProduct."""

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


@requires_caffe
@cases(25)
@given(shapes(), st.integers(1, 9), st.booleans(), st.booleans(), st.integers(-4, 3), SEEDS)
def test_matches_caffe(shape: tuple[int, ...], n: int, transpose: bool, bias: bool, axis: int, seed: int) -> None:
    axis = axis if axis % len(shape) else 1
    param = f"num_output: {n} axis: {axis} transpose: {str(transpose).lower()} bias_term: {str(bias).lower()}"
    assert_layer_matches_caffe(_text(param), arrays({"x": shape}, seed))


def test_an_axis_out_of_range_and_no_outputs_are_refused() -> None:
    with pytest.raises(ShapeError, match="axis 2 is out of range"):
        _layer("num_output: 3 axis: 2").top_shapes([(2, 3)])
    with pytest.raises(ShapeError, match="num_output must be positive"):
        _layer("").top_shapes([(2, 3)])


def test_a_product_over_the_batch_axis_runs_at_the_declared_batch() -> None:
    inputs, (weight, bias) = (
        arrays({"x": (2, 3)}, 0),
        (np.float32(np.arange(18).reshape(3, 6) / 8), np.ones(3, np.float32)),
    )
    (found,) = forward(_text("num_output: 3 axis: 0"), inputs, [weight, bias])
    np.testing.assert_allclose(found, weight @ inputs["x"].ravel() + bias, rtol=1e-5)


@given(shapes(), st.integers(1, 9))
def test_macs_and_parameters_follow_the_formula(shape: tuple[int, ...], n: int) -> None:
    layer, k = _layer(f"num_output: {n}"), math.prod(shape[1:])
    assert layer.macs([shape], layer.top_shapes([shape])) == shape[0] * k * n
    assert layer.parameter_count([shape]) == n * k + n


@pytest.mark.parametrize("param", ["num_output: 3", "num_output: 3 transpose: true bias_term: false"])
@pytest.mark.parametrize("before", [False, True])
def test_maps_are_absorbed(param: str, before: bool) -> None:
    rng = np.random.default_rng(0)
    layer, x = _layer(param), arrays({"x": (2, 4, 3, 2)}, 0)
    blobs = [rng.normal(size=s).astype(np.float32) for s in layer.blob_shapes([(2, 4, 3, 2)])]
    map_ = Affine(rng.normal(size=4 if before else 3), rng.normal(size=4 if before else 3))
    if before:
        mapped = {"x": x["x"] * map_.a.reshape(-1, 1, 1) + map_.b.reshape(-1, 1, 1)}
        (wanted,) = forward(layer.proto, {k: v.astype(np.float32) for k, v in mapped.items()}, blobs)
        folded = layer.absorb_before(blobs, map_)
    else:
        wanted = forward(layer.proto, x, blobs)[0] * map_.a + map_.b
        folded = layer.absorb_after(blobs, map_)
    assert folded is not None
    (found,) = forward(folded.proto, x, folded.blobs)
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def _text(param: str) -> str:
    return f'name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param {{ {param} }}'


def _layer(param: str) -> Any:
    return make_layer(layer_proto(_text(param)))
