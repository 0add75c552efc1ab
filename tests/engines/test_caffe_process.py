"""The worker process around real Caffe."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from caffezoo.engines.caffe_process import CaffeProcess, abort_message, find_caffe_python
from caffezoo.errors import CaffeAbortError, EngineError, EngineUnavailableError
from tests.oracle import oracle_python, requires_caffe
from tests.scripts import python_script

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 5 dim: 5 } } }\n'
CONVOLUTION = INPUT + (
    'layer { name: "c" type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 3 kernel_size: 3 } }'
)
BLOBS = {"c": [np.ones((3, 2, 3, 3), np.float32), np.arange(3, dtype=np.float32)]}


@pytest.fixture(scope="module")
def caffe() -> Iterator[CaffeProcess]:
    with CaffeProcess(oracle_python(), threads=1) as process:
        yield process


@requires_caffe
def test_runs_a_net_with_given_blobs_at_another_batch(caffe: CaffeProcess) -> None:
    assert caffe.load(CONVOLUTION, BLOBS, inputs={"x": (4, 2, 5, 5)}) == {"y": (4, 3, 3, 3)}
    x = np.random.default_rng(0).standard_normal((4, 2, 5, 5)).astype(np.float32)
    y = caffe.run({"x": x})["y"]
    wanted = sum(x[:, :, i : i + 3, j : j + 3].sum(1) for i in range(3) for j in range(3))
    np.testing.assert_allclose(y, wanted[:, None] + np.arange(3).reshape(1, 3, 1, 1), rtol=1e-5, atol=1e-5)
    assert caffe.forward_seconds > 0
    assert caffe.run({"x": x[:1]}, ["x"])["x"].tobytes() == x[:1].tobytes()


@requires_caffe
def test_says_what_it_is(caffe: CaffeProcess) -> None:
    assert caffe.version[0].isdigit()
    assert {"Convolution", "BatchNorm", "Pooling"} <= caffe.layer_types


@requires_caffe
@pytest.mark.parametrize(
    ("net", "words"),
    [
        (CONVOLUTION.replace("num_output: 3", "num_output: 3 group: 2"), "multiples of group"),
        (CONVOLUTION.replace('"Convolution"', '"Convulsion"'), "Unknown layer type: Convulsion"),
        (CONVOLUTION.replace("kernel_size", "kernel_sise"), "has no field named"),
        (CONVOLUTION.replace('bottom: "x"', 'bottom: "z"'), "Unknown bottom blob 'z'"),
    ],
)
def test_a_failed_check_is_an_error_and_the_next_net_runs(caffe: CaffeProcess, net: str, words: str) -> None:
    with pytest.raises(CaffeAbortError, match=words) as caught:
        caffe.load(net)
    assert "\n" not in str(caught.value)
    assert "stack trace" not in str(caught.value)
    assert caffe.load(CONVOLUTION, BLOBS) == {"y": (1, 3, 3, 3)}


@requires_caffe
def test_nothing_is_left_of_a_net_that_caffe_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with CaffeProcess(oracle_python(), threads=1) as caffe:
        with pytest.raises(CaffeAbortError):
            caffe.load(CONVOLUTION.replace("num_output: 3", "num_output: 3 group: 2"), {})
        assert list(tmp_path.iterdir()), "what Caffe reads is written below the folder that the test looks at"
    assert not list(tmp_path.iterdir())


@requires_caffe
def test_an_abort_while_running_loses_the_net(caffe: CaffeProcess) -> None:
    caffe.load(CONVOLUTION, BLOBS)
    with pytest.raises(CaffeAbortError, match="Input size incompatible"):
        caffe.run({"x": np.zeros((1, 3, 5, 5), np.float32)})
    with pytest.raises(EngineError, match="no net is loaded"):
        caffe.run({"x": np.zeros((1, 2, 5, 5), np.float32)})


@requires_caffe
@pytest.mark.parametrize(
    ("blobs", "words"),
    [
        ({"c": [np.ones((3, 2, 3, 4)), np.ones(3)]}, r"blob 0 of layer 'c' has shape \[3, 2, 3, 3\] in Caffe"),
        ({"c": [np.ones((3, 2, 3, 3))]}, "layer 'c' has 2 blobs in Caffe, not 1"),
        ({"c": [*BLOBS["c"], np.ones(1)]}, "layer 'c' has 2 blobs in Caffe, not 3"),
        ({"d": [np.ones(1)]}, "layer 'd' has no blobs"),
    ],
)
def test_blobs_that_do_not_fit_are_refused(caffe: CaffeProcess, blobs: dict[str, list[np.ndarray]], words: str) -> None:
    with pytest.raises(EngineError, match=words):
        caffe.load(CONVOLUTION, blobs)


@requires_caffe
def test_reads_a_caffemodel(caffe: CaffeProcess, tmp_path: Path) -> None:
    from caffezoo.formats import caffe_pb2 as pb

    net = pb.NetParameter()
    layer = net.layer.add(name="c", type="Convolution")
    for blob in BLOBS["c"]:
        layer.blobs.add(data=blob.ravel()).shape.dim.extend(blob.shape)
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net.SerializeToString())
    caffe.load(CONVOLUTION, path)
    assert caffe.run({"x": np.ones((1, 2, 5, 5), np.float32)})["y"][0, :, 0, 0].tolist() == [18, 19, 20]
    with pytest.raises((CaffeAbortError, EngineError), match="absent"):
        caffe.load(CONVOLUTION, tmp_path / "absent.caffemodel")


@requires_caffe
def test_a_killed_worker_is_an_error_and_starts_again() -> None:
    with CaffeProcess(oracle_python(), threads=1) as process:
        process.load(CONVOLUTION, BLOBS)
        assert process._process is not None
        os.killpg(process._process.pid, signal.SIGKILL)
        with pytest.raises(EngineError, match="has gone"):
            process.run({"x": np.zeros((1, 2, 5, 5), np.float32)})
        assert process.load(CONVOLUTION, BLOBS) == {"y": (1, 3, 3, 3)}


@requires_caffe
def test_a_request_that_takes_too_long_is_stopped() -> None:
    with CaffeProcess(oracle_python(), threads=1) as process:
        shape = (1, 64, 256, 256)
        net = CONVOLUTION.replace("num_output: 3 ", "num_output: 512 ").replace("dim: 2", "dim: 64")
        process.timeout_s = 60
        process.load(net, inputs={"x": shape})
        process.timeout_s = 0.2
        start = time.monotonic()
        with pytest.raises(EngineError, match=r"no answer in 0\.2 s"):
            process.run({"x": np.zeros(shape, np.float32)})
        assert time.monotonic() - start < 30


def test_the_python_is_looked_for_where_it_was_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CAFFE_PYTHON", str(tmp_path / "from_env"))
    with pytest.raises(EngineUnavailableError, match=r"CAFFE_PYTHON: no such Python '.*from_env'"):
        find_caffe_python()
    with pytest.raises(EngineUnavailableError, match=r"--caffe-python: no such Python '.*given'"):
        find_caffe_python(str(tmp_path / "given"))
    assert find_caffe_python(sys.executable) == sys.executable
    monkeypatch.delenv("CAFFE_PYTHON")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineUnavailableError, match="--caffe-python or CAFFE_PYTHON"):
        find_caffe_python()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import sys; sys.exit('No module named caffe')", "No module named caffe"),
        ("print('<html>')", "does not speak the worker's protocol"),
        ("import sys; sys.stdout.buffer.write(bytes([0, 0, 0, 2]) + b'[}')", "does not speak the worker's protocol"),
        ("import time; time.sleep(60)", "no answer in 2 s"),
    ],
)
def test_a_python_without_caffe_is_named(tmp_path: Path, text: str, words: str) -> None:
    python = python_script(tmp_path / "python", text)
    with pytest.raises(EngineUnavailableError, match=words) as caught:
        CaffeProcess(python, start_timeout_s=2)
    assert python in str(caught.value)


def test_messages_are_caffes_own_words() -> None:
    log = (
        "I0101 00:00:00.000000  7 net.cpp:1] chatter\n"
        "F0101 00:00:00.000000  7 blob.cpp:32] Check failed: shape[i] >= 0 (-3 vs. 0) \n"
        "*** Check failure stack trace: ***\n    @ 0x7f google::LogMessage::Fail()\n"
    )
    assert abort_message(log) == "Check failed: shape[i] >= 0 (-3 vs. 0)"
    assert abort_message("", signal.SIGSEGV) == "Caffe died of SIGSEGV"
    assert abort_message("terminate called\n", signal.SIGABRT) == "Caffe died of SIGABRT: terminate called"
    assert abort_message("") == "Caffe's process ended"
