"""Logs of Caffe's solver: recorded ones, older glog's, and what is no log."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import DataError, ZooError
from caffezoo.report.details import CurveRow
from caffezoo.report.records import record_rows
from caffezoo.report.rows import TrainingRow
from caffezoo.training.caffe_log import is_training_log, parse_training_log, training_record

LOGS = Path(__file__).parent / "logs"
WRITTEN = datetime(2019, 5, 6, 7, 8, 9, tzinfo=UTC)


def log(name: str) -> str:
    return (LOGS / f"{name}.log").read_text()


@pytest.mark.parametrize("year", [True, False])
def test_a_whole_training(year: bool) -> None:
    text = log("multistep")
    if not year:
        text = re.sub(r"^([IWEF])\d{4}(\d{4} )", r"\1\2", text, flags=re.MULTILINE)
    assert is_training_log(text)
    found = parse_training_log(text)
    assert (found.iterations, found.done, found.fatal, found.device) == (500, True, "", "CPU")
    assert found.parameters == {"base_lr": "0.05", "max_iter": "500", "type": "SGD", "solver_mode": "CPU"}
    kinds = {(v["phase"], v["kind"], v["output"]) for v in found.curve}
    assert kinds == {
        ("train", "loss", "total loss"),
        ("train", "loss", "loss"),
        ("train", "learning_rate", "learning rate"),
        ("test", "loss", "loss"),
        ("test", "metric", "accuracy"),
    }
    rates = [(v["iteration"], v["value"]) for v in found.curve if v["kind"] == "learning_rate"]
    assert rates[0] == (0, 0.05)
    assert [rate for at, rate in rates if at in (280, 300, 440, 460)] == [0.05, 0.005, 0.005, 0.0005]
    tests = [(v["iteration"], v["value"]) for v in found.curve if v["output"] == "accuracy"]
    assert [at for at, _ in tests] == [0, 100, 200, 300, 400, 500]
    assert tests[-1] == (500, 0.708)
    total = [v["value"] for v in found.curve if v["output"] == "total loss"]
    assert len(total) == 26  # every 20 iterations, and at the end
    assert found.final_loss == total[-1]


def test_a_training_becomes_rows() -> None:
    record = training_record(log("multistep"), "resnet18-priv", WRITTEN, "points")
    whole, *curve = record_rows(record, "test")
    assert isinstance(whole, TrainingRow)
    assert (whole.date[:10], whole.iterations, whole.max_iterations) == ("2026-11-22", 500, 500)
    assert (whole.solver, whole.learning_rate, whole.device, whole.note) == ("SGD", 0.05, "CPU", "points")
    assert len(curve) == 88  # 26 total losses, 25 train outputs and rates, two outputs of six tests
    assert all(isinstance(row, CurveRow) and row.run == whole.run for row in curve)


def test_a_loss_that_is_not_finite_is_kept() -> None:
    found = parse_training_log(log("diverged"))
    assert found.final_loss is not None
    assert math.isnan(found.final_loss)
    whole = record_rows(training_record(log("diverged"), "dpn-92", WRITTEN), "test")[0]
    assert isinstance(whole, TrainingRow)
    assert not whole.altered


def test_a_training_that_failed_is_kept_as_far_as_it_went() -> None:
    record = training_record(log("fail-data"), "dpn-92", WRITTEN)
    assert (record["iterations"], record["final_loss"]) == (60, 0.863466)
    assert record["note"] == "Caffe stopped at iteration 60: Failed opening HDF5 file: missing.h5"


def test_a_log_that_was_cut_short_says_so() -> None:
    lines = log("multistep").splitlines()
    cut = next(i for i, line in enumerate(lines) if "Iteration 200," in line)
    assert training_record("\n".join(lines[:cut]), "dpn-92", WRITTEN)["note"] == "the log stops at iteration 180"


def test_a_training_that_never_began() -> None:
    text = log("fail-snapshot")
    assert is_training_log(text)
    with pytest.raises(DataError, match=r"holds no losses; its last line: Cannot write to snapshot prefix"):
        parse_training_log(text)


@pytest.mark.parametrize(
    ("head", "date"),
    [
        ("", "2019-12-31T23:59:59Z"),
        ("Log file created at: 2016/12/31 23:00:00\n", "2016-12-31T23:59:59Z"),
    ],
)
def test_older_logs_have_no_year(head: str, date: str) -> None:
    text = f"{head}I1231 23:59:59.5 1 solver.cpp:239] Iteration 7, loss = 1e-05\n"
    record = training_record(text, "dpn-92", WRITTEN)
    assert (record["date"], record["final_loss"], record["device"]) == (date, 1e-05, "unknown")


def test_devices_and_several_test_nets() -> None:
    lines = [
        "GPU 0: GeForce GTX TITAN X",
        "Iteration 10, Testing net (#1)",
        "    Test net output #0: top1 = 0.5",
        "Iteration 10 (3.1 iter/s, 3.2s/10 iters), loss = 2.5",
        "    Train net output #0: aux/loss = 3 (* 0.3 = 0.9 loss)",
    ]
    found = parse_training_log("".join(f"I1122 1:2:3.4 5 x.cpp:6] {line}\n" for line in lines))
    assert found.device == "GPU (GeForce GTX TITAN X)"
    assert [(v["phase"], v["kind"], v["output"], v["value"]) for v in found.curve] == [
        ("test #1", "metric", "top1", 0.5),
        ("train", "loss", "total loss", 2.5),
        ("train", "loss", "aux/loss", 3.0),
    ]


@pytest.mark.parametrize(
    "text", ["", "{}", "Iteration 5, loss = 3", "I1122 1:2:3.4 5 x.cpp:6] Testing for 50 iterations."]
)
def test_what_is_no_log_of_a_training(text: str) -> None:
    assert not is_training_log(text)


_LINES = st.sampled_from(
    [line for name in ("multistep", "fail-data") for line in log(name).splitlines() if "]" in line][::3]
)


@given(st.lists(st.one_of(_LINES, st.text(max_size=60), _LINES.map(lambda line: line[:-3])), max_size=30))
def test_any_mixture_of_lines_is_read_or_refused(lines: list[str]) -> None:
    text = "\n".join(lines)
    is_training_log(text)
    try:
        record = training_record(text, "dpn-92", WRITTEN)
    except ZooError:
        return
    assert record["curve"]
    record_rows(record, "test")
