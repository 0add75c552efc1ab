"""Every layer type's torch form at its representative configurations: against real Caffe, and its gradients."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from caffezoo.errors import LoweringError
from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import to_onnx
from tests.net.layers.cases import CASES, Case
from tests.net.layers.test_cases import bottoms
from tests.oracle import (
    assert_close,
    caffe_outputs,
    layer_proto,
    one_layer_net,
    onnx_outputs,
    plain_net,
    requires_caffe,
    seeded_blobs,
)

torch = pytest.importorskip("torch")

NO_GRADIENT = {"ContinuationIndicator", "Accuracy", "ArgMax", "Threshold"}


def one_layer(layer: str, shapes: dict[str, tuple[int, ...]]) -> Network:
    """Return a network of one layer with random blobs."""
    network = Network.from_proto(one_layer_net(layer_proto(layer), shapes))
    blobs = seeded_blobs(network.nodes[-1].blob_shapes)
    return network.with_weights({network.nodes[-1].name: blobs} if blobs else {})


def torch_outputs(network: Network, inputs: dict[str, np.ndarray], tops: list[str]) -> dict[str, np.ndarray]:
    """Return what the network's module gives."""
    from caffezoo.net.torch_module import to_torch

    with torch.no_grad():
        found = to_torch(network, outputs=tops)(*(torch.from_numpy(x) for x in inputs.values()))
    return {name: x.numpy() for name, x in found.items()}


def assert_torch_matches_caffe(case: Case, inputs: dict[str, np.ndarray]) -> None:
    network = one_layer(case.layer, case.shapes)
    tops = list(network.nodes[-1].layer.proto.top)
    text, blobs = plain_net(network)
    wanted = caffe_outputs(text, blobs, inputs, tops)
    for name, found in torch_outputs(network, inputs, tops).items():
        assert_close(found, wanted[name], f"torch, top {name}")


@requires_caffe
@pytest.mark.parametrize("name", CASES)
def test_case_matches_caffe(name: str) -> None:
    assert_torch_matches_caffe(CASES[name], bottoms(CASES[name]))


@pytest.mark.parametrize("name", CASES)
def test_case_matches_the_onnx_form(name: str) -> None:
    """Holds without real Caffe as well."""
    case = CASES[name]
    network, inputs = one_layer(case.layer, case.shapes), bottoms(case)
    wanted = onnx_outputs(to_onnx(network), inputs)["onnxruntime"]
    found = torch_outputs(network, inputs, list(network.outputs))
    for top in network.outputs:
        assert_close(found[top], wanted[top], f"top {top}")


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if layer_proto(c.layer).type not in NO_GRADIENT])
def test_gradients_reach_every_bottom_and_blob(name: str) -> None:
    from caffezoo.net.torch_module import to_torch

    case = CASES[name]
    network = one_layer(case.layer, case.shapes)
    module = to_torch(network)
    inputs = [torch.from_numpy(x) for x in bottoms(case).values()]
    labels = case.labels % len(inputs) if case.classes else None
    floats = [x for i, x in enumerate(inputs) if i != labels]
    for x in floats:
        x.requires_grad_(True)
    found = module(*inputs)
    loss = sum(x.sum() for x in found.values() if x.requires_grad)
    if name == "power_constant":
        assert loss == 0
        return
    loss.backward()
    wanted = floats[:1] if network.nodes[-1].layer.type == "Crop" else floats
    for tensor in [*wanted, *module.parameters()]:
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()


@requires_caffe
@pytest.mark.parametrize(
    "param",
    [
        "kernel_size: 4 pad: 3 stride: 2",  # a pad that torch's own pooling refuses
        "kernel_size: 2 stride: 4",  # last windows outside the image
        "kernel_h: 3 kernel_w: 1 stride: 3 pad_h: 2 pad_w: 0",
        "kernel_size: 6 stride: 5 pad: 1",
        "kernel_size: 3 stride: 2 round_mode: FLOOR",
    ],
)
@pytest.mark.parametrize("pool", ["MAX", "AVE", "MAX two tops"])
def test_odd_pooling_windows(param: str, pool: str) -> None:
    tops = 'top: "y" top: "z"' if "two" in pool else 'top: "y"'
    text = f'name: "p" type: "Pooling" bottom: "x" {tops} pooling_param {{ pool: {pool[:3]} {param} }}'
    case = Case(text, {"x": (2, 3, 9, 11)})
    assert_torch_matches_caffe(case, bottoms(case))


def test_stochastic_pooling_gives_what_it_has_on_average() -> None:
    text = 'name: "p" type: "Pooling" bottom: "x" top: "y" pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }'
    x = np.array([[1, 3, -2, 0, 5], [0, 0, 0, 0, 1], [2, 2, 4, 4, 0]], np.float32).reshape(1, 1, 3, 5)
    wanted = [10 / 4, 0, 26 / 6, 8 / 4, 32 / 8, 0]  # sum of squares by sum; 0 where the sum is not positive
    network = one_layer(text, {"x": x.shape})
    for found in (torch_outputs(network, {"x": x}, ["y"]), *onnx_outputs(to_onnx(network), {"x": x}).values()):
        np.testing.assert_allclose(found["y"].ravel(), wanted, rtol=1e-6)


def test_stochastic_pooling_in_phase_train_is_refused() -> None:
    from caffezoo.net.torch_module import to_torch

    text = 'name: "p" type: "Pooling" bottom: "x" top: "y" phase: TRAIN'
    text += " pooling_param { pool: STOCHASTIC kernel_size: 2 }"
    with pytest.raises(LoweringError, match="draws at random"):
        to_torch(one_layer(text, {"x": (1, 1, 4, 4)}))


def test_dropout_drops_only_in_training_mode() -> None:
    from caffezoo.net.torch_module import to_torch

    case = CASES["dropout"]
    module, x = to_torch(one_layer(case.layer, case.shapes)), torch.ones(3, 4, 7, 9)
    assert torch.equal(module(x)["y"], x)
    assert (module.train()(x)["y"] == 0).any()


def test_a_copy_has_tensors_of_its_own() -> None:
    from caffezoo.net.torch_module import to_torch

    case = CASES["convolution"]
    module = to_torch(one_layer(case.layer, case.shapes))
    twin, x = copy.deepcopy(module), torch.ones(1, 4, 7, 9)
    before = module(x)["y"].detach()
    with torch.no_grad():
        twin.layers[0].blob0.zero_()
    assert torch.equal(module(x)["y"], before)
    assert not torch.equal(twin(x)["y"], before)
