"""LRN, MVN and Normalize."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import ShapeError
from caffezoo.net.registry import make_layer
from tests.net.layers.draws import BATCHES, SEEDS, arrays, cases, shapes
from tests.net.layers.opencv_runs import engine_outputs, network_of
from tests.net.layers.runs import forward
from tests.opencv_oracle import opencv_outputs, requires_opencv
from tests.oracle import assert_layer_matches_caffe, layer_proto, requires_caffe

SIZES = st.tuples(BATCHES, st.integers(1, 12), st.integers(1, 12), st.integers(1, 12))


@requires_caffe
@cases(40)
@given(
    SIZES,
    st.sampled_from([1, 3, 5, 7]),
    st.sampled_from([1e-4, 0.5, 2.0]),
    st.sampled_from([0.5, 0.75, 1.0, 1.3]),
    st.sampled_from([1.0, 2.0, 0.3]),
    st.sampled_from(["ACROSS_CHANNELS", "WITHIN_CHANNEL"]),
    SEEDS,
)
def test_lrn_matches_caffe(
    shape: tuple[int, ...], n: int, alpha: float, beta: float, k: float, region: str, seed: int
) -> None:
    param = f"local_size: {n} alpha: {alpha} beta: {beta} k: {k} norm_region: {region}"
    text = _text("LRN", f"lrn_param {{ {param} }}")
    assert assert_layer_matches_caffe(text, arrays({"x": shape}, seed, -3, 3)) == "matched"


@requires_caffe
@pytest.mark.parametrize(("param", "shape"), [("local_size: 4", (2, 3, 4, 4)), ("", (2, 3, 4))])
def test_lrns_that_caffe_refuses_too(param: str, shape: tuple[int, ...]) -> None:
    text = _text("LRN", f"lrn_param {{ {param} }}")
    assert assert_layer_matches_caffe(text, arrays({"x": shape}, 0)) == "refused"


@requires_caffe
@cases(30)
@given(shapes(1, 4), st.booleans(), st.booleans(), st.sampled_from([1e-9, 0.01, 1.0]), SEEDS)
def test_mvn_matches_caffe(shape: tuple[int, ...], across: bool, variance: bool, eps: float, seed: int) -> None:
    """With two values or more to a mean; of a single value nothing is left but rounding."""
    text = f"across_channels: {across} normalize_variance: {variance} eps: {eps}".lower()
    axes = shape[1:] if across else shape[2:]
    if int(np.prod(axes)) < 2 and variance:
        return
    text = _text("MVN", f"mvn_param {{ {text} }}")
    assert assert_layer_matches_caffe(text, arrays({"x": shape}, seed), tol=2e-4) == "matched"


@requires_caffe
@cases(20)
@given(shapes(), st.booleans(), st.booleans(), SEEDS)
def test_normalize_matches_its_plain_form(shape: tuple[int, ...], spatial: bool, shared: bool, seed: int) -> None:
    text = _text("Normalize", f"norm_param {{ across_spatial: {spatial} channel_shared: {shared} }}".lower())
    assert assert_layer_matches_caffe(text, arrays({"x": shape}, seed)) == "matched"


@pytest.mark.parametrize(("spatial", "axes"), [("true", (1, 2, 3)), ("false", (1,))])
def test_normalize_follows_the_formula(spatial: str, axes: tuple[int, ...]) -> None:
    x = arrays({"x": (2, 5, 3, 4)}, 0)
    text = _text("Normalize", f"norm_param {{ across_spatial: {spatial} channel_shared: false eps: 0.1 }}")
    gamma = np.arange(1, 6, dtype=np.float32)
    (found,) = forward(text, x, [gamma])
    norm = np.sqrt((x["x"].astype(np.float64) ** 2).sum(axes, keepdims=True) + 0.1)
    np.testing.assert_allclose(found, x["x"] / norm * gamma.reshape(-1, 1, 1), atol=1e-6)


@pytest.mark.parametrize(("kind", "shape"), [("MVN", (1, 2, 3, 4, 5)), ("Normalize", (3,)), ("LRN", (2, 3))])
def test_other_ranks_are_refused(kind: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="takes a blob with"):
        make_layer(layer_proto(_text(kind, ""))).top_shapes([shape])


def _text(kind: str, rest: str) -> str:
    return f'name: "n" type: "{kind}" bottom: "x" top: "y" {rest}'


@requires_opencv
def test_opencv_takes_an_lrns_k_for_one() -> None:
    """Why ``tools/public_networks.py`` lets OpenCV judge no network with an LRN of another k."""
    x = np.random.default_rng(5).uniform(-3, 3, (2, 6, 3, 4)).astype(np.float32)

    def texts(k: int) -> str:
        return f'name: "y" type: "LRN" bottom: "x" top: "y" lrn_param {{ local_size: 5 alpha: 0.9 k: {k} }}'

    opencv = {k: opencv_outputs(network_of(texts(k), {"x": x}), {"x": x}, ["y"])["y"] for k in (1, 2)}
    np.testing.assert_array_equal(opencv[2], opencv[1])
    ours = {k: engine_outputs(network_of(texts(k), {"x": x}), {"x": x})["y"] for k in (1, 2)}
    np.testing.assert_allclose(opencv[2], ours[1], rtol=1e-4, atol=1e-6)
    assert abs(opencv[2] - ours[2]).max() > 0.1
