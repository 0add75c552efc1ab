"""Engines with host layers between their parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import pytest

from caffezoo.engines.partitioned import PartitionedEngine
from caffezoo.engines.registry import create_engine
from caffezoo.engines.seeding import seeded_weights
from caffezoo.errors import EngineError, LoweringError
from caffezoo.net import registry
from caffezoo.net.graph import Network
from caffezoo.net.host_layer import HostLayer
from caffezoo.net.onnx_graph import to_onnx
from caffezoo.net.transform import Transform
from tests.engines.networks import HERE, requires_torch

ENGINES = HERE

TEXT = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 5 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 6 kernel_size: 5 } }
layer { name: "rows" type: "Reshape" bottom: "conv" top: "rows" reshape_param { shape { dim: 6 dim: 1 } } }
layer { name: "positive" type: "TestPositiveRows" bottom: "rows" top: "positive" }
layer { name: "fc" type: "InnerProduct" bottom: "positive" top: "fc" inner_product_param { num_output: 2 } }
"""


class PositiveRows(HostLayer):
    """Keeps rows [R, 1] above 0: as many as the data have."""

    bounded_axis: ClassVar[int | None] = 0

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        if not np.isfinite(bottoms[0]).all():
            self.fail_values("a row is not finite")
        return [bottoms[0][bottoms[0][:, 0] > 0]]


@pytest.fixture(autouse=True)
def _layer_of_tests() -> Iterator[None]:
    registry.register("TestPositiveRows")(PositiveRows)
    yield
    del registry._REGISTRY["TestPositiveRows"]


def _network() -> Network:
    network = Network.from_text(TEXT)
    return network.with_weights(seeded_weights(network, 1, {})[0])


def _wanted(network: Network, data: np.ndarray) -> np.ndarray:
    (w, b), (fc, c) = network.weights["conv"], network.weights["fc"]
    rows = (w * data[:1]).sum((1, 2, 3)) + b
    return rows[rows > 0][:, None] @ fc.T + c


def _data(seed: int, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-scale, scale, (1, 3, 5, 5)).astype(np.float32)


@pytest.mark.parametrize("engine", ENGINES)
def test_each_batch_has_as_many_rows_as_its_data(engine: str) -> None:
    network = _network()
    with create_engine(engine, network, threads=1) as made:
        assert isinstance(made, PartitionedEngine)
        assert (made.name, made.precision, bool(made.version)) == (engine, "float32", True)
        lengths = set()
        for seed in range(6):
            found = made.run(_data(seed))["fc"]
            np.testing.assert_allclose(found, _wanted(network, _data(seed)), atol=1e-5)
            lengths.add(len(found))
    assert len(lengths) > 1


def test_no_row_at_all_is_an_empty_blob() -> None:
    network = _network()
    weights = {**network.weights, "conv": (network.weights["conv"][0], np.full(6, -100, np.float32))}
    with create_engine("openvino", network.with_weights(weights), threads=1) as made:
        assert made.run(_data(0))["fc"].shape == (0, 2)


def test_images_go_into_the_first_part_as_they_are() -> None:
    network = _network()
    image = np.random.default_rng(0).integers(0, 256, (1, 5, 5, 3), np.uint8)
    transform = Transform((100.0, 110.0, 120.0), (60.0, 60.0, 60.0))
    blob = ((image - np.array(transform.mean)) / 60).transpose(0, 3, 1, 2)
    for engine in ENGINES:
        with create_engine(engine, network, transform=transform, threads=1) as made:
            np.testing.assert_allclose(made.run(image)["fc"], _wanted(network, blob), atol=1e-4)


def test_blobs_above_the_host_layer_need_no_parts() -> None:
    with create_engine("openvino", _network(), outputs=["conv"], threads=1) as made:
        assert not isinstance(made, PartitionedEngine)


def test_what_a_host_layer_refuses_names_it() -> None:
    network = _network()
    huge = {**network.weights, "conv": (network.weights["conv"][0] * np.float32(1e38), network.weights["conv"][1])}
    with (
        create_engine("onnxruntime", network.with_weights(huge), threads=1) as made,
        pytest.raises(EngineError, match=r"<string>:5: layer 'positive' \(TestPositiveRows\): a row is not finite"),
    ):
        made.run(_data(0, 1e5))


def test_operators_of_all_parts_are_timed_and_host_layers_with_them() -> None:
    with create_engine("openvino", _network(), threads=1, profile=True) as made:
        made.run(_data(1))
        found = made.operator_seconds()
    assert ("positive", "TestPositiveRows") in {(name, kind) for name, kind, _ in found}
    assert any("fc" in name for name, _, _ in found)


@requires_torch
def test_the_export_refuses_what_only_the_host_runs_and_torch_wraps_it() -> None:
    import torch

    from caffezoo.net.torch_module import to_torch

    network = _network()
    with pytest.raises(LoweringError, match=r"layer 'positive' .*no form in standard ONNX operators"):
        to_onnx(network)
    found = to_torch(network)(torch.from_numpy(_data(3)))["fc"]
    np.testing.assert_allclose(found.detach().numpy(), _wanted(network, _data(3)), atol=1e-5)
