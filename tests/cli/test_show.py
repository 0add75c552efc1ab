"""``caffezoo show`` and ``caffezoo export`` on files and networks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from caffezoo.cli.main import main
from caffezoo.formats.caffemodel import write_caffemodel
from caffezoo.net.graph import Network

TEXT = """
name: "tiny" input: "data" input_shape { dim: 4 dim: 3 dim: 8 dim: 8 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 bias_term: false } forward_math: FLOAT16 }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "prob" type: "Softmax" bottom: "pool" top: "prob" }
"""


@pytest.fixture
def prototxt(tmp_path: Path) -> Path:
    path = tmp_path / "deploy.prototxt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def caffemodel(prototxt: Path) -> Path:
    net = Network.load(prototxt)
    path = prototxt.with_name("net.caffemodel")
    blobs = {n.name: [np.full(s, 0.5, np.float32) for s in n.blob_shapes] for n in net.nodes if n.blob_shapes}
    write_caffemodel(path, net.prototxt.net, blobs)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    out = capsys.readouterr()
    return int(stop.value.code or 0), out.out, out.err


def test_show_prints_layers_totals_and_the_files_warnings(prototxt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "show", prototxt)
    assert status == 0
    assert "conv   Convolution  1x4x6x6" in out
    assert "parameters   116" in out
    assert f"MACs         {4 * 36 * 27:,}" in out
    assert err.count("forward_math") == 1
    assert err.count("\n") == 1
    assert "forward_math" not in out


def test_show_json_is_complete_at_another_size(prototxt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "show", prototxt, "--size", "11", "--json")
    record = json.loads(out)
    assert status == 0
    assert record["inputs"] == {"data": [1, 3, 11, 11]}
    assert record["outputs"] == {"prob": [1, 4, 1, 1]}
    assert record["total"]["macs"] == 4 * 81 * 27
    assert [layer["type"] for layer in record["layers"]] == ["Input", "Convolution", "BatchNorm", "Pooling", "Softmax"]


def test_show_draws(prototxt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "show", prototxt, "--svg", tmp_path / "g.svg", "--dot", tmp_path / "g.dot")
    assert status == 0
    assert (tmp_path / "g.svg").read_text().startswith("<svg")
    assert (tmp_path / "g.dot").read_text().startswith("digraph")
    assert "g.svg" in out


UNKNOWN = """
input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
layer { name: "w" type: "Wonder" bottom: "data" top: "w" }
layer { name: "relu" type: "ReLU" bottom: "w" top: "w" }
layer { name: "p" type: "Python" bottom: "data" top: "p" python_param { module: "mine" layer: "Mine" } }
"""


def test_unknown_layers_are_shown_before_they_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(UNKNOWN)
    status, out, err = run(capsys, "show", path, "--dot", tmp_path / "g.dot")
    assert status == 1
    assert [line.split() for line in out.splitlines()[1:5]] == [
        ["input", "Input", "1x3x8x8"], ["w", "Wonder", "?"], ["relu", "ReLU", "?"], ["p", "Python", "?"],
    ]  # fmt: skip
    assert "4, of which 3 have no known shape" in out
    assert err.count("error:") == 1
    assert "unknown layer type 'Wonder'" in err
    assert "Wonder" in (tmp_path / "g.dot").read_text()
    status, out, err = run(capsys, "show", path, "--json")
    assert status == 1
    assert [layer["shapes"] for layer in json.loads(out)["layers"]] == [[[1, 3, 8, 8]], [None], [None], [None]]


def test_code_that_is_not_run_unasked_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(UNKNOWN.replace('type: "Wonder"', 'type: "TanH"'))
    status, out, err = run(capsys, "show", path)
    assert status == 1
    assert "1x3x8x8" in out.splitlines()[3]
    assert "4, of which 1 have no known shape" in out
    assert "class 'Mine' of Python module 'mine'" in err


def test_show_of_a_zoo_network_adds_what_the_index_knows(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "show", "dpn92")
    assert "paper          https://arxiv.org/abs/1707.01629" in out
    assert "top-1 20.81 %, top-5 5.47 %" in out


def test_export_folds_and_the_result_runs_at_any_batch(
    prototxt: Path, caffemodel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnxruntime

    target = tmp_path / "net.onnx"
    status, out, _ = run(capsys, "export", prototxt, "--weights", caffemodel, "--onnx", target)
    assert status == 0
    assert "3 operators" in out or "4 operators" in out
    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    scores = session.run(None, {"data": np.ones((7, 3, 8, 8), np.float32)})[0]
    np.testing.assert_allclose(scores.reshape(7, 4), 0.25)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("show", "nothing.prototxt"), 2, "nothing.prototxt"),
        (("export", "{p}", "--onnx", "x.onnx"), 2, "a prototxt file needs --weights FILE"),
        (("export", "{p}", "--weights", "{p}", "--onnx", "{d}/x.onnx"), 1, "deploy.prototxt"),
        (("export", "{p}", "--weights", "{w}", "--onnx", "{d}/no/x.onnx"), 2, "no such folder"),
        (("export", "{p}", "--weights", "{w}", "--onnx", "{d}/x.onnx", "--output", "prop"), 2, "did you mean prob"),
        (("show", "{p}", "--size", "2"), 1, "layer 'conv' (Convolution)"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    arguments: tuple[str, ...], status: int, message: str, caffemodel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = caffemodel.parent
    names = {"p": folder / "deploy.prototxt", "w": caffemodel, "d": folder}
    code, out, err = run(capsys, *(a.format(**names) for a in arguments))
    assert (code, out) == (status, "")
    assert message in err
    assert err.count("error:") == 1
    assert err.count("warning:") == err.count("forward_math") <= 1
    assert not list(folder.glob("*.onnx*"))
