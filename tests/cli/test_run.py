"""``caffezoo run``: any input, any blob."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffezoo.cli.main import main
from caffezoo.engines.seeding import seeded_weights
from caffezoo.formats.binaryproto import write_binaryproto
from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.model.loading import load
from caffezoo.model.model import Model
from caffezoo.net.graph import Network
from tests.model.files import write_example

MEAN = ["--mean", "104 117 123", "--base-size", "40"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_example(tmp_path)


@pytest.fixture
def model(folder: Path) -> Model:
    return load(folder / "deploy.prototxt", folder / "net.caffemodel", mean=(104, 117, 123), base_size=40)


def run(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str | Path) -> tuple[int, str, str]:
    files = [folder / "deploy.prototxt", folder / "net.caffemodel"]
    with pytest.raises(SystemExit) as stop:
        main(["run", *map(str, files), *(str(a).replace("{d}", str(folder)) for a in arguments)])
    out = capsys.readouterr()
    return int(stop.value.code or 0), out.out, out.err


def test_an_array_goes_in_as_it_is(folder: Path, model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    data = np.random.default_rng(0).normal(0, 1, (3, 3, 32, 32))
    expected = model.forward(data, blobs=["conv", "prob"])
    np.save(folder / "a.npy", data)
    np.savez(folder / "two.npz", one=data, other=1 + data)
    np.savez(folder / "one.npz", only=data)
    for value in ("a.npy", "two.npz:one", "one.npz"):
        status, out, err = run(
            capsys, folder, "--input", f"data={{d}}/{value}", "--blob", "conv", "--blob", "prob", "-o", "{d}/out"
        )
        assert (status, err) == (0, "")
        assert "3x8x30x30" in out
        for blob, wanted in expected.items():
            np.testing.assert_array_equal(np.load(folder / f"out/{blob}.npy"), wanted)
    status, _, _ = run(capsys, folder, "--input", "{d}/a.npy", "-o", "{d}/out.npz")
    assert status == 0
    with np.load(folder / "out.npz") as archive:
        assert archive.files == ["prob"]
        np.testing.assert_array_equal(archive["prob"], expected["prob"])
    np.save(folder / "b.npy", data[1])
    status, out, _ = run(capsys, folder, "--input", "{d}/b.npy", "--json")
    assert json.loads(out)["blobs"]["prob"]["shape"] == [1, 10]


def test_an_image_is_seen_as_the_network_sees_images(
    folder: Path, model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, folder, "--input", "data={d}/photo.jpg", *MEAN, "-o", "{d}/out.npz")
    assert status == 0, err
    with np.load(folder / "out.npz") as archive:
        np.testing.assert_allclose(archive["prob"][0], model.predict(folder / "photo.jpg").probabilities, rtol=1e-4)
    assert "prob: " in out
    status, _, err = run(capsys, folder, "--input", "data={d}/photo.jpg")
    assert status == 2
    assert "--mean" in err


def test_images_give_a_row_each(folder: Path, model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "photos").mkdir()
    for i in range(3):
        (folder / f"{i}.png").rename(folder / f"photos/{i}.png")
    flags = [*MEAN, "--blob", "pool", "--blob", "prob", "-o", "{d}/out", "--json"]
    status, out, err = run(capsys, folder, "--input", "{d}/photos", *flags)
    assert status == 0, err
    assert json.loads(out)["blobs"]["pool"]["shape"] == [3, 8, 1, 1]
    names = [str(folder / f"photos/{i}.png") for i in range(3)]
    assert (folder / "out/images.txt").read_text().splitlines() == names
    np.testing.assert_allclose(np.load(folder / "out/pool.npy"), model.features(names, "pool"), rtol=1e-4, atol=1e-5)
    (folder / "photos/1.png").write_text("no image")
    status, _, err = run(capsys, folder, "--input", "{d}/photos", *flags)
    assert status == 1
    assert "photos/1.png" in err
    rows = np.isnan(np.load(folder / "out/pool.npy")).all(axis=(1, 2, 3))
    assert rows.tolist() == [False, True, False]


def test_boxes_of_one_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A blob of boxes has no batch axis, and as many rows as objects were found."""
    (tmp_path / "deploy.prototxt").write_text("""
        layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 32 dim: 32 } } }
        layer { name: "loc" type: "Convolution" bottom: "data" top: "loc"
                convolution_param { num_output: 4 kernel_size: 8 stride: 8 } }
        layer { name: "conf" type: "Convolution" bottom: "data" top: "conf"
                convolution_param { num_output: 2 kernel_size: 8 stride: 8 } }
        layer { name: "priors" type: "PriorBox" bottom: "loc" bottom: "data" top: "priors"
                prior_box_param { min_size: 8 } }
        layer { name: "l" type: "Flatten" bottom: "loc" top: "l" }
        layer { name: "c" type: "Flatten" bottom: "conf" top: "c" }
        layer { name: "boxes" type: "DetectionOutput" bottom: "l" bottom: "c" bottom: "priors" top: "boxes"
                detection_output_param { num_classes: 2 keep_top_k: 20 nms_param { nms_threshold: 0.5 top_k: 20 }
                                         confidence_threshold: 0.1 } }
    """)
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), rng.integers(0, 255, (40, 40, 3), np.uint8))
    network = Network.load(tmp_path / "deploy.prototxt")
    write_caffemodel(tmp_path / "net.caffemodel", network.prototxt.net, seeded_weights(network)[0])
    flags = [*MEAN, "-o", "{d}/out.npz"]
    status, _, err = run(capsys, tmp_path, "--input", "{d}/a.png", *flags)
    assert status == 0, err
    with np.load(tmp_path / "out.npz") as archive:
        assert archive["boxes"].ndim == 4
        assert archive["boxes"].shape[-1] == 7
    status, _, err = run(capsys, tmp_path, "--input", "{d}/a.png", "--input", "{d}/b.png", *flags)
    assert status == 1
    assert "one image at a time" in err


