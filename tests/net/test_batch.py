"""The batch axis: which networks run at any batch size, which blobs hold one sample a row, and layers along axis 0."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from caffezoo.engines.registry import create_engine
from caffezoo.errors import ShapeError
from caffezoo.net.batch import at_batch, batch_axis, possible_batch
from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import to_onnx
from tests.engines.networks import requires_torch
from tests.net.layers.cases import CASES
from tests.net.layers.test_cases import bottoms
from tests.oracle import (
    assert_close,
    caffe_outputs,
    layer_proto,
    one_layer_net,
    onnx_outputs,
    oracle_python,
    plain_net,
    requires_caffe,
    seeded_blobs,
)

ENGINES = pytest.mark.parametrize(
    "engine",
    [
        "openvino",
        "onnxruntime",
        pytest.param("torch", marks=requires_torch),
        pytest.param("caffe", marks=requires_caffe),
    ],
)
X = (np.arange(24, dtype=np.float32).reshape(4, 3, 2) * 7 % 11 - 5) / 2


def net(layers: str, shape: tuple[int, ...] = (4, 3, 2)) -> Network:
    dims = " ".join(f"dim: {d}" for d in shape)
    return Network.from_text(
        f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}\n{layers}'
    )


FIXED = {
    "slice": ('layer { name: "l" type: "Slice" bottom: "x" top: "y" top: "z" slice_param { axis: 0 slice_point: 1 } }',
              lambda x, _: {"y": x[:1], "z": x[1:]}),
    "slice-equal": ('layer { name: "l" type: "Slice" bottom: "x" top: "y" top: "z" slice_param { axis: -3 } }',
                    lambda x, _: {"y": x[:2], "z": x[2:]}),
    "concat": ('layer { name: "l" type: "Concat" bottom: "x" bottom: "x" top: "y" concat_param { axis: 0 } }',
               lambda x, _: {"y": np.concatenate([x, x])}),
    "scale": ('layer { name: "l" type: "Scale" bottom: "x" top: "y" scale_param { axis: 0 } }',
              lambda x, w: {"y": x * w[0][:, None, None]}),
    "bias": ('layer { name: "l" type: "Bias" bottom: "x" top: "y" bias_param { axis: 0 num_axes: -1 } }',
             lambda x, w: {"y": x + w[0]}),
    "product": ('layer { name: "l" type: "InnerProduct" bottom: "x" top: "y" '
                "inner_product_param { axis: 0 num_output: 5 } }",
                lambda x, w: {"y": w[0] @ x.reshape(-1) + w[1]}),
    "transposed": ('layer { name: "l" type: "InnerProduct" bottom: "x" top: "y" '
                   "inner_product_param { axis: 0 num_output: 5 transpose: true bias_term: false } }",
                   lambda x, w: {"y": x.reshape(-1) @ w[0]}),
    "arg-max": ('layer { name: "l" type: "ArgMax" bottom: "x" top: "y" argmax_param { axis: 0 } }',
                lambda x, _: {"y": 3 - x[::-1].argmax(0)[None].astype(np.float32)}),
    "flat": ('layer { name: "l" type: "Flatten" bottom: "x" top: "y" flatten_param { axis: 0 end_axis: 1 } }\n'
             'layer { name: "m" type: "ReLU" bottom: "y" top: "z" }',
             lambda x, _: {"z": np.maximum(x.reshape(12, 2), 0)}),
    "hard-coded": ('layer { name: "l" type: "Reshape" bottom: "x" top: "y" '
                   "reshape_param { shape { dim: 4 dim: 6 } } }\n"
                   'layer { name: "m" type: "InnerProduct" bottom: "y" top: "z" '
                   "inner_product_param { num_output: 2 } }",
                   lambda x, w: {"z": x.reshape(4, 6) @ w[0].T + w[1]}),
    "moved": ('layer { name: "l" type: "Permute" bottom: "x" top: "y" permute_param { order: 1 order: 0 } }\n'
              'layer { name: "m" type: "Flatten" bottom: "y" top: "z" }',
              lambda x, _: {"z": x.transpose(1, 0, 2).reshape(3, 8)}),
}  # fmt: skip
Formula = Callable[[np.ndarray, list[np.ndarray]], dict[str, np.ndarray]]
fixed = pytest.mark.parametrize(("text", "formula"), FIXED.values(), ids=FIXED)


def weighted(network: Network) -> Network:
    weights = {}
    for node in network.nodes:
        if node.blob_shapes:
            sizes = [(s, int(np.prod(s))) for s in node.blob_shapes]
            weights[node.key] = [np.linspace(-1, 1, size, dtype=np.float32).reshape(s) for s, size in sizes]
    return network.with_weights(weights)


@ENGINES
@fixed
def test_layers_along_axis_0_run_at_the_declared_batch(engine: str, text: str, formula: Formula) -> None:
    network = weighted(net(text))
    wanted = formula(X, [b for blobs in network.weights.values() for b in blobs])
    with create_engine(engine, network, caffe_python=oracle_python()) as made:
        assert made.batch_size == 4
        found = made.run(X)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert_close(found[name], np.asarray(value, np.float32), f"{engine} {name}", 1e-5)


@requires_caffe
@fixed
def test_and_so_they_do_in_caffe(text: str, formula: Formula) -> None:
    network = weighted(net(text))
    prototxt, blobs = plain_net(network)
    found = caffe_outputs(prototxt, blobs, {"x": X})
    for name, value in formula(X, [b for bs in network.weights.values() for b in bs]).items():
        assert_close(found[name], np.asarray(value, np.float32), name, 1e-5)


@pytest.mark.parametrize("name", ["slice", "scale", "product", "arg-max", "hard-coded", "moved"])
def test_the_model_of_a_network_tied_to_its_batch_says_so(name: str) -> None:
    model = to_onnx(weighted(net(FIXED[name][0])))
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == [4, 3, 2]


def test_the_axes_of_a_free_model_are_named_after_what_they_follow() -> None:
    model = to_onnx(net(FIXED["flat"][0]), outputs=["x", "z"])
    dims = {p.name: [d.dim_param or d.dim_value for d in p.type.tensor_type.shape.dim] for p in model.graph.output}
    assert dims == {"x": ["N", 3, 2], "z": ["z.0", 2]}


@ENGINES
def test_a_batch_written_into_a_reshape_is_filled_up(engine: str) -> None:
    network = weighted(net(FIXED["hard-coded"][0]))
    wanted = FIXED["hard-coded"][1](X, list(network.weights["m"]))["z"]
    with create_engine(engine, network, caffe_python=oracle_python()) as made:
        for count in (1, 3):
            assert_close(made.run(X[:count])["z"], wanted[:count].astype(np.float32), engine, 1e-5)
    with pytest.raises(ShapeError, match=r"does not run at batch size 1: .* made for a batch of 4"):
        create_engine(engine, network, batch_size=1, caffe_python=oracle_python())
    assert possible_batch(network, 8) == 4
    assert possible_batch(net('layer { name: "r" type: "ReLU" bottom: "x" top: "y" }'), 8) == 8


@ENGINES
@pytest.mark.parametrize(
    "text",
    [
        'layer { name: "l" type: "Softmax" bottom: "x" top: "y" softmax_param { axis: 0 } }',
        'layer { name: "l" type: "Reduction" bottom: "x" top: "y" }',
        'layer { name: "l" type: "Permute" bottom: "x" top: "y" permute_param { order: 1 order: 0 } }',
    ],
    ids=["softmax", "sum", "permute"],
)
def test_an_output_over_all_samples_needs_them_all(engine: str, text: str) -> None:
    network = net(text)
    with create_engine(engine, network, caffe_python=oracle_python()) as made:
        assert made.batch_size == 4
        made.run(X)
        with pytest.raises(ShapeError, match="output 'y' is not one value or row a sample: it needs full batches of 4"):
            made.run(X[:3])


@ENGINES
def test_inputs_of_another_axis_0_keep_their_shape(engine: str) -> None:
    network = Network.from_text(
        'layer { name: "x" type: "Input" top: "x" top: "line" input_param { shape { dim: 1 dim: 3 } '
        'shape { dim: 3 } } }\nlayer { name: "s" type: "Scale" bottom: "x" bottom: "line" top: "y" }'
    )
    assert network.batch_inputs == ("x",)
    assert network.reshaped(batch=5).inputs == {"x": (5, 3), "line": (3,)}
    x, line = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([1, 2, 3], np.float32)
    with create_engine(engine, network, batch_size=2, caffe_python=oracle_python()) as made:
        assert made.run({"x": x, "line": line})["y"].tolist() == (x * line).tolist()
        assert made.run({"x": x[:1], "line": line})["y"].tolist() == (x[:1] * line).tolist()
        with pytest.raises(ShapeError, match=r"input 'line' has shape \[2\], wanted is \[3\]"):
            made.run({"x": x, "line": line[:2]})


def test_a_free_axis_and_a_fixed_one_are_told_apart() -> None:
    free = batch_axis(net('layer { name: "r" type: "Flatten" bottom: "x" top: "y" }'))
    assert (free.free, free.reason) == (True, "")
    assert batch_axis(net(FIXED["scale"][0])).reason.endswith(
        "layer 'l' (Scale): its learned blobs span the batch axis"
    )
    assert "layer 'l' (Reshape)" in batch_axis(net(FIXED["hard-coded"][0])).reason
    assert "layer 'm' (Flatten): an axis of its bottom" in batch_axis(net(FIXED["moved"][0])).reason
    assert at_batch(net(FIXED["slice"][0]), 6).inputs["x"] == (6, 3, 2)
    assert batch_axis(net(FIXED["scale"][0])).samples == {("x", 0), ("y", 0)}
    assert batch_axis(net(FIXED["slice"][0])).samples == {("x", 0)}


@pytest.mark.parametrize("name", CASES)
def test_what_is_called_one_a_sample_is(name: str) -> None:
    """Another sample in the batch changes nothing in the other rows of blobs that hold one sample each."""
    case = CASES[name]
    network = Network.from_proto(one_layer_net(layer_proto(case.layer), case.shapes))
    if network.batch_inputs != tuple(network.inputs) or not (network.batch or 0) > 1:
        pytest.skip("its bottoms have no common batch axis")
    node = network.nodes[-1]
    network = network.with_weights({node.key: seeded_blobs(node.blob_shapes)} if node.blob_shapes else {})
    axis = batch_axis(network)
    inputs = bottoms(case)
    others = bottoms(case, seed=1)
    changed = {k: np.concatenate([x[:1], others[k][1:]]) for k, x in inputs.items()}
    model = to_onnx(network)
    one, other = (onnx_outputs(model, x)["onnxruntime"] for x in (inputs, changed))
    for top in axis.samples & set(node.tops):
        np.testing.assert_array_equal(one[top.name][:1], other[top.name][:1])
