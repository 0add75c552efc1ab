"""A network whose blobs are in their file is the same network."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest

from caffezoo.engines.registry import create_engine
from caffezoo.engines.seeding import seeded_inputs
from caffezoo.errors import BindingError
from caffezoo.formats import blob_reader, caffemodel
from caffezoo.formats.caffemodel import write_caffemodel
from caffezoo.formats.stored_array import CAN_READ_LATER, StoredArray
from caffezoo.net.cutting import cut
from caffezoo.net.files import write_network
from caffezoo.net.folding import fold
from caffezoo.net.graph import Network
from caffezoo.net.plain import to_plain

pytestmark = pytest.mark.skipif(not CAN_READ_LATER, reason="this system cannot read at an offset")
NET = """name: "n"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "a" type: "Convolution" bottom: "x" top: "a" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "bn" type: "BatchNorm" bottom: "a" top: "a" }
layer { name: "relu" type: "ReLU6" bottom: "a" top: "a" }
layer { name: "b" type: "Convolution" bottom: "a" top: "b" convolution_param { num_output: 5 kernel_size: 3 } }
layer { name: "fc" type: "InnerProduct" bottom: "b" top: "y" inner_product_param { num_output: 6 } }
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    net = Network.from_text(NET)
    draw = np.random.default_rng(0)
    blobs = {n.key: [draw.uniform(0.5, 1.5, s).astype(np.float32) for s in n.blob_shapes] for n in net.nodes}
    (tmp_path / "n.prototxt").write_text(NET)
    write_caffemodel(tmp_path / "n.caffemodel", net.prototxt.net, {k: v for k, v in blobs.items() if v})
    return tmp_path / "n.prototxt", tmp_path / "n.caffemodel"


def later(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Network:
    with monkeypatch.context() as patched:
        patched.setattr(caffemodel, "MIN_FILE_BYTES", 0)
        patched.setattr(blob_reader, "MIN_ARRAY_BYTES", 1)
        return Network.load(*files)


def in_file(network: Network) -> set[str]:
    """The layers of which some blob has not been taken into memory for good."""
    held = network.weights.all_held()
    return {key for key, blobs in held.items() if any(isinstance(b, StoredArray) for b in blobs)}


def test_small_files_are_read_at_once(files: tuple[Path, Path]) -> None:
    assert in_file(Network.load(*files)) == set()


def test_blobs_are_those_of_a_network_in_memory(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    ours, whole = later(files, monkeypatch), Network.load(*files)
    assert in_file(ours) == set(whole.weights) == {"a", "bn", "b", "fc"}
    assert list(ours.weights) == list(whole.weights)
    assert "relu" not in ours.weights
    assert ours.weights.get("relu", ()) == ()
    for other in (ours, copy.copy(ours), pickle.loads(pickle.dumps(ours)), ours.reshaped(batch=1), cut(ours, ["y"])):
        for key, blobs in whole.weights.items():
            assert all(map(np.array_equal, other.weights[key], blobs))
            assert not any(blob.flags.writeable for blob in ours.weights[key])
    for other in (copy.copy(ours), ours.reshaped(batch=1), cut(ours, ["b"]), to_plain(ours)):
        assert in_file(other) == set(other.weights)


def test_folding_takes_only_what_it_changes_into_memory(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folded = fold(later(files, monkeypatch)).network
    assert in_file(folded) == {"b", "fc"}
    wanted = fold(Network.load(*files)).network
    for key, blobs in wanted.weights.items():
        assert all(map(np.array_equal, folded.weights[key], blobs))
    made = [write_network(net, tmp_path / name)[1].read_bytes() for net, name in ((folded, "a"), (wanted, "b"))]
    assert made[0] == made[1]


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_engines_give_the_same(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    found = []
    for net in (later(files, monkeypatch), Network.load(*files)):
        with create_engine(engine, net, batch_size=2) as running:
            found.append(running.run(seeded_inputs(net))["y"])
    assert np.array_equal(*found)


def test_values_that_are_not_finite_are_refused_at_once(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = Network.load(*files)
    bad = net.weights["b"][0].copy()
    bad[0, 0, 0, 0] = np.nan
    weights = {key: list(blobs) for key, blobs in net.weights.items()} | {"b": [bad, net.weights["b"][1]]}
    write_caffemodel(files[1], net.prototxt.net, weights)
    with pytest.raises(BindingError, match=r"blob 0 holds 1 value\(s\) of 180 that are not finite"):
        later(files, monkeypatch)
