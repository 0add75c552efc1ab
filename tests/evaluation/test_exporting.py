"""Every format is written, run from its files, and kept only if it gives the source's outputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from caffezoo.engines.seeding import seeded_inputs, seeded_weights
from caffezoo.errors import EngineError, UnknownNameError, UsageError
from caffezoo.evaluation import export_formats, export_options
from caffezoo.evaluation.export_formats import FORMATS
from caffezoo.evaluation.export_options import ExportOptions, run_network
from caffezoo.evaluation.exporting import export_inputs, export_verified
from caffezoo.net.graph import Network
from caffezoo.net.transform import Transform
from tests.precision.networks import small_network

NEEDS = {"torch": "torch", "caffe-hdf5": "h5py", "safetensors": "safetensors"}


def target(folder: Path, name: str) -> Path:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=f"needs {NEEDS[name]}")
    return folder / f"net{FORMATS[name].suffixes[0]}"


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_written_gives_the_sources_outputs(tmp_path: Path, name: str) -> None:
    net = small_network()
    file = target(tmp_path, name)
    made = export_verified(net, name, file, ExportOptions(net.outputs))
    assert made.largest < 1e-5
    assert made.files[0] == file
    assert made.bytes == sum(f.stat().st_size for f in tmp_path.iterdir())
    assert sorted(made.files) == sorted(tmp_path.iterdir())
    x = dict(seeded_inputs(net, 7, batch=made.samples))
    found = FORMATS[name].run(net, file, ExportOptions(net.outputs), x)["prob"]
    assert found == pytest.approx(run_network(net, ["prob"], x)["prob"], abs=1e-6)


@pytest.mark.parametrize("name", ["onnx", "openvino", "torch"])
@pytest.mark.parametrize("folded", [True, False], ids=["folded", "as it stands"])
def test_inner_blobs_and_a_fixed_batch(tmp_path: Path, name: str, folded: bool) -> None:
    net = small_network().reshaped(batch=3)
    options = ExportOptions(("conv2", "prob"), folded, batch=3)
    made = export_verified(net, name, target(tmp_path, name), options)
    assert made.samples == 3
    assert made.largest < 1e-5


@pytest.mark.parametrize("name", ["onnx", "openvino"])
@pytest.mark.parametrize("reverse", [False, True], ids=["BGR", "RGB"])
def test_preprocessing_inside(tmp_path: Path, name: str, reverse: bool) -> None:
    net = small_network()
    transform = Transform((100.0, 110.0, 120.0), (50.0, 60.0, 70.0))
    options = ExportOptions(net.outputs, transform=transform, reverse=reverse)
    file = target(tmp_path, name)
    export_verified(net, name, file, options)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3), dtype=np.uint8)
    found = FORMATS[name].run(net, file, options, {"data": pixels})["prob"]
    seen = pixels[..., ::-1] if reverse else pixels
    blob = ((seen - np.float32(transform.mean)) / np.float32(transform.std)).transpose(0, 3, 1, 2)
    wanted = run_network(net, ["prob"], {"data": np.ascontiguousarray(blob, np.float32)})["prob"]
    assert found == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("opset", [13, 17, 20])
def test_opsets(tmp_path: Path, opset: int) -> None:
    import onnx

    net = small_network()
    export_verified(net, "onnx", tmp_path / "net.onnx", ExportOptions(net.outputs, opset=opset))
    assert onnx.load(str(tmp_path / "net.onnx")).opset_import[0].version == opset


def test_other_outputs_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = small_network()
    other = net.with_weights(seeded_weights(net, 5)[0])
    right = FORMATS["onnx"]
    wrong = replace(right, write=lambda _, path, options: right.write(other, path, options))
    monkeypatch.setattr(export_formats, "FORMATS", {"onnx": wrong})
    monkeypatch.setattr("caffezoo.evaluation.exporting.FORMATS", {"onnx": wrong})
    earlier = tmp_path / "net.onnx"
    earlier.write_bytes(b"earlier")
    with pytest.raises(EngineError):
        export_verified(net, "onnx", earlier, ExportOptions(net.outputs), force=True)
    assert earlier.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [earlier]


def test_what_is_there_stays_without_force(tmp_path: Path) -> None:
    net = small_network()
    (tmp_path / "net.bin").write_bytes(b"mine")
    with pytest.raises(UsageError) as caught:
        export_verified(net, "openvino", tmp_path / "net.xml", ExportOptions(net.outputs))
    assert caught.value.where == str(tmp_path / "net.bin")
    export_verified(net, "openvino", tmp_path / "net.xml", ExportOptions(net.outputs), force=True)
    assert (tmp_path / "net.bin").stat().st_size > 1000


@pytest.mark.parametrize(
    ("name", "file", "error"),
    [("onnx", "net.pb", UsageError), ("onnx", "no/net.onnx", UsageError), ("tflite", "net.onnx", UnknownNameError)],
)
def test_refused_before_anything_is_computed(tmp_path: Path, name: str, file: str, error: type) -> None:
    net = Network.from_text('input: "x" input_shape { dim: 1 dim: 1 }')
    with pytest.raises(error):
        export_verified(net, name, tmp_path / file, ExportOptions(()))


def test_preprocessing_is_for_graphs(tmp_path: Path) -> None:
    net = small_network()
    with pytest.raises(UsageError):
        export_verified(net, "coreml-npz", tmp_path / "n.npz", ExportOptions(net.outputs, transform=Transform()))


def test_coreml_arrays_are_in_coremltools_orders(tmp_path: Path) -> None:
    net = small_network()
    export_verified(net, "coreml-npz", tmp_path / "n.npz", ExportOptions(net.outputs))
    with np.load(tmp_path / "n.npz", allow_pickle=False) as found:
        kernel = net.weights["conv/2"][0]
        assert found["conv/2/W"].shape == (3, 3, 8, 8)
        assert np.array_equal(found["conv/2/W"], kernel.transpose(2, 3, 1, 0))
        assert np.array_equal(found["fc/W"].reshape(-1, 8, 9 * 9), net.weights["fc"][0].reshape(-1, 8, 81))
        assert "bn/W" not in found.files


def test_a_large_onnx_file_is_held_against_the_network_by_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network.from_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 100 } } }\n'
        'layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 100 } }'
    )
    network = network.with_weights(seeded_weights(network, exponents={})[0])
    monkeypatch.setattr(export_options, "WHOLE_BYTES", 0)
    made = export_verified(network, "onnx", tmp_path / "a.onnx", ExportOptions(("y",)))
    assert made.largest < 1e-5
    damaged = bytearray((tmp_path / "a.onnx").read_bytes())
    damaged[-8] ^= 1
    (tmp_path / "b.onnx").write_bytes(damaged)
    with pytest.raises(EngineError, match="holds other weights"):
        FORMATS["onnx"].run(network, tmp_path / "b.onnx", ExportOptions(("y",)), {"x": np.zeros((1, 100), np.float32)})


@pytest.mark.parametrize("name", ["caffe-hdf5", "safetensors"])
def test_large_files_of_weights_are_held_against_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    pytest.importorskip({"caffe-hdf5": "h5py", "safetensors": "safetensors"}[name])
    network = small_network()
    monkeypatch.setattr(export_options, "WHOLE_BYTES", 0)
    options = ExportOptions(network.outputs)
    file = target(tmp_path, name)
    assert export_verified(network, name, file, options).largest == 0
    other = {key: [*blobs[:-1], blobs[-1] + 1] for key, blobs in network.weights.items()}
    with pytest.raises(EngineError, match="holds other weights"):
        FORMATS[name].run(network.with_weights(other), file, options, export_inputs(network, options))
