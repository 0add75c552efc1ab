"""Reduction, ArgMax and Softmax."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import LoweringError
from tests.net.layers.draws import SEEDS, arrays, cases, shapes
from tests.net.layers.runs import forward
from tests.oracle import assert_layer_matches_caffe, requires_caffe


@requires_caffe
@cases(30)
@given(
    st.sampled_from(["SUM", "ASUM", "SUMSQ", "MEAN"]),
    shapes(1, 5),
    st.integers(-5, 4),
    st.sampled_from([1.0, -0.5]),
    SEEDS,
)
def test_reduction_matches_caffe(operation: str, shape: tuple[int, ...], axis: int, coeff: float, seed: int) -> None:
    text = _text("Reduction", f"reduction_param {{ operation: {operation} axis: {axis} coeff: {coeff} }}")
    status = assert_layer_matches_caffe(text, arrays({"x": shape}, seed, 0.2, 1))
    assert status == ("matched" if -len(shape) <= axis < len(shape) else "refused")


@requires_caffe
@cases(40)
@given(
    shapes(2, 4), st.integers(1, 6), st.sampled_from([None, None, 1, 2, 3, -1, 7]), st.booleans(), st.booleans(), SEEDS
)
def test_arg_max_matches_caffe(
    shape: tuple[int, ...], top_k: int, axis: int | None, values: bool, ties: bool, seed: int
) -> None:
    """With three different values only, the order of equal ones shows."""
    param = f"top_k: {top_k} out_max_val: {str(values).lower()}" + ("" if axis is None else f" axis: {axis}")
    inputs = arrays({"x": shape}, seed, steps=3 if ties else None)
    assert_layer_matches_caffe(_text("ArgMax", f"argmax_param {{ {param} }}"), inputs)


def test_a_large_top_k_has_no_onnx_form() -> None:
    with pytest.raises(LoweringError, match="top_k 300"):
        forward(_text("ArgMax", "argmax_param { top_k: 300 }"), arrays({"x": (2, 400)}, 0))


def test_arg_max_over_the_batch_runs_at_the_declared_batch() -> None:
    inputs = arrays({"x": (2, 3)}, 0)
    (found,) = forward(_text("ArgMax", "argmax_param { axis: 0 }"), inputs)
    np.testing.assert_array_equal(found, inputs["x"].argmax(0, keepdims=True))


@requires_caffe
@cases(20)
@given(shapes(1, 5), st.integers(-5, 4), st.sampled_from([1, 80]), SEEDS)
def test_softmax_matches_caffe(shape: tuple[int, ...], axis: int, reach: int, seed: int) -> None:
    text = _text("Softmax", f"softmax_param {{ axis: {axis} }}")
    status = assert_layer_matches_caffe(text, arrays({"x": shape}, seed, -reach, reach))
    assert status == ("matched" if -len(shape) <= axis < len(shape) else "refused")


def _text(kind: str, rest: str) -> str:
    return f'name: "r" type: "{kind}" bottom: "x" top: "y" {rest}'