def test_several_inputs_arrays_images_and_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_example(tmp_path)
    (tmp_path / "deploy.prototxt").write_text("""
        input: "im=data" input_shape { dim: 1 dim: 3 dim: 32 dim: 32 }
        input: "im_info" input_shape { dim: 1 dim: 3 }
        layer { name: "conv" type: "Convolution" bottom: "im=data" top: "conv"
                convolution_param { num_output: 8 kernel_size: 3 } }
        layer { name: "fc" type: "InnerProduct" bottom: "im_info" top: "file" inner_product_param { num_output: 2 } }
    """)
    network = Network.load(tmp_path / "deploy.prototxt")
    weights = seeded_weights(network)[0]
    write_caffemodel(tmp_path / "net.caffemodel", network.prototxt.net, weights)
    write_binaryproto(tmp_path / "mean.binaryproto", np.ones((3, 32, 32), np.float32))
    for value in ("mean.binaryproto", "photo.jpg"):
        status, _, err = run(
            capsys, tmp_path, "--input", f"im=data={{d}}/{value}", "--input", "im_info=600,800,1.5", "-o", "{d}/o.npz",
            *(["--mean", "0"] if value == "photo.jpg" else []),
        )  # fmt: skip
        assert status == 0, err
        with np.load(tmp_path / "o.npz") as archive:
            kernel, bias = weights["fc"]
            np.testing.assert_allclose(archive["file"][0], kernel @ np.float32([600, 800, 1.5]) + bias, rtol=1e-4)
            assert archive["conv"].shape == (1, 8, 30, 30)
    status, _, err = run(capsys, tmp_path, "--input", "{d}/photo.jpg")
    assert (status, "is for none of the inputs im=data, im_info" in err) == (2, True)
    status, _, err = run(capsys, tmp_path, "--input", "im_info=1,2")
    assert (status, "2 numbers" in err) == (2, True)


def test_bad_input_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(folder / "objects.npy", np.array([{}]), allow_pickle=True)
    np.save(folder / "text.npy", np.array(["a"]))
    np.save(folder / "nan.npy", np.full((1, 3, 32, 32), np.nan))
    np.save(folder / "flat.npy", np.zeros(7))
    (folder / "cut.npy").write_bytes((folder / "nan.npy").read_bytes()[:500])
    (folder / "not.npy").write_text("an array")
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }".ljust(117) + b"\n"
    (folder / "vast.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00" + header)
    cases = [
        ([], 2, "which input?"),
        (["--input", "{d}/objects.npy"], 1, "objects.npy"),
        (["--input", "{d}/text.npy"], 1, "no numbers"),
        (["--input", "{d}/nan.npy"], 1, "not finite"),
        (["--input", "{d}/flat.npy"], 1, "layer 'conv'"),
        (["--input", "{d}/cut.npy"], 1, "cut.npy"),
        (["--input", "{d}/not.npy"], 1, "this is no array"),
        (["--input", "{d}/vast.npy"], 1, "vast.npy"),
        (["--input", "{d}/none.npy"], 2, "no such file"),
        (["--input", "data={d}/nan.npy", "--input", "data={d}/nan.npy"], 2, "given 2 times"),
        (["--input", "{d}/nan.npy", "--blob", "pol"], 2, "did you mean pool"),
        (["--input", "{d}/none.jpg", *MEAN], 1, "none.jpg"),
        (["--input", "{d}/photo.jpg", *MEAN, "-o", "{d}/no/x.npz"], 2, "no such folder"),
        (["--input", "{d}/photo.jpg", *MEAN, "-o", "{d}/photo.jpg"], 2, "not a folder"),
    ]
    before = sorted(folder.iterdir())
    for arguments, wanted, message in cases:
        status, out, err = run(capsys, folder, *arguments)
        assert (status, out) == (wanted, ""), (arguments, err)
        assert message in err, err
    assert sorted(folder.iterdir()) == before


def test_any_blob_name_is_kept(tmp_path: Path) -> None:
    from caffezoo.model.blob_files import write_blobs

    blobs = {
        name: np.full(2, i, np.float32) for i, name in enumerate(("file", "../../up", "a/b", "a_b", "allow_pickle"))
    }
    write_blobs(blobs, tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as archive:
        assert {name: archive[name][0] for name in archive.files} == {n: b[0] for n, b in blobs.items()}
    files = write_blobs(blobs, tmp_path / "inner")
    assert {name: np.load(file)[0] for name, file in files.items()} == {n: b[0] for n, b in blobs.items()}
    assert all(file.parent == tmp_path / "inner" for file in files.values())
