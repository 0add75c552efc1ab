"""Cutting a network where layers run on the host."""

from __future__ import annotations

import numpy as np

from caffezoo.engines.seeding import seeded_weights
from caffezoo.net.graph import Network
from caffezoo.net.node import Node
from caffezoo.net.onnx_graph import to_onnx
from caffezoo.net.partition import EnginePart, HostPart, has_host_layers, partition
from tests.oracle import onnx_outputs

TWO_BRANCHES = """
layer { name: "data" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }
layer { name: "abs" type: "AbsVal" bottom: "y" top: "host" }
layer { name: "pool" type: "Pooling" bottom: "y" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "again" type: "Power" bottom: "y" top: "y" power_param { scale: 2 } }
layer { name: "sum" type: "Eltwise" bottom: "host" bottom: "y" top: "sum" }
"""


def _on_host(*names: str):
    return lambda node: node.name in names


def _network() -> Network:
    network = Network.from_text(TWO_BRANCHES)
    return network.with_weights(seeded_weights(network, 1, {})[0])


def _levels(network: Network, *names: str) -> list[list[str]]:
    plan = partition(network, None, _on_host(*names))
    return [
        [n.name for n in part.nodes] if isinstance(part, HostPart) else [n.name for n in part.network.nodes]
        for part in plan.parts
    ]


def test_what_no_host_layer_precedes_runs_in_the_first_part() -> None:
    assert _levels(_network(), "abs") == [
        ["x/input", "conv", "relu", "pool", "again", "y/1/copy"],
        ["abs"],
        ["host/input", "y/input", "sum"],
    ]


def test_a_network_without_host_layers_is_one_part() -> None:
    (part,) = partition(_network()).parts
    assert isinstance(part, EnginePart)
    assert list(part.outputs.values()) == ["pool", "sum"]
    assert not has_host_layers(_network())


def test_only_what_wanted_blobs_need_is_cut() -> None:
    network = _network()
    assert has_host_layers(network, None, _on_host("abs"))
    assert not has_host_layers(network, ["pool"], _on_host("abs"))
    assert len(partition(network, ["pool"], _on_host("abs")).parts) == 1


def test_parts_compute_what_the_network_does() -> None:
    """Every version of the in-place blob crosses a cut, the layer in between by numpy."""
    network = _network()
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, 6, 6)).astype(np.float32)
    wanted = onnx_outputs(to_onnx(network), {"x": x})["onnxruntime"]
    plan = partition(network, None, _on_host("abs", "again"))
    values = dict.fromkeys(plan.sources, x)
    for part in plan.parts:
        if isinstance(part, HostPart):
            for node in part.nodes:
                values[node.tops[0]] = _numpy(node, values[node.bottoms[0]])
            continue
        feed = {name: values[blob] for blob, name in part.inputs.items()}
        found = onnx_outputs(to_onnx(part.network), feed)["onnxruntime"]
        values.update({blob: found[name] for blob, name in part.outputs.items()})
    for name, blob in plan.outputs.items():
        np.testing.assert_allclose(values[blob], wanted[name], atol=1e-5)


def _numpy(node: Node, x: np.ndarray) -> np.ndarray:
    return np.abs(x) if node.layer.type == "AbsVal" else 2 * x


def test_parts_keep_lines_weights_and_phase() -> None:
    network = _network()
    first = partition(network, None, _on_host("abs")).parts[0]
    assert isinstance(first, EnginePart)
    assert first.network.node("conv").layer.where == "<string>:3"
    assert first.network.phase == network.phase
    np.testing.assert_array_equal(first.network.weights["conv"][0], network.weights["conv"][0])
