"""Quantising: what engines run of it, what is kept in float32, and what is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from caffezoo.engines.quantised import Calibration, find_quantised, float_model
from caffezoo.engines.registry import create_engine
from caffezoo.engines.seeding import seeded_inputs
from caffezoo.errors import DataError, NetworkError, PrecisionError
from caffezoo.evaluation.dataset import open_dataset
from caffezoo.evaluation.protocol import Protocol
from caffezoo.net.graph import Network
from caffezoo.net.transform import Transform
from caffezoo.precision.quantisation import (
    CalibrationImages,
    calibration_files,
    file_identity,
    quantisable,
    quantise,
    refuse_overlap,
)
from caffezoo.precision.quantisation_noise import quantisation_noise
from tests.precision.networks import small_network, write_files

pytest.importorskip("nncf", reason="needs NNCF: pip install 'caffezoo[int8]'")

NOTHING = Calibration(())


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CAFFEZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def batches(net: Network, count: int = 10) -> list[dict[str, np.ndarray]]:
    return [dict(seeded_inputs(net, seed, batch=1)) for seed in range(count)]


def run(net: Network, engine: str, precision: str, x: dict[str, np.ndarray], **options: object) -> np.ndarray:
    with create_engine(engine, net, batch_size=4, precision=precision, **options) as loaded:
        assert loaded.precision == precision
        return loaded.run(x)[loaded.outputs[0]]


def test_both_engines_run_it_near_float32_and_nearer_to_each_other() -> None:
    net = small_network()
    made = quantise(net, net.outputs, batches(net), calibration=NOTHING)
    x = dict(seeded_inputs(net, 100, batch=4))
    wanted = run(net, "openvino", "float32", x)
    first, second = (run(net, engine, "int8", x) for engine in ("openvino", "onnxruntime"))
    assert np.abs(first - wanted).max() < 0.1
    assert 0 < np.abs(second - wanted).max() < 0.1
    assert np.abs(first - second).max() < 0.05
    weights = [t for t in made.model().graph.initializer if t.data_type == onnx.TensorProto.INT8 and t.dims]
    assert sum(numpy_helper.to_array(t).ndim > 1 for t in weights) == 3


def test_images_go_in_as_they_are() -> None:
    net = small_network()
    quantise(net, net.outputs, batches(net), calibration=NOTHING)
    pixels = np.random.default_rng(1).integers(0, 256, (4, 24, 24, 3), dtype=np.uint8)
    transform = Transform((100.0, 110.0, 120.0), (50.0, 60.0, 70.0))
    blob = ((pixels - np.float32(transform.mean)) / np.float32(transform.std)).transpose(0, 3, 1, 2)
    for engine in ("openvino", "onnxruntime"):
        plain = run(net, engine, "int8", {"data": np.ascontiguousarray(blob, np.float32)})
        with create_engine(engine, net, batch_size=4, precision="int8", transform=transform) as loaded:
            assert loaded.run(pixels)["prob"] == pytest.approx(plain, abs=0.02)


def test_any_batch_size_finds_it_and_other_weights_do_not() -> None:
    net = small_network()
    quantise(net, net.outputs, batches(net), calibration=NOTHING)
    for batch in (1, 3):
        with create_engine("onnxruntime", net, batch_size=batch, precision="int8") as loaded:
            assert loaded.run(seeded_inputs(net, 0, batch=batch))["prob"].shape == (batch, 6)
    other = net.with_weights({**net.weights, "fc": [2 * b for b in net.weights["fc"]]})
    with pytest.raises(PrecisionError) as caught:
        create_engine("openvino", other, precision="int8")
    assert "--calibration" in str(caught.value)


def test_kept_layers_stay_float32() -> None:
    net = small_network()
    made = quantise(net, net.outputs, batches(net), calibration=NOTHING, keep=["conv1", "conv/2"])
    assert made.kept == ("conv1", "conv/2")
    found = find_quantised(float_model(net, net.outputs))
    assert found is not None
    assert found == made
    products = {n.name: n for n in found.model().graph.node if n.op_type in ("Conv", "Gemm", "MatMul")}
    makers = {top: n.op_type for n in found.model().graph.node for top in n.output}
    quantised = {name for name, n in products.items() if makers.get(n.input[1]) == "DequantizeLinear"}
    assert "conv1" not in quantised
    assert "conv/2" not in quantised
    assert len(quantised) == 1


def test_layers_are_known_by_their_weights() -> None:
    assert list(quantisable(float_model(small_network(), ("prob",)))) == ["conv1", "conv/2", "fc"]


def test_noise_of_a_layer_is_that_of_its_own_rounding() -> None:
    """One product of known steps: weights 127 steps to the largest, bottoms 255 over their range."""
    net = Network.from_text(
        'input: "x" input_shape { dim: 1 dim: 4 } layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y"'
        " inner_product_param { num_output: 3 } }"
    )
    draw = np.random.default_rng(3)
    net = net.with_weights({"fc": [draw.normal(size=(3, 4)).astype(np.float32), np.zeros(3, np.float32)]})
    inputs = [{"x": draw.normal(size=(1, 4)).astype(np.float32)} for _ in range(10)]
    made = quantise(net, net.outputs, inputs, calibration=NOTHING)
    (found,) = quantisation_noise(float_model(net, net.outputs), made.model(), inputs)
    x = np.concatenate([i["x"] for i in inputs])
    wanted = x @ net.weights["fc"][0].T
    with create_engine("onnxruntime", net, batch_size=10, precision="int8") as loaded:
        got = loaded.run({"x": x})["y"]
    measured = 10 * np.log10(np.square(wanted).sum() / np.square(got - wanted).sum())
    assert found.layer == "fc"
    assert found.decibel == pytest.approx(measured, abs=1.0)
    assert 5 < found.decibel < 60


def test_calibration_images_are_what_the_network_sees(tmp_path: Path) -> None:
    files = calibration_files(str(write_files(tmp_path) / "calibration"))
    protocol = Protocol(base_size=28, crop_size=24, mean=(1.0, 2.0, 3.0), std=(2.0, 4.0, 8.0), channel_order="RGB")
    images = CalibrationImages(files, protocol, "data")
    first = next(iter(images))["data"]
    assert len(images) == 10
    assert first.shape == (1, 3, 24, 24)
    from caffezoo.evaluation.crops import cut_views
    from caffezoo.evaluation.images import read_image

    pixels = cut_views(read_image(files[0]), protocol)[0].pixels[..., ::-1].astype(np.float32)
    assert first[0].transpose(1, 2, 0) == pytest.approx((pixels - [3, 2, 1]) / [8, 4, 2], rel=1e-5)


def test_an_evaluated_image_may_not_be_calibrated_on(tmp_path: Path) -> None:
    folder = write_files(tmp_path)
    files = calibration_files(str(folder / "calibration"))
    images = CalibrationImages(files, Protocol(base_size=28, crop_size=24), "data")
    refuse_overlap(images.hashes, open_dataset(folder / "images", val_file=folder / "list.txt"))
    copy = folder / "images" / "copy.png"
    copy.write_bytes(files[4].read_bytes())
    (folder / "list.txt").write_text("00.png 0\ncopy.png 1\n")
    with pytest.raises(DataError) as caught:
        refuse_overlap(images.hashes, open_dataset(folder / "images", val_file=folder / "list.txt"))
    assert caught.value.where == str(copy)
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        archive.write(copy, "copy.png")
    with pytest.raises(DataError):
        refuse_overlap(images.hashes, open_dataset(folder / "images.zip", val_file=folder / "list.txt"))


def test_what_is_no_calibration(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        calibration_files(str(tmp_path / "missing"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        calibration_files(str(tmp_path / "empty"))
    with pytest.raises(DataError):
        file_identity(tmp_path / "missing.png")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n")
    net = small_network()
    images = CalibrationImages([broken], Protocol(base_size=28, crop_size=24), "data")
    with pytest.raises(DataError) as caught:
        quantise(net, net.outputs, images, calibration=images.hashes)
    assert caught.value.where == str(broken)
    assert find_quantised(float_model(net, net.outputs)) is None


def test_a_network_without_products_is_refused() -> None:
    net = Network.from_text(
        'input: "x" input_shape { dim: 1 dim: 4 } layer { name: "p" type: "Softmax" bottom: "x" top: "p" }'
    )
    with pytest.raises(NetworkError):
        quantise(net, net.outputs, [], calibration=NOTHING)


def test_a_damaged_cache_says_what_to_do(cache: Path) -> None:
    net = small_network()
    made = quantise(net, net.outputs, batches(net), calibration=NOTHING)
    made.file.write_bytes(made.file.read_bytes()[:1000])
    with pytest.raises(PrecisionError) as caught:
        create_engine("openvino", net, precision="int8")
    assert caught.value.where == str(made.file)
    made.file.with_suffix(".json").write_text("{")
    with pytest.raises(PrecisionError):
        create_engine("openvino", net, precision="int8")
