"""`caffezoo train --solver` and `caffezoo caffe`, from flags to files and lines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from caffezoo.cli.caffe import parse_flags
from caffezoo.cli.main import main
from caffezoo.errors import UsageError
from caffezoo.formats.caffemodel import read_weights
from caffezoo.training.caffe_log import parse_training_log
from tests.training.pictures import NET as SMALL
from tests.training.pictures import draw_classes
from tests.training.test_solver import NET

pytest.importorskip("torch", reason="training needs PyTorch (extra torch)")

SOLVER = """net: "net.prototxt" base_lr: 0.02 lr_policy: "fixed" momentum: 0.9 max_iter: {} display: 2
snapshot_prefix: "net" random_seed: 3 test_iter: 2 test_interval: 4 solver_mode: CPU
"""


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    Path("solver.prototxt").write_text(SOLVER.format(6))


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def test_a_solver_trains_and_its_log_is_one_of_caffes(capsys):
    assert run("train", "--solver", "solver.prototxt", "--log", "train.log", "--threads", "1") == 0
    text = Path("train.log").read_text()
    assert text in capsys.readouterr().err
    log = parse_training_log(text)
    assert (log.done, log.iterations, log.device, log.parameters["base_lr"]) == (True, 6, "CPU", "0.02")
    assert [(v["iteration"], v["phase"]) for v in log.curve if v["output"] == "loss"] == [
        (0, "test"),
        (0, "train"),
        (2, "train"),
        (4, "test"),
        (4, "train"),
    ]
    assert Path("net_iter_6.solverstate").exists()
    assert run("train", "--solver", "solver.prototxt", "--weights", "net_iter_6.caffemodel", "--threads", "1") == 0
    Path("solver.prototxt").write_text(SOLVER.format(9))
    assert run("train", "--solver", "solver.prototxt", "--snapshot", "net_iter_6.solverstate") == 0
    assert Path("net_iter_9.caffemodel").exists()


def test_caffes_own_commands(capsys):
    assert run("caffe", "train", "-solver", "solver.prototxt", "--sigint_effect=none") == 0
    capsys.readouterr()
    test = ("caffe", "test", "--model=net.prototxt", "-weights", "net_iter_6.caffemodel", "-iterations", "3")
    assert run(*test) == 0
    lines = [line.partition("] ")[2] for line in capsys.readouterr().err.splitlines()]
    assert lines[1] == "Running for 3 iterations."
    batches = [float(line.rpartition(" ")[2]) for line in lines if line.startswith("Batch")]
    assert len(batches) == 3
    assert lines[-1].startswith("loss = ")
    assert float(lines[-1].split()[2]) == pytest.approx(np.mean(batches), rel=1e-4)
    assert run("caffe", "time", "-model", "net.prototxt", "-iterations", "2", "-phase", "TRAIN") == 0
    text = capsys.readouterr().err
    assert "Average Forward-Backward: " in text
    assert "      conv\tforward: " in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train",), "give --solver FILE"),
        (("train", "--solver", "none"), "none: cannot read"),
        (("train", "--solver", "solver.prototxt", "--weights", "a", "--snapshot", "b"), "not both"),
        (("train", "--solver", "solver.prototxt", "--snapshot", "b"), "no such solver state"),
        (("train", "--solver", "solver.prototxt", "--gpu", "99"), "no CUDA device 99"),
        (("caffe", "train"), "Need a solver definition"),
        (("caffe", "train", "-solvr", "x"), "unknown flag 'solvr'; did you mean solver"),
        (("caffe", "test", "-model", "net.prototxt"), "Need model weights"),
        (("caffe", "tran"), "did you mean train"),
        (("caffe", "time", "-model", "net.prototxt", "-iterations", "x"), "takes a number"),
        (("caffe", "device_query", "-gpu", "99"), "no CUDA device 99"),
        (("caffe", "train", "-solver", "solver.prototxt", "-sigint_effect", "x"), "sigint_effect takes"),
    ],
)
def test_what_cannot_be_is_one_line(arguments, message, capsys):
    assert run(*arguments) in (1, 2)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("caffezoo: error: ")
    assert message in last


def test_flags_take_one_dash_or_two():
    found = parse_flags(["-solver", "a", "--gpu=0", "-iterations=7", "--weights", "-x"])
    assert (found["solver"], found["gpu"], found["iterations"], found["weights"]) == ("a", "0", "7", "-x")
    for wrong in (["solver"], ["-solver"]):
        with pytest.raises(UsageError):
            parse_flags(wrong)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no POSIX signals here")
def test_ctrl_c_writes_a_snapshot_from_which_the_training_goes_on():
    Path("solver.prototxt").write_text(SOLVER.format(10_000_000))
    command = [sys.executable, "-m", "caffezoo", "train", "--solver", "solver.prototxt", "--log", "log"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    child = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 400
        while time.monotonic() < until and not (Path("log").exists() and "Iteration 8" in Path("log").read_text()):
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 0
    finally:
        child.kill()
    (state,) = Path().glob("*.solverstate")
    assert "Optimization stopped early." in Path("log").read_text()
    assert read_weights(state.with_suffix(".caffemodel")).layers


def test_a_network_is_tuned_on_a_folder_and_is_in_the_index_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CAFFEZOO_CACHE", str(tmp_path / "cache"))
    data = draw_classes(tmp_path / "data")
    Path("deploy_small.prototxt").write_text(SMALL)
    sizes = ("--base-size", "14", "--crop-size", "12", "--mean", "100", "--std", "64")
    flags = ("--net", "deploy_small.prototxt", "--data", str(data), *sizes, "--solver", "adam", "--threads", "1")
    assert run("train", *flags, "--epochs", "5", "--lr", "0.01", "--batch-size", "8", "--log", "log") == 0
    out = capsys.readouterr().out
    assert "classes     2; 20% of every class to validate with, by seed 0" in out
    assert "epoch 5 " in out
    assert parse_training_log(Path("log").read_text()).iterations > 0
    folder = Path("trained/small-full")
    index = ("--index", str(folder / "index.yaml"))
    assert run("classify", str(data / "left" / "03.png"), "--net", "small-full", *index) == 0
    assert "left" in capsys.readouterr().out
    wide = ("--precision", "binary", "--width", "2", "--epochs", "1", "--name", "wide")
    assert run("train", *flags, *wide) == 0
    assert "of 1 bit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--net", "deploy_small.prototxt"), "--net needs --data"),
        (("--net", "alexnut", "--data", "."), "unknown network 'alexnut'"),
        (("--net", "deploy_small.prototxt", "--data", "nowhere"), "nowhere: cannot be read"),
        (("--net", "deploy_small.prototxt", "--data", ".", "--solver", "lars"), "unknown solver 'lars'"),
        (("--net", "deploy_small.prototxt", "--data", ".", "--precision", "4bit"), "--precision takes"),
        (("--data", "."), "give --solver FILE, or --net"),
        (("--solver", "solver.prototxt", "--data", "."), "--data goes with --net"),
    ],
)
def test_what_cannot_be_tuned_is_one_line(flags, message, capsys):
    Path("deploy_small.prototxt").write_text(SMALL)
    assert run("train", *flags) in (1, 2)
    assert message in capsys.readouterr().err.splitlines()[-1]
