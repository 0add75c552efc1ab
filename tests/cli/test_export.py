"""``caffezoo export`` from flags to files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from caffezoo.cli.main import main
from tests.precision.networks import MEAN, STD, write_files


@pytest.fixture
def net(tmp_path: Path) -> list[object]:
    write_files(tmp_path, images=4)
    return [tmp_path / "net.prototxt", "--weights", tmp_path / "net.caffemodel"]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["export", *map(str, arguments)])
    out, err = capsys.readouterr()
    return caught.value.code or 0, out, err


def test_several_formats_at_once(net: list, tmp_path: Path, capsys) -> None:
    files = [
        "--onnx",
        tmp_path / "o.onnx",
        "--openvino",
        tmp_path / "o.xml",
        "--caffe-plain",
        tmp_path / "plain.prototxt",
    ]
    status, out, _ = run(capsys, *net, *files, "--json")
    assert status == 0
    records = [json.loads(line) for line in out.splitlines()]
    assert [r["format"] for r in records] == ["onnx", "openvino", "caffe-plain"]
    assert all(r["difference"] < 1e-5 and Path(f).is_file() for r in records for f in r["files"])


def test_preprocessing_needs_a_mean_for_a_file(net: list, tmp_path: Path, capsys) -> None:
    target = ["--onnx", tmp_path / "o.onnx", "--preprocessing"]
    status, _, err = run(capsys, *net, *target)
    assert status == 2
    assert "--mean" in err
    status, out, _ = run(capsys, *net, *target, "--mean", *MEAN, "--std", *STD)
    assert status == 0
    assert "same outputs as the source" in out


def test_metal_is_written_read_back_and_compared(net: list, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "dat"
    status, out, _ = run(capsys, *net, "--metal", folder)
    assert status == 0
    assert out.count("[max delta: w=0.000000 b=0.000000]") == 3
    status, out, _ = run(capsys, *net, "--compare", folder)
    assert status == 0
    assert "3 of 3 layers within 1e-05" in out
    file = folder / "weights_fc.dat"
    changed = np.fromfile(file, "<f4")
    changed[3] += 0.5
    changed.tofile(file)
    status, out, _ = run(capsys, *net, "--compare", folder)
    assert status == 1
    assert "[max delta: w=0.500000 b=0.000000]" in out
    (tmp_path / "nothing").mkdir()
    status, out, _ = run(capsys, *net, "--compare", tmp_path / "nothing")
    assert status == 1


def test_predictions_of_three_models(net: list, tmp_path: Path, capsys) -> None:
    folder, text = tmp_path / "dat", tmp_path / "predictions.txt"
    run(capsys, *net, "--metal", folder)
    scaling = ["--mean", *MEAN, "--std", *STD]
    status, out, _ = run(
        capsys, *net, "--compare", folder, "--predictions", text, "--data", tmp_path / "images", *scaling
    )
    assert status == 0
    assert "[G] against [T]  top-1 differs on 0 of 4" in out
    assert len(text.read_text().splitlines()) == 12
    status, out, _ = run(capsys, *net, "--predictions", text, "--json")
    assert [json.loads(line)["top1"] for line in out.splitlines()] == [0, 0]


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--onnx", "{d}/o.txt"],
        ["--onnx", "{d}/net.prototxt"],
        ["--safetensors", "{d}/s.safetensors", "--preprocessing"],
        ["--onnx", "{d}/o.onnx", "--batch", "0"],
        ["--onnx", "{d}/o.onnx", "--size", "big"],
        ["--predictions", "{d}/p.txt"],
    ],
    ids=" ".join,
)
def test_flags_that_make_no_sense(net: list, tmp_path: Path, capsys, flags: list[str]) -> None:
    status, out, err = run(capsys, *net, *(flag.format(d=tmp_path) for flag in flags))
    assert status == 2
    assert out == ""
    assert err.startswith("caffezoo: error:")
    assert (tmp_path / "net.prototxt").is_file()
