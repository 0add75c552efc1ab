"""What cannot be rounded, quantised, folded or written: one clear line each, and the previous file intact."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from caffezoo.cli.main import main
from caffezoo.engines.registry import engine_class
from caffezoo.engines.seeding import seeded_weights
from caffezoo.formats.caffemodel import write_caffemodel
from caffezoo.net.graph import Network
from tests.engines.networks import SMALL

SQUARE = SMALL.replace("dim: 11 dim: 9", "dim: 11 dim: 11")
NO_PRODUCTS = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 11 dim: 11 } } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { global_pooling: true } }
layer { name: "prob" type: "Softmax" bottom: "pool" top: "prob" }
"""
SMALL_FILE = 500
"""Bytes: less than any file of weights here."""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CAFFEZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    cv2 = pytest.importorskip("cv2")
    for name, text in (("net", SQUARE), ("pool", NO_PRODUCTS)):
        (tmp_path / f"{name}.prototxt").write_text(text)
        network = Network.from_text(text)
        blobs = {key: [blob.copy() for blob in own] for key, own in seeded_weights(network)[0].items()}
        write_caffemodel(tmp_path / f"{name}.caffemodel", network.prototxt.net, blobs)
        if blobs:
            blobs["fc"][0][0, 0] = np.nan
            write_caffemodel(tmp_path / "nan.caffemodel", network.prototxt.net, blobs)
    unknown = SQUARE.replace('"Pooling"', '"Pouring"')
    (tmp_path / "unknown.prototxt").write_text(unknown)
    rng = np.random.default_rng(0)
    for folder in ("images", "calibration"):
        (tmp_path / folder).mkdir()
        for i in range(4):
            cv2.imwrite(str(tmp_path / folder / f"{i}.png"), rng.integers(0, 256, (20, 20, 3), dtype=np.uint8))
    (tmp_path / "val.txt").write_text("".join(f"images/{i}.png {i}\n" for i in range(4)))
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"no image")
    (tmp_path / "afile").write_bytes(b"")
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Return the exit status, and what stands on standard error; nothing may stand on standard output."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    out, err = capsys.readouterr()
    assert out == ""
    return int(ended.value.code or 0), err


NET = ["--prototxt", "net.prototxt", "--weights", "net.caffemodel", "--mean", "0"]
NAN = ["net.prototxt", "--weights", "nan.caffemodel"]
EVALUATE = ["evaluate", *NET, "--data", "val.txt", "--precision", "int8", "--calibration"]

CASES: dict[str, tuple[list[str], str]] = {
    "calibrated-on-evaluated": ([*EVALUATE, "images"], "images/0.png: this image was calibrated on"),
    "calibration-unreadable": ([*EVALUATE, "broken"], "broken/a.png: not an image"),
    "calibration-empty": ([*EVALUATE, "empty"], "empty: holds no image"),
    "calibration-nowhere": ([*EVALUATE, "nowhere"], "nowhere: no such folder"),
    "not-quantised": (EVALUATE[:-1], "--calibration DIR makes one"),
    "not-to-be-quantised": (
        ["time", "pool.prototxt", "--precision", "int8"],
        "pool: has no convolution or inner product to quantise",
    ),
    "nan-classified": (
        ["classify", "images/0.png", "net.prototxt", "nan.caffemodel", "--mean", "0"],
        "layer 'fc' (InnerProduct): blob 0 holds 1 value(s) of 360 that are not finite",
    ),
    "nan-folded": (["fold", *NAN, "-o", "out"], "not finite"),
    "nan-exported": (["export", *NAN, "--metal", "out"], "not finite"),
    "nan-scanned": (["precision", "scan", *NAN], "not finite"),
    "nan-studied": (
        ["precision", "--prototxt", *NAN, "--mean", "0", "--data", "val.txt", "--dtypes", "float32"],
        "not finite",
    ),
    "fold-unknown-layer": (
        ["fold", "unknown.prototxt", "--weights", "net.caffemodel", "-o", "out"],
        "unknown layer type 'Pouring'",
    ),
    "fold-into-a-file": (["fold", *NET[:4], "-o", "afile"], "afile: cannot be made"),
    "export-nowhere": (["export", *NET[:4], "--onnx", "nowhere/net.onnx"], "nowhere: no such folder"),
    "export-below-a-file": (["export", *NET[:4], "--metal", "afile/out"], "cannot be written"),
}


