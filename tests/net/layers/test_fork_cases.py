"""Layers of forks against a second writing of their formula: ONNX by two runtimes, torch, and gradients."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import to_onnx
from tests.net.layers.every_fork_case import EVERY_FORK_CASE
from tests.net.layers.fork_cases import ForkCase
from tests.net.layers.test_cases import bottoms
from tests.oracle import assert_close, layer_proto, one_layer_net, onnx_outputs, seeded_blobs

names = pytest.mark.parametrize("name", EVERY_FORK_CASE)


def made(fork: ForkCase) -> tuple[Network, dict[str, np.ndarray], list[np.ndarray]]:
    """Return the layer as a network with blobs, its bottoms, and its tops by the formula."""
    proto = layer_proto(fork.case.layer)
    network = Network.from_proto(one_layer_net(proto, fork.case.shapes))
    node = network.nodes[-1]
    blobs = [2 * b - np.float32(1) for b in seeded_blobs(node.blob_shapes)]
    if proto.type == "BN":
        blobs = [abs(b) for b in blobs]
    inputs = bottoms(fork.case)
    if proto.type in ("Upsample", "Unpooling") and len(inputs) == 2:  # every place once, as a pooling has them
        rng = np.random.default_rng(1)
        shape = inputs["x1"].shape
        area = int(np.prod(node.top_shapes[0][2:]))
        places = [rng.permutation(area)[: shape[2] * shape[3]] for _ in range(shape[0] * shape[1])]
        inputs["x1"] = np.array(places, np.float32).reshape(shape)
    wanted = fork.formula([x.astype(np.float64) for x in inputs.values()], [b.astype(np.float64) for b in blobs])
    return network.with_weights({node.key: blobs} if blobs else {}), inputs, list(wanted)


@names
def test_the_onnx_form_is_the_formula(name: str) -> None:
    network, inputs, wanted = made(EVERY_FORK_CASE[name])
    node = network.nodes[-1]
    assert [tuple(s) for s in node.top_shapes] == [x.shape for x in wanted]
    for runtime, found in onnx_outputs(to_onnx(network), inputs).items():
        for top, x in zip(node.layer.proto.top, wanted, strict=True):
            assert_close(found[top], x, f"{runtime}, top {top}")


@names
def test_the_torch_form_is_the_formula(name: str) -> None:
    torch = pytest.importorskip("torch")
    from caffezoo.net.torch_module import to_torch

    network, inputs, wanted = made(EVERY_FORK_CASE[name])
    tops = list(network.nodes[-1].layer.proto.top)
    with torch.no_grad():
        found = to_torch(network, outputs=tops)(*(torch.from_numpy(x) for x in inputs.values()))
    for top, x in zip(tops, wanted, strict=True):
        assert_close(found[top].numpy(), x, f"torch, top {top}")


@pytest.mark.parametrize("name", [name for name, fork in EVERY_FORK_CASE.items() if fork.smooth])
def test_gradients_are_those_of_the_function(name: str) -> None:
    torch = pytest.importorskip("torch")
    from caffezoo.net.torch_module import to_torch

    fork = EVERY_FORK_CASE[name]
    network, inputs, _ = made(fork)
    module = to_torch(network).double()
    tensors = [torch.from_numpy(x).double() for x in inputs.values()]
    labels = fork.case.labels % len(tensors) if fork.case.classes else None
    for i, x in enumerate(tensors):
        x.requires_grad_(i != labels)
    parameters = [*module.parameters()]

    def run(*given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(module(*given[: len(tensors)]).values())

    assert torch.autograd.gradcheck(run, (*tensors, *parameters), eps=1e-6, atol=1e-5, fast_mode=True)
