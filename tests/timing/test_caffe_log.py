"""The log of `caffe time`: every recorded log, with and without the year, whole, cut short and altered."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import CaffeAbortError, EngineError, ZooError
from caffezoo.timing.caffe_log import CaffeTimeLog, CaffeTimes, parse_log
from tests.net.layers.draws import cases

LOGS = Path(__file__).with_name("logs")
MORE = os.environ.get("CAFFEZOO_CAFFE_LOGS")
"""A folder with further logs of the same kind, whole ones of large networks among them."""

TIMES = {
    "alexnet-b8-test": (163.771, 227.042, 390.9, 296.0, 24, "TEST"),
    "googlenet-train": (660.585, 324.294, 985.2, 967.0, 152, "TRAIN"),
    "resnet18-priv-test": (76.4999, 74.2361, 150.9, 132.0, 98, "TEST"),
}
FAILURES = {
    "fail-axpy": "layer 'relu1': this Caffe has no layer type Axpy",
    "fail-big-kernel": "layer 'pool1': shape[i] >= 0 (-44 vs. 0)",
    "fail-ceil_mode": "nets/ceilmode.prototxt:5:103: this Caffe's PoolingParameter has no field 'ceil_mode'",
    "fail-duplicate-top": "layer 'fc': Top blob 'conv1' produced by multiple sources.",
    "fail-gpu0": "this Caffe is built for the CPU only; leave --gpu out",
    "fail-missing-file": "no such file: nets/nosuch.prototxt",
    "fail-unknown-field": "nets/unknownfield.prototxt:3:118: this Caffe's ConvolutionParameter has no field "
    "'no_such_field'",
    "device_query-gpu0": "this Caffe is built for the CPU only; leave --gpu out",
    "device_query-nogpu": "the log holds no times; its last line: Querying GPUs",
    "version": "the log holds no times; its last line: caffe version 1.0.0",
}


def recorded(path: Path) -> tuple[str, int]:
    """Return a log's text and the exit status of its program."""
    head, text = path.read_text(encoding="utf-8").split("\n", 1)
    status = re.search(r"exit=(\d+)", head)
    assert status is not None
    return text, int(status[1])


def without_year(text: str) -> str:
    """Return the log as an older glog writes it."""
    return re.sub(r"^([IWEF])\d{4}(\d{4} )", r"\1\2", text, flags=re.M)


@pytest.mark.parametrize("year", [True, False])
@pytest.mark.parametrize("name", TIMES)
def test_times(name: str, year: bool) -> None:
    text, status = recorded(LOGS / f"time-{name}-asis.log")
    times = parse_log(text if year else without_year(text), status)
    found = (times.forward_ms, times.backward_ms, times.forward_backward_ms, times.steady_ms)
    assert (*found, len(times.layers), times.phase) == TIMES[name]
    assert times.gpu is None
    assert len(times.iterations_ms) == 10
    assert_layers_sum_up(times)


def assert_layers_sum_up(times: CaffeTimes) -> None:
    for which in ("forward_ms", "backward_ms"):
        total = sum(getattr(layer, which) for layer in times.layers)
        assert total == pytest.approx(getattr(times, which), rel=0.15)


def test_layers_have_their_types_and_times() -> None:
    layers = {layer.name: layer for layer in parse_log(*recorded(LOGS / "time-resnet18-priv-test-asis.log")).layers}
    conv = layers["conv1"]
    assert (conv.type, conv.forward_ms, conv.backward_ms) == ("Convolution", 5.0299, 4.8956)
    assert layers["res5a_res5a_relu_0_split"].type == ""  # Caffe's own
    first = parse_log(*recorded(LOGS / "time-alexnet-b8-test-asis.log"))
    assert first.iterations_ms[:3] == (1252.0, 300.0, 296.0)  # the first one allocates


@pytest.mark.parametrize("year", [True, False])
@pytest.mark.parametrize("name", FAILURES)
def test_failures_are_one_clear_line(name: str, year: bool) -> None:
    text, status = recorded(LOGS / f"{name}.log")
    with pytest.raises(EngineError) as caught:
        parse_log(text if year else without_year(text), status)
    assert str(caught.value) == f"caffe time: {FAILURES[name]}"
    assert isinstance(caught.value, CaffeAbortError) == (status != 0)


def test_a_crash_names_the_signal_and_the_last_line() -> None:
    text, _ = recorded(LOGS / "time-alexnet-b8-test-asis.log")
    cut = text[: text.index("Iteration: 4")]
    for status in (-11, 139):
        with pytest.raises(CaffeAbortError, match=r"Caffe died of SIGSEGV; its last line: "):
            parse_log(cut, status)
    with pytest.raises(CaffeAbortError, match="ended with status 3; it is empty"):
        parse_log("", 3)


def test_a_log_cut_short_is_refused() -> None:
    text, _ = recorded(LOGS / "time-alexnet-b8-test-asis.log")
    with pytest.raises(EngineError, match="stops at iteration 3 of 10; its last line: Iteration: 3"):
        parse_log(text[: text.index("I20261122 09:06:13.794862")])
    with pytest.raises(EngineError, match="stops at iteration 10 of 10"):
        parse_log(text[: text.index("*** Benchmark ends")])


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1.2.3"])
def test_a_time_that_is_none_is_refused(value: str) -> None:
    text, _ = recorded(LOGS / "time-alexnet-b8-test-asis.log")
    with pytest.raises(EngineError, match="holds a time that is none: Average Forward pass"):
        parse_log(text.replace("Average Forward pass: 163.771", f"Average Forward pass: {value}"))


def test_a_gpu_log_says_so() -> None:
    text, status = recorded(LOGS / "time-alexnet-b8-test-asis.log")
    assert parse_log(text.replace("Use CPU.", "Use GPU with device ID 2"), status).gpu == 2


def test_progress_can_be_followed() -> None:
    log = CaffeTimeLog()
    seen = []
    for line in recorded(LOGS / "time-alexnet-b8-test-asis.log")[0].splitlines():
        log.feed(line)
        seen.append((log.done, log.planned))
    assert sorted(set(seen)) == [(0, 0), *((i, 10) for i in range(11))]


@cases(60)
@given(data=st.data())
def test_a_damaged_log_is_read_or_refused(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted([*FAILURES, "time-alexnet-b8-test-asis"])))
    text, status = recorded(LOGS / f"{name}.log")
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    damaged = text[:start] + data.draw(st.text(max_size=20)) + text[end:]
    message = ""
    try:
        assert parse_log(damaged, data.draw(st.sampled_from([status, 0, -9]))).iterations_ms
    except ZooError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 1000


@pytest.mark.skipif(MORE is None, reason="CAFFEZOO_CAFFE_LOGS names no folder")
def test_further_logs() -> None:
    assert MORE is not None
    for path in sorted(Path(MORE).glob("*.log")):
        text, status = recorded(path)
        if path.name.startswith("time-"):
            assert_layers_sum_up(parse_log(text, status))
        else:
            with pytest.raises(EngineError):
                parse_log(text, status)
