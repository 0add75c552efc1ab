"""What an engine runs at each precision, and that float16-all is float16 between all layers."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.engines.program import PRECISIONS, network_to_run
from caffezoo.engines.registry import create_engine
from caffezoo.errors import PrecisionError
from caffezoo.net.graph import Network

NET = """
input: "data" input_shape { dim: 2 dim: 3 dim: 5 dim: 5 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 1 } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
layer { name: "relu" type: "ReLU" bottom: "bn" top: "out" }
"""


@pytest.fixture
def network() -> Network:
    net = Network.from_text(NET)
    draw = np.random.default_rng(1)
    weights = {n.name: [draw.normal(size=s).astype(np.float32) for s in n.blob_shapes] for n in net.nodes}
    mean, variance, _ = weights["bn"]
    weights["bn"] = [mean * 999, (abs(variance) + 0.1) * 999, np.full(1, 999, np.float32)]
    return net.with_weights(weights)


def inputs() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(2, 3, 5, 5)).astype(np.float32)


def half(x: np.ndarray) -> np.ndarray:
    return np.asarray(x).astype(np.float16)


def types(network: Network) -> list[str]:
    return [node.layer.type for node in network.nodes if not node.layer.is_input]


def test_what_is_lowered(network: Network) -> None:
    for precision in ("float32", "float16", "bfloat16"):
        assert types(network_to_run(network, ("out",), precision)) == ["Convolution", "ReLU"]
    assert types(network_to_run(network, ("bn",), "float32")) == ["Convolution", "BatchNorm", "ReLU"]
    assert types(network_to_run(network, ("out",), "float16-all")) == ["Convolution", "BatchNorm", "ReLU"]
    stored = network_to_run(network, ("out",), "float16-storage")
    exact = network_to_run(network, ("out",), "float32")
    for rounded, whole in zip(stored.weights["conv"], exact.weights["conv"], strict=True):
        np.testing.assert_array_equal(rounded, half(whole).astype(np.float32))


def test_storage_computes_in_float32(network: Network) -> None:
    with (
        create_engine("openvino", network, batch_size=2, precision="float16-storage") as stored,
        create_engine("openvino", network_to_run(network, ("out",), "float16-storage"), batch_size=2) as plain,
    ):
        assert stored.precision == "float16-storage"
        np.testing.assert_array_equal(stored.run(inputs())["out"], plain.run(inputs())["out"])


def test_everything_in_float16_against_numpy(network: Network) -> None:
    pytest.importorskip("torch")
    with create_engine("torch", network, batch_size=2, precision="float16-all", outputs=["bn", "out"]) as engine:
        found = engine.run(inputs())
        assert engine.precision == "float16-all"
    weight, bias = (half(b) for b in network.weights["conv"])
    mean, variance = (half(b / 999) for b in network.weights["bn"][:2])
    x = half(inputs()).astype(np.float64)
    conv = np.einsum("oi,nihw->nohw", weight[:, :, 0, 0].astype(np.float64), x) + bias.astype(np.float64)[:, None, None]
    conv = half(conv).astype(np.float64)
    line = (1, -1, 1, 1)
    norm = (conv - mean.astype(np.float64).reshape(line)) / np.sqrt(variance.astype(np.float64).reshape(line) + 1e-5)
    # A sum in float32 may fall on the other side of a half-way point than one in float64: one place at most.
    np.testing.assert_array_max_ulp(half(found["bn"]), half(norm), maxulp=1)
    assert (half(found["bn"]) == half(norm)).mean() > 0.95
    np.testing.assert_array_equal(found["out"], np.maximum(found["bn"], 0))


def test_a_variance_beyond_float16_makes_a_constant_without_a_nan(network: Network) -> None:
    pytest.importorskip("torch")
    mean, variance, factor = network.weights["bn"]
    large = network.with_weights({**network.weights, "bn": [mean, np.full_like(variance, 7e4 * 999), factor]})
    with create_engine("torch", large, batch_size=2, precision="float16-all", outputs=["bn"]) as engine:
        np.testing.assert_array_equal(engine.run(inputs())["bn"], 0)
    with create_engine("torch", large, batch_size=2, precision="float16-storage", outputs=["out"]) as engine:
        assert (engine.run(inputs())["out"] > 0).any()


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_who_cannot_says_so(network: Network, name: str) -> None:
    pytest.importorskip(name)
    with pytest.raises(PrecisionError, match=rf"engine {name}: it cannot round after every layer"):
        create_engine(name, network, precision="float16-all")


def test_all_names_are_told_apart() -> None:
    assert len(set(PRECISIONS)) == len(PRECISIONS)
