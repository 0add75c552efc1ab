"""``caffezoo results``: add what evaluate prints, list, compare, check."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from caffezoo.cli.main import main
from caffezoo.evaluation.metrics import ErrorRate
from caffezoo.report.records import record_rows
from caffezoo.report.store import Store
from tests.report.measurements import evaluation_record, time_record
from tests.report.test_precision_tables import row as precision_row
from tests.report.test_speed_tables import row as speed_row

LOGS = Path(__file__).resolve().parents[1] / "training/logs"
DPN_PROTOTXT = Path(__file__).resolve().parents[2] / "prototxt/dpn/deploy_dpn-92.prototxt"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["results", *arguments])
    return int(stopped.value.code or 0)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "results").mkdir()
    return str(tmp_path / "results")


def add(folder: str, *records: dict[str, Any]) -> int:
    file = Path(folder).parent / "records.json"
    file.write_text("\n".join(map(json.dumps, records)))
    return run("add", str(file), "--results", folder)


def test_add_and_list(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert add(folder, evaluation_record(), time_record()) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].rsplit("/")[-1] for line in said] == ["accuracy.csv", "time.csv"]
    assert run("list", "--results", folder) == 0
    assert "20.81" in capsys.readouterr().out
    assert run("list", "time", "--net", "DPN92", "--json", "--results", folder) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["forward_ms"], row["backward_ms"], row["iterations"]) == (75.25, None, 20)
    assert run("list", "layers", "--net", "dpn-92", "--csv", "--results", folder) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert run("list", "--net", "senet", "--results", folder) == 0
    assert capsys.readouterr().out == "no results of senet yet\n"


def test_add_reads_standard_input(
    folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = io.TextIOWrapper(io.BytesIO(json.dumps(evaluation_record()).encode()))
    monkeypatch.setattr(sys, "stdin", text)
    assert run("add", "-", "--results", folder) == 0
    assert "of dpn-92" in capsys.readouterr().out


def test_one_bad_record_adds_nothing(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert add(folder, evaluation_record(), evaluation_record(interrupted=True)) == 1
    assert "records.json:2: is of an interrupted run" in capsys.readouterr().err
    assert list(Path(folder).iterdir()) == []


def test_unknown_network(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert add(folder, evaluation_record(network="dnp-92")) == 2
    assert "unknown network 'dnp-92'; did you mean" in capsys.readouterr().err
    assert list(Path(folder).iterdir()) == []


@pytest.mark.parametrize("content", [b"\xff", b"", b"[1]"])
def test_a_file_that_holds_no_record(folder: str, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    file = Path(folder).parent / "bad.json"
    file.write_bytes(content)
    assert run("add", str(file), "--results", folder) == 1
    assert "bad.json" in capsys.readouterr().err


def test_no_results_yet(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("list", "diff", "check"):
        assert run(verb, "--results", folder) == 0
        assert capsys.readouterr().out == "no results yet\n"


def test_diff_with_published_sets_the_exit_status(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    add(folder, {**evaluation_record(), "top1_error": 21.01, "top1_interval": [20.6, 21.4]})
    capsys.readouterr()
    assert run("diff", "--results", folder) == 1
    assert "20.81 %" in (said := capsys.readouterr().out)
    assert "+0.20 points, BEYOND 0.1 points" in said
    assert run("diff", "dpn92", "--tolerance", "0.3", "--results", folder) == 0


def test_diff_of_two_runs_says_what_else_differs(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    add(folder, time_record(), time_record(threads=4, forward_ms=70.0))
    runs = [line.split()[3] for line in capsys.readouterr().out.splitlines()]
    assert run("diff", *runs, "--results", folder) == 0
    assert capsys.readouterr().out.splitlines()[0] == "threads: 2 -> 4"
    assert run("diff", *runs, "--tolerance", "5", "--results", folder) == 1


def test_diff_of_two_rows_of_benchmarks_and_of_studies(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    fast, slow = speed_row("steady", "openvino", 10.0), speed_row("steady", "openvino", 15.0)
    first, second = precision_row(), precision_row(images=100, top1_error=25.05)
    Store(folder).append([fast, slow, first, second])
    assert run("diff", fast.run, slow.run, "--results", folder) == 1
    assert "+50.00 %" in capsys.readouterr().out
    assert run("diff", first.run, second.run, "--results", folder) == 0
    out = capsys.readouterr().out
    assert "images: 200 -> 100" in out
    assert "top1_error" in out
    assert run("diff", first.run, "--results", folder) == 0
    assert "nothing comparable was published" in capsys.readouterr().out


def test_diff_of_what_is_not_there(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    add(folder, evaluation_record(images=20))
    capsys.readouterr()
    assert run("diff", "dpn92", "--results", folder) == 0
    assert capsys.readouterr().out == "nothing comparable was published\n"
    assert run("diff", "senet", "--results", folder) == 2
    assert run("diff", "a", "b", "c", "--results", folder) == 2


def test_check_names_every_fault_by_line(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    import hashlib

    now = hashlib.sha256(DPN_PROTOTXT.read_bytes()).hexdigest()
    add(folder, evaluation_record(prototxt_sha256=now), evaluation_record(), time_record())
    file = Path(folder) / "accuracy.csv"
    lines = file.read_text().splitlines()
    strange = lines[1].replace("dpn-92", "dpn-93")
    file.write_text("\n".join([*lines, lines[1], "1,2", strange]) + "\n")
    layers = Path(folder) / "layer_time.csv"
    layers.write_text(layers.read_text() + "1,ffffffffffff,0,a,ReLU,1.0,\n")
    capsys.readouterr()
    assert run("check", "--results", folder) == 1
    said = capsys.readouterr().out
    for fault in (
        f"{file}:4: holds run",
        f"{file}:5: has 2 cells",
        f"{file}:6: run: is",
        f"{layers}:5: run ffffffffffff of this row is not in time.csv",
        "6 good rows, 4 bad",
    ):
        assert fault in said
    notes = [line for line in said.splitlines() if "has changed since (no fault)" in line]
    assert [note.split(": ")[0] for note in notes] == [f"{file}:3", f"{Path(folder) / 'time.csv'}:2"]


def test_check_adds_up_what_was_taken_for_what(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    right = {"images": 10, "top1": ErrorRate(3, 10), "top5": ErrorRate(1, 10)}
    assert add(folder, evaluation_record(**right, confusion=((1, 1, 7), (2, 1, 3)))) == 0
    assert run("check", "--results", folder) == 0
    assert "3 good rows, 0 bad" in capsys.readouterr().out
    assert run("list", "confusion", "--net", "dpn-92", "--csv", "--results", folder) == 0
    assert [line.split(",")[1:] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["1", "1", "7"],
        ["2", "1", "3"],
    ]
    file = Path(folder) / "confusion.csv"
    text = file.read_text()
    for old, new, said in (
        (",2,1,3", ",2,1,4", "11 images in all, but the run has 10"),
        (",2,1,3", ",2,2,3", "0 images"),
    ):
        file.write_text(text.replace(old, new))
        assert run("check", "--results", folder) == 1
        assert said in capsys.readouterr().out


def test_a_network_of_no_index_is_no_fault(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    Store(folder).append(record_rows(time_record(network="mine", layers=None), "test"))
    assert run("check", "--results", folder) == 0
    assert "network 'mine' is not in the index, so no table shows it (no fault)" in capsys.readouterr().out


def test_add_a_log_of_caffe_train(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    log = str(LOGS / "multistep.log")
    assert run("add", log, "--results", folder) == 2
    assert "is a log of caffe train; say of which network: --net NET" in capsys.readouterr().err
    assert run("add", log, "--net", "resnet18priv", "--note", "points", "--results", folder) == 0
    assert "of resnet18-priv" in capsys.readouterr().out
    assert run("add", log, "--net", "resnet18-priv", "--note", "points", "--results", folder) == 1
    assert "training.csv:2: holds run" in capsys.readouterr().err
    assert run("list", "training", "--results", folder) == 0
    assert "resnet18-priv" in capsys.readouterr().out
    assert run("list", "curve", "--csv", "--results", folder) == 0
    assert len(capsys.readouterr().out.splitlines()) == 89
    assert run("check", "--results", folder) == 0
    assert run("diff", "--results", folder) == 0
    file = Path(folder).parent / "records.json"
    file.write_text(json.dumps(evaluation_record()))
    assert run("add", str(file), "--net", "dpn-92", "--results", folder) == 2
    assert "records.json is none" in capsys.readouterr().err


def test_a_log_that_is_too_large_is_refused_whole(
    folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("caffezoo.report.records.MAX_RECORD_BYTES", 1 << 14)
    assert run("add", str(LOGS / "multistep.log"), "--net", "resnet18-priv", "--results", folder) == 1
    assert "multistep.log: is larger than" in capsys.readouterr().err
    assert list(Path(folder).iterdir()) == []


def test_check_names_a_file_that_cannot_be_read(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    (Path(folder) / "time.csv").write_text("a,b\n")
    assert run("check", "--results", folder) == 1
    assert "time.csv:1: the header is not this version's" in capsys.readouterr().out


def test_the_stores_own_rows_are_good() -> None:
    assert run("check") == 0


def test_folder_and_flags_that_cannot_be(tmp_path: Path) -> None:
    assert run("list", "--results", str(tmp_path / "absent")) == 2
    assert run("list", "--json", "--csv", "--results", str(tmp_path)) == 2
    assert run("list", "nothing", "--results", str(tmp_path)) == 2
