"""`caffezoo time` from flags to output, and the store behind it."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from caffezoo.cli.main import main
from caffezoo.report.rows import TimeRow
from caffezoo.report.store import Store
from tests.engines.networks import SMALL
from tests.timing.test_binary import caffe  # noqa: F401
from tests.timing.test_loadgen import requires_loadgen

SQUARE = SMALL.replace("dim: 11 dim: 9", "dim: 11 dim: 11")
QUICK = ["--engine", "onnxruntime", "--iterations", "2", "--budget", "0.2", "--threads", "1"]


@pytest.fixture
def prototxt(tmp_path: Path) -> str:
    path = tmp_path / "deploy_small.prototxt"
    path.write_text(SQUARE)
    return str(path)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["time", *arguments])
    return int(ended.value.code or 0)


def test_a_file_is_timed_layer_by_layer(prototxt: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--net", prototxt, *QUICK) == 0
    text = capsys.readouterr().out
    assert text.startswith("small, 11 px, batch 1: onnxruntime ")
    assert "     conv1\tforward: " in text
    assert "Median Forward pass: " in text
    assert "Backward" not in text


def test_json_csv_and_a_sweep_of_batches(prototxt: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--net", prototxt, *QUICK, "--batch", "1,4", "--json") == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [r["batch_size"] for r in records] == [1, 4]
    assert all(r["forward_ms"] > 0 and r["iterations"] == 2 and r["layers"] and r["cpu"] for r in records)
    assert run("--net", prototxt, *QUICK, "--csv", "--no-layers") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(r["network"], r["layer"], r["backward_ms"]) for r in rows] == [("small", "", "")]


def test_a_recorded_measurement_is_not_made_again(
    prototxt: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    record = ["--net", prototxt, *QUICK, "--record", "--results", str(folder)]
    assert run(*record) == 0
    assert run(*record, "--batch", "1,2") == 0
    assert "1 measurements were in the store already" in capsys.readouterr().err
    store = Store(folder)
    assert [(row.network, row.batch_size) for row in store.time().rows] == [("small", 1), ("small", 2)]
    assert {layer.run for layer in store.layers().rows} == {row.run for row in store.time().rows}
    Path(prototxt).write_text(SQUARE.replace("num_output: 5", "num_output: 6"))
    assert run(*record) == 0  # another network under the same name
    assert len(store.time().rows) == 3


def test_a_measurement_with_a_large_spread_is_made_again(
    prototxt: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = ["--net", prototxt, *QUICK, "--record", "--results", str(tmp_path)]
    assert run(*record) == 0
    (row,) = Store(tmp_path).time().rows
    assert row.forward_ms is not None
    held = tmp_path / "held"
    held.mkdir()
    # How large the spread of a measurement is, and whether it is 0, is the machine's affair.
    values = {**row.model_dump(exclude={"run"}), "forward_spread_ms": row.forward_ms / 2}
    Store(held).append([TimeRow.make(values, "test")])
    record[-1] = str(held)
    assert run(*record, "--max-spread", "60") == 0
    assert len(Store(held).time().rows) == 1
    assert run(*record, "--max-spread", "40") == 0
    assert len(Store(held).time().rows) == 2
    assert run("--net", prototxt, *QUICK, "--max-spread", "5") == 2
    assert "--max-spread is percent above 0, and for --record" in capsys.readouterr().err


def test_the_real_program_is_followed(
    prototxt: str,
    caffe: str,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run("--net", prototxt, "--caffe", caffe) == 0
    text = capsys.readouterr().out
    assert "small, 11 px, batch 1: caffe-time 1.0.0, CPU, float32" in text
    assert "       fc6\tbackward: 73.5907 ms." in text
    assert "Average Forward pass: 163.771 ms." in text
    monkeypatch.setenv("CAFFEZOO_REPLAY", str(Path(__file__).parents[1] / "timing" / "logs" / "fail-axpy.log"))
    assert run("--net", prototxt, "--caffe", caffe) == 1
    assert capsys.readouterr().err == (
        "caffezoo: error: caffe time: layer 'relu1': this Caffe has no layer type Axpy\n"
    )


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--net", "resnte50"], 2, "unknown network 'resnte50'"),
        (["--net", "no.prototxt"], 2, "no.prototxt: no such file"),
        (["--net", "FILE", "--engine", "tensorrt"], 2, "unknown engine 'tensorrt'"),
        (["--net", "FILE", "--engine", "openvino", "--gpu", "0"], 2, "a GPU is for torch, caffe"),
        (["--net", "FILE", "--batch", "1,x"], 2, "--batch 1,x is not a list"),
        (["--net", "FILE", "--iterations", "0"], 2, "0 iterations are not positive"),
        (["--net", "FILE", "--budget", "0"], 2, "are seconds above 0"),
        (["--net", "FILE", "--json", "--csv"], 2, "exclude each other"),
        (["--net", "FILE", "--caffe", "/no/caffe"], 1, "no such program: /no/caffe"),
        (["--net", "FILE", "--caffe", "c", "--engine", "torch"], 2, "exclude each other"),
        (["--net", "FILE", "--engine", "caffe", "--caffe-python", "/no/python"], 1, "no such Python '/no/python'"),
        (["--net", "resnet50", "--preset", "medium"], 2, "unknown preset 'medium'"),
        (["--net", "FILE", "--crop-size", "2"], 1, "a window of 3 px does not fit 1 px"),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: list[str], status: int, words: str, prototxt: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*[prototxt if word == "FILE" else word for word in arguments]) == status
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert words in error


def test_without_torch_it_says_how_to_get_it(
    prototxt: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run("--net", prototxt, "--engine", "torch") == 1
    assert "PyTorch is not installed; pip install 'caffezoo[torch]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scenario", "offline"], "are for --loadgen"),
        (["--loadgen", "logs", "--record"], "without --caffe, --record"),
        (["--loadgen", "logs", "--scenario", "server"], "unknown scenario 'server'"),
        (["--loadgen", "logs", "--min-duration", "0"], "seconds above 0"),
        (["--loadgen", "logs", "--min-duration", "nan"], "seconds above 0"),
        (["--loadgen", "logs", "--min-queries", "0"], "a number above 0"),
        (["--loadgen", "logs", "--scenario", "single-stream", "--batch", "4"], "one image a query"),
    ],
    ids=["scenario-alone", "record", "no-scenario", "no-time", "nan", "no-queries", "batch"],
)
def test_flags_of_the_load_generator(
    prototxt: str, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caffezoo.timing.loadgen.check_installed", lambda: None)  # flags come first where it is not
    assert run("--net", prototxt, *arguments) == 2
    assert said in capsys.readouterr().err


def test_without_the_load_generator_the_extra_is_named(
    prototxt: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    assert run("--net", prototxt, "--loadgen", str(tmp_path / "logs")) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "caffezoo[loadgen]" in line


@requires_loadgen
def test_the_load_generators_verdict_is_printed(
    prototxt: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = ["--min-duration", "0.1", "--min-queries", "70", "--threads", "1"]
    status = run("--net", prototxt, "--loadgen", str(tmp_path / "a"), *limits, "--batch", "1,3", "--json")
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(r["scenario"], r["batch_size"]) for r in records] == [("single-stream", 1), ("offline", 1), ("offline", 3)]
    assert all(r["queries"] >= 70 and r["cpu"] and Path(r["folder"]).is_dir() for r in records)
    assert status == (0 if all(r["valid"] for r in records) else 1)  # LoadGen's verdict is the machine's affair
    status = run("--net", prototxt, "--loadgen", str(tmp_path / "b"), *limits, "--scenario", "offline")
    text = capsys.readouterr().out
    assert "LoadGen says" in text
    assert (" INVALID" if status else " VALID") in text
    assert run("--net", prototxt, "--loadgen", str(tmp_path / "b"), *limits, "--scenario", "offline") == 2
    assert "there already" in capsys.readouterr().err


@requires_loadgen
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_ctrl_c_ends_the_load_generator(tmp_path: Path) -> None:
    prototxt = str(tmp_path / "deploy_slow.prototxt")  # LoadGen plans its queries beforehand: not too many of them
    Path(prototxt).write_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 224 dim: 224 } } }\n'
        'layer { name: "c" type: "Convolution" bottom: "x" top: "c" '
        "convolution_param { num_output: 64 kernel_size: 7 pad: 3 } }"
    )
    command = [sys.executable, "-m", "caffezoo", "time", "--net", prototxt, "--loadgen", str(tmp_path / "logs")]
    command += ["--min-duration", "600", "--scenario", "single-stream", "--threads", "1"]
    # A run of the tests in the background ignores Ctrl-C, and so would its children.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heard) as child:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("logs/*/*detail*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        (own,) = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)
    assert child.returncode == 130
    assert not Path(f"/proc/{own}").exists()
    assert list(tmp_path.glob("logs/*/*detail*"))
