"""Large constants beside a model: nothing of them is copied, and what is written reads back as the same model."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest

from caffezoo.engines.seeding import seeded_weights
from caffezoo.errors import LoweringError
from caffezoo.net import onnx_arrays
from caffezoo.net.graph import Network
from caffezoo.net.onnx_arrays import check_model, holds, read_model, serialised, with_arrays_as_inputs, write_model
from caffezoo.net.onnx_graph import to_onnx

TEXT = """
name: "wide"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 8 dim: 16 dim: 16 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 64 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }
layer { name: "fc" type: "InnerProduct" bottom: "y" top: "z" inner_product_param { num_output: 200 } }
"""
WEIGHT_BYTES = 4 * (64 * 8 * 9 + 200 * 64 * 14 * 14)


@pytest.fixture(scope="module")
def network() -> Network:
    network = Network.from_text(TEXT)
    return network.with_weights(seeded_weights(network, exponents={})[0])


def test_large_constants_are_the_networks_own_arrays(network: Network) -> None:
    arrays: dict[str, np.ndarray] = {}
    model = to_onnx(network, arrays=arrays)
    assert {a.shape for a in arrays.values()} == {(64, 8, 3, 3), (200, 64 * 14 * 14)}
    for array in arrays.values():
        assert any(np.shares_memory(array, blob) for blobs in network.weights.values() for blob in blobs)
    assert model.ByteSize() < 4096
    check_model(model, arrays)
    assert {i.name for i in with_arrays_as_inputs(model, arrays).graph.input} == {"x", *arrays}


def test_writing_takes_no_memory(network: Network, tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        arrays: dict[str, np.ndarray] = {}
        write_model(to_onnx(network, arrays=arrays), arrays, tmp_path / "m.onnx")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert WEIGHT_BYTES < (tmp_path / "m.onnx").stat().st_size < WEIGHT_BYTES + 8192
    assert peak < WEIGHT_BYTES / 10


def test_what_is_written_is_the_model_that_holds_everything(network: Network, tmp_path: Path) -> None:
    arrays: dict[str, np.ndarray] = {}
    apart, path = to_onnx(network, arrays=arrays), tmp_path / "m.onnx"
    write_model(apart, arrays, path)
    found, whole = onnx.load(path), to_onnx(network)
    for model in (found, whole):
        model.graph.initializer.sort(key=lambda tensor: tensor.name)
    assert found == whole
    model, spans = read_model(path)
    assert {t.name for t in model.graph.initializer} == {t.name for t in apart.graph.initializer}
    assert list(model.graph.node) == list(apart.graph.node)
    assert holds(path, spans, arrays)
    name = next(iter(spans))
    assert not holds(path, spans, {**arrays, name: arrays[name] + 1})
    assert not holds(path, spans, {**arrays, name: arrays[name][:-1]})
    assert not holds(path, {}, arrays)


def test_a_layer_that_needs_a_fixed_batch_leaves_no_array_twice() -> None:
    network = Network.from_text(
        TEXT + 'layer { name: "l" type: "Slice" bottom: "z" top: "a" top: "b" slice_param { axis: 0 } }'
    )
    network = network.with_weights(seeded_weights(network, exponents={})[0])
    arrays: dict[str, np.ndarray] = {}
    model = to_onnx(network, arrays=arrays)
    assert len(arrays) == 2
    assert arrays.keys() <= {tensor.name for tensor in model.graph.initializer}


def test_more_than_a_file_can_hold_is_refused(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_arrays, "MAX_MODEL_BYTES", WEIGHT_BYTES)
    arrays: dict[str, np.ndarray] = {}
    with pytest.raises(LoweringError, match="more than one file of ONNX can hold"):
        write_model(to_onnx(network, arrays=arrays), arrays, tmp_path / "m.onnx")


def test_a_model_beyond_protobufs_limit_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from google.protobuf.message import EncodeError

    def too_large(model: onnx.ModelProto) -> bytes:
        raise EncodeError("Failed to serialize proto")

    monkeypatch.setattr(onnx.ModelProto, "SerializeToString", too_large)
    with pytest.raises(LoweringError, match="larger than one message of protobuf"):
        serialised(onnx.ModelProto())
