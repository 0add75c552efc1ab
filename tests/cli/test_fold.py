"""``caffezoo fold``."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffezoo.cli.main import main
from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.net.graph import Network
from tests.oracle import oracle_python, requires_caffe

NET = """name: "tiny"
input: "data" input_shape { dim: 1 dim: 3 dim: 6 dim: 6 }
layer { name: "pre" type: "BatchNorm" bottom: "data" top: "pre" }
layer { name: "relu0" type: "ReLU" bottom: "pre" top: "pre" }
layer { name: "conv" type: "Convolution" bottom: "pre" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 bias_term: false } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str, str]:
    prototxt, caffemodel = tmp_path / "tiny.prototxt", tmp_path / "tiny.caffemodel"
    prototxt.write_text(NET)
    net = Network.load(prototxt)
    draw = np.random.default_rng(0)
    weights = {n.name: [abs(draw.normal(size=s)).astype(np.float32) + 0.1 for s in n.blob_shapes] for n in net.nodes}
    write_caffemodel(caffemodel, net.prototxt.net, {k: v for k, v in weights.items() if v})
    return str(prototxt), "--weights", str(caffemodel)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["fold", *arguments])
    return int(stopped.value.code or 0)


def test_report_and_files(files: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*files, "-o", str(tmp_path / "out")) == 0
    said = capsys.readouterr().out
    assert said.startswith("conv                                     [max delta: w=")
    assert "kept         pre: 'input' (Input) before it is not linear in its channels" in said
    assert "folded       2 layers into 1" in said
    assert "differs on 0 of 8 ('conv')" in said
    again = Network.load(tmp_path / "out" / "tiny.prototxt", tmp_path / "out" / "tiny.caffemodel")
    assert [n.layer.type for n in again.nodes] == ["Input", "Scale", "ReLU", "Convolution", "ReLU"]
    assert run(*files, "-o", str(tmp_path / "out")) == 2
    assert "is there already; --force replaces it" in capsys.readouterr().err.replace("\n", " ")
    assert run(*files, "-o", str(tmp_path / "out"), "--force") == 0


def test_json(files: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*files, "--samples", "3", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["folded"] == {"bn": "conv", "scale": "conv"}
    assert record["agreement"]["samples"] == 3
    assert record["merged"] is None


def test_images(files: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images").mkdir()
    for i in range(3):
        cv2.imwrite(str(tmp_path / "images" / f"{i}.png"), np.full((9, 8, 3), 60 * i, np.uint8))
    flags = (*files, "--data", str(tmp_path / "images"), "--mean", "104", "--std", "50")
    assert run(*flags, "--samples", "0") == 0
    assert "blobs on 3 images" in capsys.readouterr().out
    assert run(*flags, "--samples", "2", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["agreement"]["samples"], record["images"]["samples"]) == (2, 3)
    assert record["images"]["top1_differs"] == 0
    scale = {blob["blob"]: blob["scale"] for blob in record["images"]["blobs"]}
    assert scale["pre"] > 0
    assert run(*files, "--mean", "104") == 2
    assert "--mean and --std are of the images of --data" in capsys.readouterr().err
    assert run(*files, "--data", str(tmp_path / "none")) == 1
    assert "no such folder" in capsys.readouterr().err


def test_anothers_folding(files: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(*files, "-o", str(tmp_path / "out"), "--samples", "0")
    merged = tmp_path / "out" / "tiny.caffemodel"
    assert run(*files, "--samples", "0", "--against", str(merged)) == 0
    assert "merged       2 of 2 layers as folded here" in capsys.readouterr().out
    net = Network.load(tmp_path / "out" / "tiny.prototxt", merged)
    write_caffemodel(merged, net.prototxt.net, {**net.weights, "conv": (net.weights["conv"][0],)})
    assert run(*files, "--samples", "0", "--against", str(merged)) == 1
    assert "the bias is missing\nmerged       1 of 2 layers as folded here" in capsys.readouterr().out


def test_a_prototxt_needs_weights(files: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(files[0]) == 2
    assert "weights" in capsys.readouterr().err


@requires_caffe
def test_the_folded_files_run_in_real_caffe(files: tuple[str, ...], tmp_path: Path) -> None:
    from caffezoo.engines.registry import create_engine
    from caffezoo.engines.seeding import seeded_inputs

    run(*files, "-o", str(tmp_path / "out"), "--samples", "0")
    whole = Network.load(files[0], files[2])
    folded = Network.load(tmp_path / "out" / "tiny.prototxt", tmp_path / "out" / "tiny.caffemodel")
    inputs = seeded_inputs(whole)
    found = []
    for net in (whole, folded):
        with create_engine("caffe", net, batch_size=2, caffe_python=oracle_python()) as engine:
            found.append(engine.run(inputs)["conv"])
    np.testing.assert_allclose(found[1], found[0], atol=1e-5 * np.abs(found[0]).max())
