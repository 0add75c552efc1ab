"""``caffezoo import``: the report it prints, the file it writes, its refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from caffezoo.cli.main import main
from caffezoo.engines.seeding import hashed_uniform
from caffezoo.formats.caffemodel import read_weights
from caffezoo.net.graph import Network
from caffezoo.weights.conventions import class_order
from caffezoo.zoo.resources import data_path
from caffezoo.zoo.tensor_map import tensor_maps
from tests.weights import torch_writer

NETWORK = "squeezenet-v1.1"


@pytest.fixture(scope="module")
def state() -> dict[str, np.ndarray]:
    """Torch's tensors of SqueezeNet v1.1, numbers by formula."""
    net = Network.load(data_path(f"prototxt/squeezenet/deploy_{NETWORK}.prototxt"))
    mapping = tensor_maps(NETWORK, "torch")["torchvision"]
    return {
        source.tensor: hashed_uniform(source.tensor, shape)
        for node in net.nodes
        for source, shape in zip(mapping.layers.get(node.name, ()), node.blob_shapes, strict=True)
        if source.tensor
    }


@pytest.fixture(scope="module")
def torch_file(state, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("import") / "squeezenet1_1.pth"
    path.write_bytes(torch_writer.files_of(state)["zip"])
    return path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["import", *map(str, arguments)])
    return int(stopped.value.code or 0)


def test_report_and_file(torch_file, state, tmp_path, capsys):
    out = tmp_path / "s.caffemodel"
    assert run(torch_file, "--net", NETWORK, "-o", out) == 0
    text = capsys.readouterr().out
    assert "squeezenet1_1.pth (torch, torchvision's names)" in text
    assert "52 read, 52 mapped, 0 unused" in text
    assert "features.0.weight 64x3x3x3 -> 64x3x3x3: rgb_to_bgr" in text
    assert "made the network's, mean 104 117 123 std 1 1 1, in 'conv1'" in text
    assert str(out) in text
    layers = read_weights(out).by_name()
    std = np.array([57.375, 57.12, 58.395], np.float32)[:, None, None]
    wanted = state["features.0.weight"][:, ::-1] / std
    np.testing.assert_allclose(layers["conv1"].blobs[0].data, wanted, rtol=1e-6)
    np.testing.assert_array_equal(layers["conv10"].blobs[0].data, state["classifier.1.weight"])


def test_labels_and_json(torch_file, state, tmp_path, capsys):
    out = tmp_path / "s.caffemodel"
    arguments = ("--net", "squeezenet_v1.1", "-o", out, "--labels", "2015", "--keep-normalisation", "--json")
    assert run(torch_file, *arguments) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["framework"], record["scheme"], record["tensors_mapped"]) == ("torch", "torchvision", 52)
    assert record["notes"] == ["rows of 'conv10' put from the order of 2012 into that of 2015"]
    layers = read_weights(out).by_name()
    order = class_order("2012", "2015")
    np.testing.assert_array_equal(layers["conv10"].blobs[1].data, state["classifier.1.bias"][order])
    np.testing.assert_array_equal(layers["conv1"].blobs[0].data, state["features.0.weight"][:, ::-1])


def test_nothing_is_written_without_output(torch_file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(torch_file, "--net", NETWORK) == 0
    assert "nothing written: give --output" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_parity_without_torch(torch_file, capsys, tmp_path):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'torch'\" >&2\nexit 1\n")
    script.chmod(0o755)
    assert run(torch_file, "--net", NETWORK, "--parity", "--torch-python", script) == 1
    assert "parity       not run: torchvision:squeezenet1_1: ModuleNotFoundError" in capsys.readouterr().out


def test_parity_of_a_caffemodel(torch_file, tmp_path, capsys):
    out = tmp_path / "s.caffemodel"
    assert run(torch_file, "--net", NETWORK, "-o", out) == 0
    assert run(out, "--net", NETWORK, "--parity", "--json") == 1
    text = capsys.readouterr().out
    assert "caffe has no source model to run" in text


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--net", "squeezenet-v1.0"), 1, "conv10 by one pixel"),
        (("--net", "dpn-92"), 1, "tried cadene, timm"),
        (("--net", "sqeezenet"), 2, "did you mean"),
        (("--net", NETWORK, "--labels", "2013"), 2, "no such order of classes"),
        (("--net", NETWORK, "--torch-python", "python"), 2, "with --parity only"),
        (("--net", NETWORK, "-o", "none/a.caffemodel"), 2, "no such folder"),
        (("--net", NETWORK, "--scheme", "tim"), 2, "unknown naming scheme 'tim'"),
        (("--net", NETWORK, "--drop-background"), 1, "no background class"),
    ],
)
def test_refused(torch_file, capsys, arguments, status, message):
    assert run(torch_file, *arguments) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("caffezoo: error: ")
    assert error.count("\n") == 1


def test_files_that_are_none(tmp_path, torch_file, capsys):
    assert run(tmp_path / "none.pth", "--net", NETWORK) == 2
    assert run(torch_file, "--net", NETWORK, "-o", torch_file) == 2
    page = tmp_path / "page.pth"
    page.write_bytes(b"<!DOCTYPE html><html><body>Quota</body></html>")
    assert run(page, "--net", NETWORK) == 1
    error = capsys.readouterr().err
    assert "no such file" in error
    assert "would replace the file that is read" in error
    assert "no weights file: it is an HTML page" in error