@pytest.mark.parametrize(("arguments", "said"), CASES.values(), ids=CASES)
def test_one_line_says_what_and_where(
    files: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(files.iterdir())
    status, err = run(capsys, *arguments)
    (line,) = err.splitlines()
    assert status == (2 if "no such folder" in said and "export" in arguments else 1)
    assert line.startswith("caffezoo: error: ")
    assert said in line
    assert [file for file in sorted(files.iterdir()) if file not in before and file.name != "cache"] == []


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_precision_that_this_cpu_has_not_is_refused_with_those_it_has(
    files: Path, engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    has = engine_class(engine).probe().precisions
    if "float16" in has:
        pytest.skip("this CPU has float16 arithmetic")
    for verb in (["time", "net.prototxt"], ["classify", "images/0.png", *NET]):
        status, err = run(capsys, *verb, "--engine", engine, "--precision", "float16")
        (line,) = err.splitlines()
        assert status == 1
        assert "float16" in line
        assert all(name in line for name in has)


WRITERS: dict[str, tuple[list[str], list[str]]] = {
    "fold": (["fold", *NET[:4], "-o", "out", "--samples", "0"], ["out/net.caffemodel", "out/net.prototxt"]),
    "onnx": (["export", *NET[:4], "--onnx", "net.onnx"], ["net.onnx"]),
    "openvino": (["export", *NET[:4], "--openvino", "net.xml"], ["net.xml", "net.bin"]),
    "caffe-plain": (
        ["export", *NET[:4], "--caffe-plain", "plain.prototxt"],
        ["plain.prototxt", "plain.caffemodel"],
    ),
    "caffe-hdf5": (["export", *NET[:4], "--caffe-hdf5", "net.h5"], ["net.h5"]),
    "coreml-npz": (["export", *NET[:4], "--coreml-npz", "net.npz"], ["net.npz"]),
    "torch": (["export", *NET[:4], "--torch", "net.pt2"], ["net.pt2"]),
    "safetensors": (["export", *NET[:4], "--safetensors", "net.safetensors"], ["net.safetensors"]),
}


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """Let writing fail where a file grows beyond ``SMALL_FILE``."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_FILE, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(("arguments", "written"), WRITERS.values(), ids=WRITERS)
def test_a_full_disk_leaves_the_previous_files_as_they_were(
    files: Path, arguments: list[str], written: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("safetensors", "torch"):
        if f"--{package}" in arguments and find_spec(package) is None:
            pytest.skip(f"no {package}")
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert not ended.value.code
    before = {name: (files / name).read_bytes() for name in written}
    there = sorted(files.rglob("*"))
    capsys.readouterr()
    with full_disk(), pytest.raises(SystemExit) as ended:
        main([*arguments, "--force"])
    assert ended.value.code == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("caffezoo: error: ")]
    assert len(errors) == 1
    assert {name: (files / name).read_bytes() for name in written} == before
    assert sorted(files.rglob("*")) == there


def test_a_full_disk_leaves_no_half_of_a_metal_folder(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = sorted(files.rglob("*"))
    with full_disk():
        status, err = run(capsys, "export", *NET[:4], "--metal", "out")
    (line,) = err.splitlines()
    assert status == 1
    assert "cannot be written" in line or "cannot write" in line
    assert sorted(files.rglob("*")) == there


def test_a_full_disk_leaves_the_quantised_network_that_was_there(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("nncf", reason="needs NNCF: pip install 'caffezoo[int8]'")
    quantise = ["classify", "images/0.png", *NET, "--precision", "int8", "--calibration"]
    with pytest.raises(SystemExit) as ended:
        main([*quantise, "images"])
    assert not ended.value.code
    capsys.readouterr()
    kept = {file: file.read_bytes() for file in (files / "cache" / "quantised").iterdir()}
    assert len(kept) == 2
    with full_disk():
        status, err = run(capsys, *quantise, "calibration")
    assert status == 1
    assert "cannot" in err.splitlines()[-1]
    assert {file: file.read_bytes() for file in (files / "cache" / "quantised").iterdir()} == kept
