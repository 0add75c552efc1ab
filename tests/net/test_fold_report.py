"""What folding does to the numbers, and which mistake a folding tool has made."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.errors import BindingError
from caffezoo.net.fold_report import MISTAKES, compare_merged, rounding
from caffezoo.net.folding import fold
from caffezoo.net.graph import Network

NET = """
input: "data" input_shape { dim: 1 dim: 3 dim: 5 dim: 5 }
layer { name: "one" type: "Convolution" bottom: "data" top: "one" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "one/bn" type: "BatchNorm" bottom: "one" top: "one" batch_norm_param { eps: 1e-4 } }
layer { name: "one/scale" type: "Scale" bottom: "one" top: "one" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "one" top: "one" }
layer { name: "two" type: "InnerProduct" bottom: "one" top: "two" inner_product_param { num_output: 2 } }
"""


@pytest.fixture
def network() -> Network:
    net = Network.from_text(NET)
    draw = np.random.default_rng(5)
    weights = {n.name: [draw.normal(size=s).astype(np.float32) for s in n.blob_shapes] for n in net.nodes}
    mean, variance, _ = weights["one/bn"]
    weights["one/bn"] = [mean * 7, abs(variance) * 7e-3, np.full(1, 7, np.float32)]
    return net.with_weights(weights)


def test_float32_lies_within_its_rounding_of_float64(network: Network) -> None:
    (delta,) = rounding(network, fold(network))
    assert delta.layer == "one"
    assert 0 < delta.relative <= 2.0**-24


def test_our_own_folding_agrees(network: Network) -> None:
    layers = compare_merged(network, fold(network).network.weights)
    assert [(layer.delta.layer, layer.delta.relative, layer.cause) for layer in layers] == [
        ("one", 0, ""),
        ("two", 0, ""),
    ]


@pytest.mark.parametrize("mistake", [name for name in MISTAKES if name not in ("epsilon is 1e-5", "epsilon is 0")])
def test_a_mistake_is_named(network: Network, mistake: str) -> None:
    wrong = fold(MISTAKES[mistake](network)).network.weights
    first, second = compare_merged(network, wrong)
    if mistake == "the convolution's own bias is left out":
        assert (first.cause, second.cause) == (mistake, mistake)
    else:
        assert (first.cause, second.cause) == (mistake, "")


def test_a_bias_that_was_not_written(network: Network) -> None:
    weights = dict(fold(network).network.weights)
    weights["one"] = weights["one"][:1]
    assert compare_merged(network, weights)[0].cause == "the bias is missing"


def test_noise_is_no_known_mistake(network: Network) -> None:
    weights = dict(fold(network).network.weights)
    weights["one"] = (weights["one"][0] * np.float32(1.01), weights["one"][1])
    assert compare_merged(network, weights)[0].cause == "no known mistake gives these values"


def test_what_cannot_be_compared(network: Network) -> None:
    weights = dict(fold(network).network.weights)
    with pytest.raises(BindingError, match=r"'two' \(InnerProduct\): is not among the folded weights"):
        compare_merged(network, {"one": weights["one"]})
    with pytest.raises(BindingError, match="has "):
        compare_merged(network, {**weights, "one": [np.ones(3, np.float32)] * 2})
