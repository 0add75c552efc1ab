"""``--engine auto`` in the verbs: one line says what was chosen and why, and that engine runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from caffezoo.cli.main import main
from caffezoo.engines.seeding import seeded_weights
from caffezoo.formats.caffemodel import write_caffemodel
from caffezoo.formats.image_size import Size
from caffezoo.net.graph import Network
from caffezoo.timing.choice import Trial, installed_versions, memory_file, remember
from caffezoo.timing.networks import Job
from tests.engines.networks import SMALL

SQUARE = SMALL.replace("dim: 11 dim: 9", "dim: 11 dim: 11")
SLOW_DEFAULT = {"openvino": 100.0, "onnxruntime": 1.0}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    monkeypatch.setenv("CAFFEZOO_CACHE", str(tmp_path / "cache"))
    prototxt, weights = tmp_path / "small.prototxt", tmp_path / "small.caffemodel"
    prototxt.write_text(SQUARE)
    network = Network.load(prototxt)
    write_caffemodel(weights, network.prototxt.net, dict(seeded_weights(network)[0]))
    return str(prototxt), str(weights)


@pytest.fixture
def image(tmp_path: Path) -> str:
    cv2 = pytest.importorskip("cv2")
    file = tmp_path / "image.png"
    cv2.imwrite(str(file), np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8))
    return str(file)


def know(files: tuple[str, str], size: int | None, batch: int, threads: int | None = None) -> None:
    """Remember a trial in which onnxruntime was the fastest."""
    job = Job("small", Path(files[0]), Size.of(size) if size else None, batch)
    ms = {name: SLOW_DEFAULT.get(name, 200.0) for name in installed_versions()}
    remember(job, "float32", threads, Trial(ms, {}, "2026-12-01"))
    assert memory_file(job, "float32", threads).is_file()


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def notes(text: str) -> list[str]:
    return [line for line in text.splitlines() if "note: engine " in line]


def test_time_measures_the_engine_that_was_chosen(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    know(files, None, 1, threads=1)
    assert run("time", files[0], "--engine", "auto", "--iterations", "1", "--threads", "1", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["engine"] == "onnxruntime"
    (note,) = notes(err)
    assert "engine onnxruntime: 1 ms a batch against openvino 100" in note
    assert "remembered from 2026-12-01" in note


def test_a_trial_is_told_and_made_once(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--engine", "auto", "--iterations", "1", "--threads", "1", "--json"]
    assert run("time", files[0], *flags) == 0
    out, err = capsys.readouterr()
    chosen = json.loads(out)["engine"]
    assert chosen in installed_versions()
    assert f"note: trying {', '.join(installed_versions())} on small" in err
    assert "(tried now)" in notes(err)[0]
    assert run("time", files[0], *flags) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["engine"] == chosen
    assert "trying" not in err


def test_classify_and_run_take_it(files: tuple[str, str], image: str, capsys: pytest.CaptureFixture[str]) -> None:
    know(files, 11, 1)
    assert run("classify", image, *files, "--mean", "0", "--engine", "auto", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)[0]["top"]
    assert "engine onnxruntime" in notes(err)[0]
    know(files, None, 1)
    assert run("run", *files, "--input", image, "--mean", "0", "--engine", "auto", "--json") == 0
    assert "engine onnxruntime" in notes(capsys.readouterr().err)[0]


def test_evaluate_runs_and_records_the_engine_that_was_chosen(
    files: tuple[str, str], image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "val.txt").write_text(f"{image} 1\n")
    know(files, 11, 8)
    flags = ["--data", str(tmp_path / "val.txt"), "--mean", "0", "--engine", "auto", "--json"]
    assert run("evaluate", "--prototxt", files[0], "--weights", files[1], *flags) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["engine"] == "onnxruntime"
    assert len(notes(err)) == 1


def test_it_is_for_the_cpu(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("time", files[0], "--engine", "auto", "--gpu", "0") == 2
    assert "tries engines on the CPU" in capsys.readouterr().err
