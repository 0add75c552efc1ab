"""``caffezoo inspect`` and ``caffezoo diff``: what they print, their JSON and their exit status."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from caffezoo.cli.main import main
from caffezoo.formats.caffemodel import read_weights
from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.formats.prototxt import read_prototxt
from tests.model.files import write_example


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The example network, one of other weights and one with a value that is no number."""
    write_example(tmp_path)
    net = read_prototxt(tmp_path / "deploy.prototxt").net
    layers = {x.name: [np.array(b.data) for b in x.blobs] for x in read_weights(tmp_path / "net.caffemodel").layers}
    layers = {name: blobs for name, blobs in layers.items() if blobs}
    layers["fc"][1][3] += 0.5
    write_caffemodel(tmp_path / "other.caffemodel", net, layers)
    layers["conv"][0][0, 0, 0, 0] = np.nan
    write_caffemodel(tmp_path / "nan.caffemodel", net, layers)
    text = (tmp_path / "deploy.prototxt").read_text()
    (tmp_path / "wide.prototxt").write_text(text.replace("num_output: 8", "num_output: 16"))
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    out = capsys.readouterr()
    return int(stop.value.code or 0), out.out, out.err


def test_inspect_says_ranges_and_facts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "inspect", folder / "net.caffemodel")
    assert (status, err) == (0, "")
    assert "8x3x3x3" in out
    assert "batch norms  none in the file" in out
    assert "not finite   none" in out
    status, out, _ = run(capsys, "inspect", folder / "nan.caffemodel", folder / "net.caffemodel", "--json")
    assert status == 1
    bad, good = map(json.loads, out.splitlines())
    conv = {layer["name"]: layer for layer in bad["layers"]}["conv"]
    assert conv["blobs"][0]["nans"] == 1
    assert conv["blobs"][0]["shape"] == [8, 3, 3, 3]
    assert good["values"] == bad["values"] == 8 * 27 + 8 + 80 + 10
    assert good["kind"] == "caffemodel"


def test_inspect_refuses_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("deploy.prototxt", "photo.jpg", "nothing.caffemodel"):
        status, out, err = run(capsys, "inspect", folder / name)
        assert (status, out, err.count("\n")) == (1, "", 1)
        assert name in err


def test_diff_of_weights(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "diff", folder / "net.caffemodel", folder / "net.caffemodel")
    assert (status, out) == (0, "4 of 4 blobs in 2 layers that both have are the same\n")
    status, out, _ = run(capsys, "diff", folder / "net.caffemodel", folder / "other.caffemodel")
    assert status == 1
    assert "fc     1     10     " in out
    assert "3 of 4 blobs" in out
    status, out, _ = run(capsys, "diff", folder / "net.caffemodel", folder / "other.caffemodel", "--json")
    record = json.loads(out)
    assert (status, record["same"]) == (1, False)
    assert [blob["differing"] for blob in record["blobs"]] == [0, 0, 0, 1]
    status, _, _ = run(capsys, "diff", folder / "net.caffemodel", folder / "other.caffemodel", "--tolerance", "1000")
    assert status == 0


def test_diff_of_prototxts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "diff", folder / "deploy.prototxt", folder / "deploy.prototxt")
    assert (status, out) == (0, "the same network: 6 layers\n")
    status, out, _ = run(capsys, "diff", folder / "deploy.prototxt", folder / "wide.prototxt")
    assert (status, out) == (1, "! layer 'conv': convolution_param.num_output 8 -> 16\n")
    status, out, _ = run(capsys, "diff", folder / "deploy.prototxt", folder / "wide.prototxt", "--json")
    assert json.loads(out)["fields"] == [
        {"layer": "conv", "field": "convolution_param.num_output", "first": "8", "second": "16"}
    ]


def test_diff_of_two_kinds_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "diff", folder / "deploy.prototxt", folder / "net.caffemodel")
    assert (status, out) == (2, "")
    assert "nothing to compare" in err
