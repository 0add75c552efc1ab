"""Caffe's own program, with a stand-in that replays recorded logs."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from caffezoo.errors import CaffeAbortError, EngineError, EngineUnavailableError
from caffezoo.net.graph import Network
from caffezoo.timing.binary import caffe_version, find_caffe, run_caffe_time
from tests.engines.networks import SMALL
from tests.timing.test_caffe_log import FAILURES, LOGS

REPLAY = Path(__file__).with_name("replay.py")


@pytest.fixture
def caffe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A program that replays the log of AlexNet."""
    program = tmp_path / "caffe"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{REPLAY}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("CAFFEZOO_REPLAY", str(LOGS / "time-alexnet-b8-test-asis.log"))
    return str(program)


def test_it_is_run_on_the_plain_form_in_phase_test(caffe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAFFEZOO_REPLAY_ARGS", str(tmp_path))
    network = Network.from_text(SMALL.replace('type: "ReLU"', 'type: "Swish"')).reshaped(batch=3)
    seen: list[tuple[int, int]] = []
    times = run_caffe_time(caffe, network, iterations=10, threads=2, gpu=1, on_progress=lambda *done: seen.append(done))
    assert times.forward_ms == 163.771
    assert seen[-1] == (10, 10)
    words = (tmp_path / "args").read_text().split()
    assert words[0] == "time"
    assert " ".join(words[3:]) == "-iterations 10 -phase TEST -gpu 1"
    model = Network.load(tmp_path / "model")
    assert model.inputs == {"data": (3, 3, 11, 9)}
    assert "Sigmoid" in {node.layer.type for node in model.nodes}
    assert list(model.nodes[-1].layer.proto.loss_weight) == [1.0]


@pytest.mark.parametrize("name", [n for n in FAILURES if n.startswith("fail")])
def test_failures(name: str, caffe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAFFEZOO_REPLAY", str(LOGS / f"{name}.log"))
    with pytest.raises(CaffeAbortError) as caught:
        run_caffe_time(caffe, Network.from_text(SMALL), iterations=10)
    assert caught.value.message == FAILURES[name]


def test_a_program_that_hangs_is_killed(caffe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAFFEZOO_REPLAY_HANG", "1")
    monkeypatch.setenv("CAFFEZOO_REPLAY", str(LOGS / "device_query-nogpu.log"))
    start = time.monotonic()
    with pytest.raises(EngineError, match=r"no end in 3 s, killed; its last line: Querying GPUs; give more with"):
        run_caffe_time(caffe, Network.from_text(SMALL), iterations=10, timeout_s=3)
    assert time.monotonic() - start < 20


def test_what_cannot_be_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="no such program: /no/caffe; give the path"):
        find_caffe("/no/caffe")
    file = tmp_path / "caffe"
    file.write_text("text")
    with pytest.raises(EngineUnavailableError, match="cannot be run"):
        find_caffe(str(file))
    file.chmod(0o755)
    file.write_bytes(b"\x00not a program")
    with pytest.raises(EngineUnavailableError, match="cannot start"):
        run_caffe_time(str(file), Network.from_text(SMALL), iterations=1)


def test_its_version(caffe: str) -> None:
    assert caffe_version(caffe) == "1.0.0"
    assert caffe_version("/bin/true") == "unknown"
