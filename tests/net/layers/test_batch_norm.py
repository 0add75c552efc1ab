"""BatchNorm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.net.layer import Affine
from caffezoo.net.registry import make_layer
from tests.net.layers.draws import SEEDS, arrays, cases, shapes
from tests.net.layers.runs import forward
from tests.oracle import assert_layer_matches_caffe, layer_proto, requires_caffe


@requires_caffe
@cases(20)
@given(shapes(2, 5), st.sampled_from([0.0, 0.5, 1.0, 999.982]), st.sampled_from([1e-5, 1e-3]), st.booleans(), SEEDS)
def test_matches_caffe(shape: tuple[int, ...], factor: float, eps: float, fused: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    channels = shape[1]
    blobs = [rng.uniform(-1, 1, channels), rng.uniform(0.1, 2, channels), np.array([factor])]
    if fused:
        blobs += [rng.uniform(-1, 1, channels), rng.uniform(-1, 1, channels)]
    param = f"eps: {eps} scale_bias: {str(fused).lower()}"
    assert assert_layer_matches_caffe(_text(param), arrays({"x": shape}, seed), blobs) == "matched"


@requires_caffe
def test_a_vector_is_refused_by_caffe_too() -> None:
    assert assert_layer_matches_caffe(_text(""), arrays({"x": (4,)}, 0)) == "refused"


def test_batch_statistics_follow_the_formula() -> None:
    """The oracle's build does not compute them (it takes mean and variance as 0), so the formula judges."""
    x = arrays({"x": (3, 4, 5, 6)}, 0)
    (found,) = forward(_text("use_global_stats: false eps: 0.001"), x, [np.ones(4), np.ones(4), np.ones(1)])
    x64 = x["x"].astype(np.float64)
    mean, variance = x64.mean((0, 2, 3), keepdims=True), x64.var((0, 2, 3), keepdims=True)
    np.testing.assert_allclose(found, (x64 - mean) / np.sqrt(variance + 0.001), atol=1e-5)


def test_the_phase_decides_which_statistics_are_in_force() -> None:
    assert _layer("").uses_global_stats
    assert not _layer("", "phase: TRAIN").uses_global_stats
    assert _layer("use_global_stats: true", "phase: TRAIN").uses_global_stats
    assert _layer("use_global_stats: false").affine([], 3) is None


def test_the_factor_is_not_a_parameter() -> None:
    assert _layer("").parameter_count([(1, 8, 2, 2)]) == 16
    assert _layer("scale_bias: true").parameter_count([(1, 8, 2, 2)]) == 32


@pytest.mark.parametrize("param", ["", "scale_bias: true eps: 0.01"])
def test_folding_makes_a_scale_layer(param: str) -> None:
    rng = np.random.default_rng(0)
    layer, x = _layer(param), arrays({"x": (2, 4, 3, 3)}, 0)
    blobs = [rng.uniform(0.5, 1.5, s).astype(np.float32) for s in layer.blob_shapes([(2, 4, 3, 3)])]
    (y,) = forward(layer.proto, x, blobs)
    map_ = Affine(rng.normal(size=4), rng.normal(size=4))
    a, b = map_.a.reshape(-1, 1, 1), map_.b.reshape(-1, 1, 1)
    after, before = layer.absorb_after(blobs, map_), layer.absorb_before(blobs, map_)
    assert after.proto.type == before.proto.type == "Scale"
    np.testing.assert_allclose(forward(after.proto, x, after.blobs)[0], y * a + b, atol=1e-5)
    (wanted,) = forward(layer.proto, {"x": (x["x"] * a + b).astype(np.float32)}, blobs)
    np.testing.assert_allclose(forward(before.proto, x, before.blobs)[0], wanted, atol=1e-5)
    own = layer.affine(blobs, 4)
    np.testing.assert_allclose(x["x"] * own.a.reshape(-1, 1, 1) + own.b.reshape(-1, 1, 1), y, atol=1e-5)


def _text(param: str, rest: str = "") -> str:
    return f'name: "bn" type: "BatchNorm" bottom: "x" top: "y" batch_norm_param {{ {param} }} {rest}'


def _layer(param: str, rest: str = "") -> Any:
    return make_layer(layer_proto(_text(param, rest)))
