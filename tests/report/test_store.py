"""The store only grows, gives back what was added, and names what is broken."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import ResultsError, UnknownNameError
from caffezoo.report.details import LayerRow
from caffezoo.report.records import parse_records, record_rows
from caffezoo.report.rows import AccuracyRow, TimeRow
from caffezoo.report.store import Store
from tests.report.measurements import evaluation_record, time_record


def _row(**changes: Any) -> AccuracyRow:
    (row,) = record_rows(evaluation_record(**changes), "test")
    assert isinstance(row, AccuracyRow)
    return row


def test_an_evaluation_comes_back_as_it_was_added(tmp_path: Path) -> None:
    row = _row()
    Store(tmp_path).append([row])
    contents = Store(tmp_path).accuracy()
    assert (contents.rows, contents.lines, contents.faults) == ((row,), (2,), ())
    assert (row.top1_error, row.images, row.mean, row.weights_sha256) == (20.81, 50000, "104 117 124", "2" * 64)
    assert row.versions == "caffezoo=0.1.0 openvino=2026.4.1"


def test_means_keep_all_their_digits() -> None:
    assert _row(protocol={"mean": (102.9801, 115.9465, 122.7717)}).mean == "102.9801 115.9465 122.7717"


def test_a_timed_run_goes_into_two_files(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(record_rows(time_record(), "test"))
    (whole,) = store.time().rows
    assert (whole.forward_ms, whole.backward_ms, whole.weights_sha256) == (75.25, None, None)
    assert [(layer.run, layer.position, layer.layer) for layer in store.layers().rows] == [
        (whole.run, 0, "conv1"),
        (whole.run, 1, "bn1"),
        (whole.run, 2, "pool1"),
    ]


def test_nothing_measured_is_no_error(tmp_path: Path) -> None:
    store = Store(tmp_path / "absent")
    assert store.accuracy().rows == store.time().rows == store.layers().rows == ()
    assert store.frame("accuracy").empty


def test_a_frame_has_numbers(tmp_path: Path) -> None:
    Store(tmp_path).append([_row(), _row(seconds=9.0)])
    frame = Store(tmp_path).frame("accuracy")
    assert list(frame.columns) == AccuracyRow.columns()[1:]
    assert frame["top1_error"].mean() == 20.81
    with pytest.raises(UnknownNameError, match="did you mean accuracy"):
        Store(tmp_path).frame("acuracy")


def test_the_same_run_is_not_added_twice(tmp_path: Path) -> None:
    row = _row()
    Store(tmp_path).append([row])
    with pytest.raises(ResultsError, match=rf"accuracy.csv:2: holds run {row.run} already"):
        Store(tmp_path).append([row])
    assert len(Store(tmp_path).accuracy().rows) == 1


def test_appending_changes_no_byte_that_is_there(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append([_row()])
    file = tmp_path / "accuracy.csv"
    broken = file.read_bytes() + b'1,"half a line'
    file.write_bytes(broken)
    store.append([_row(seconds=9.0)])
    assert file.read_bytes().startswith(broken + b"\n")
    contents = store.accuracy()
    assert contents.lines == (2, 4)
    assert [fault.where for fault in contents.faults] == [f"{file}:3"]


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("schema", "3", "schema: '3' is not 1 or 2"),
        ("schema", "1", "schema: is 1, but the columns make it 2"),
        ("protocol", "", "schema: is 2, but the columns make it 1"),
        ("top1_error", "lots", "top1_error: "),
        ("top1_error", "101", "top1_error: "),
        ("top1_error", "nan", "top1_error"),
        ("top1_error", "1.5", "not in its interval"),
        ("weights_sha256", "abc", "weights_sha256"),
        ("date", "yesterday", "date"),
        ("mean", "1 2", "three numbers"),
        ("network", "", "network: "),
        ("top5_low", "", "top-5 error and its interval belong together"),
        ("threads", "4", "the row was changed after it was measured"),
        ("run", "0" * 12, "the row was changed after it was measured"),
    ],
)
def test_a_bad_cell_is_named_and_the_other_rows_stay(tmp_path: Path, column: str, value: str, said: str) -> None:
    store = Store(tmp_path)
    store.append([_row(), _row(seconds=8.0), _row(seconds=9.0)])
    file = tmp_path / "accuracy.csv"
    lines = file.read_text().splitlines()
    cells = lines[2].split(",")
    cells[AccuracyRow.columns().index(column)] = value
    lines[2] = ",".join(cells)
    file.write_text("\n".join(lines) + "\n")
    contents = store.accuracy()
    assert contents.lines == (2, 4)
    (fault,) = contents.faults
    assert str(fault).startswith(f"{file}:3: ")
    assert said in str(fault)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"1,2,3", "has 3 cells, not"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b'"open', "is not a line of CSV"),
        (b"x" * 200_000, "is not a line of CSV"),
        (b"\x00\x00", "has 1 cells"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: bytes, said: str) -> None:
    store = Store(tmp_path)
    store.append([_row()])
    with (tmp_path / "accuracy.csv").open("ab") as stream:
        stream.write(line + b"\n\n")
    contents = store.accuracy()
    assert len(contents.rows) == 1
    assert said in str(contents.faults[0])
    assert f"{tmp_path / 'accuracy.csv'}:3" in str(contents.faults[0])


def test_another_header_is_refused_and_never_written_to(tmp_path: Path) -> None:
    file = tmp_path / "accuracy.csv"
    file.write_text("network,error\n")
    with pytest.raises(ResultsError, match=r"accuracy.csv:1: the header"):
        Store(tmp_path).accuracy()
    with pytest.raises(ResultsError, match="the header"):
        Store(tmp_path).append([_row()])
    assert file.read_text() == "network,error\n"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="cannot be written"):
        Store(tmp_path / "file").append([_row()])


def _append_some(folder: str, start: int) -> None:
    for i in range(start, start + 10):
        Store(folder).append(record_rows(evaluation_record(seconds=float(i)), "test"))


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_some, args=(str(tmp_path), 1 + 10 * i)) for i in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    contents = Store(tmp_path).accuracy()
    assert sorted(row.seconds for row in contents.rows) == [float(i) for i in range(1, 21)]
    assert contents.faults == ()


@given(
    note=st.text(max_size=200),
    seconds=st.floats(1e-9, 1e12),
    threads=st.integers(0, 10**6),
    errors=st.lists(st.floats(0, 100), min_size=3, max_size=3).map(sorted),
)
def test_any_content_comes_back(
    tmp_path_factory: pytest.TempPathFactory, note: str, seconds: float, threads: int, errors: list[float]
) -> None:
    record = evaluation_record(threads=threads)
    record |= {"seconds": seconds, "note": note.strip() or None}
    record |= {"top1_interval": [errors[0], errors[2]], "top1_error": errors[1]}
    try:
        rows = record_rows(record, "test")
    except ResultsError:  # a note of nothing but blanks, or one that is no text
        assert not " ".join(note.split()) or any(0xD800 <= ord(c) < 0xE000 for c in note)
        return
    store = Store(tmp_path_factory.mktemp("store"))
    store.append(rows)
    contents = store.accuracy()
    assert list(contents.rows) == rows
    assert contents.faults == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no record"),
        ("{", "record.json:1: is not JSON"),
        ("[]", "is not a JSON object"),
        ("{}", "is no record of an evaluation"),
        ("[" * 100_000, "is not JSON"),
        ('{"top1_error": 1}', "protocol: is missing"),
        ('{"top1_error": 1, "protocol": 3}', "protocol: must be an object"),
        ('{"forward_ms": 1, "sha256": {}, "versions": {}}', "record.json:1: "),
    ],
)
def test_a_text_that_is_no_record(text: str, said: str) -> None:
    with pytest.raises(ResultsError, match=r"record\.json") as caught:
        parse_records(text, "record.json")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"interrupted": True}, "interrupted run"),
        ({"top1_interval": 3}, "top1_interval: must be two numbers"),
        ({"top1_error": -1}, "top1_error"),
        ({"date": None}, "date: "),
        ({"versions": {}}, "versions"),
        ({"network": "x" * 5000}, "network"),
    ],
)
def test_a_record_that_lacks_something(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ResultsError, match="line 7") as caught:
        record_rows({**evaluation_record(), **change}, "line 7")
    assert said in str(caught.value)


def test_layers_that_cannot_be() -> None:
    with pytest.raises(ResultsError, match=r"layers\[0\]: must be an object"):
        record_rows(time_record(layers=[3]), "test")
    with pytest.raises(ResultsError, match=r"layers\[0\]: layer_type: "):
        record_rows(time_record(layers=[{"layer": "a"}]), "test")
    with pytest.raises(ResultsError, match="needs forward_ms or backward_ms"):
        record_rows(time_record(forward_ms=None), "test")


def test_two_classes_have_no_top5() -> None:
    assert _row(top5=None, classes=2).top5_error is None


def test_paths_of_this_machine_stay_here() -> None:
    row = _row(data="/data/ImageNet/val/", label_list="/somewhere/labels.txt")
    assert (row.data, row.label_list) == ("val", "labels.txt")


def test_all_columns_are_in_the_header() -> None:
    for kind in (AccuracyRow, TimeRow, LayerRow):
        assert kind.columns()[:2] == ["schema", "run"]
        assert len(set(kind.columns())) == len(kind.columns())


def test_records_are_lines(tmp_path: Path) -> None:
    text = "\n".join(json.dumps(evaluation_record(seconds=s)) for s in (1.0, 2.0)) + "\n"
    assert len(parse_records(text, "x")) == 2
    with pytest.raises(ResultsError, match="x:3"):
        parse_records(text + "oops", "x")


def _of_schema_1(**changes: Any) -> AccuracyRow:
    row = _row(**changes).model_copy(update={"protocol": None, "run": "0" * 12})
    return row.model_copy(update={"run": row.fingerprint})


def _old_file(folder: Path, *rows: AccuracyRow) -> list[str]:
    """Write a file as it was before the protocol had a column."""
    columns = AccuracyRow.columns(1)
    lines = [",".join(columns), *(",".join(f'"{c}"' for c in row.cells()[: len(columns)]) for row in rows)]
    (folder / "accuracy.csv").write_text("\n".join(lines) + "\n")
    return lines


def test_rows_that_are_older_than_a_column_keep_their_name(tmp_path: Path) -> None:
    # Recorded before the column came.
    old = Path(__file__).parents[2] / "results/accuracy.csv"
    first = Store(old.parent).accuracy().rows[0]
    assert (first.run, first.schema_version, first.protocol) == ("a7dae95952d8", 1, None)
    assert first.protocol_name == "1 crop 256/224"


def test_a_file_gets_the_later_columns_with_the_first_row_that_has_them(tmp_path: Path) -> None:
    store, rows = Store(tmp_path), [_of_schema_1(), _of_schema_1(seconds=8.0)]
    before = _old_file(tmp_path, *rows)
    assert store.accuracy().rows == tuple(rows)
    new = _row(seconds=9.0)
    store.append([new])
    assert store.accuracy().rows == (*rows, new)
    header, *lines = (tmp_path / "accuracy.csv").read_text().splitlines()
    assert header.split(",") == AccuracyRow.columns()
    assert lines[:2] == [line + ",,," for line in before[1:]]
    store.append([_row(seconds=10.0)])
    assert len(store.accuracy().rows) == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["accuracy.csv"]


def test_a_broken_line_stays_one_when_columns_come(tmp_path: Path) -> None:
    _old_file(tmp_path, _of_schema_1())
    with (tmp_path / "accuracy.csv").open("a") as stream:
        stream.write("1,cut o")  # by a crash
    Store(tmp_path).append([_row(seconds=9.0)])
    contents = Store(tmp_path).accuracy()
    assert len(contents.rows) == 2
    assert "accuracy.csv:3: " in str(contents.faults[0])


def _append_to_an_old_file(folder: Path, number: int) -> None:
    Store(folder).append([_row(seconds=100.0 + number)])


def test_processes_that_bring_columns_at_once_lose_no_row(tmp_path: Path) -> None:
    _old_file(tmp_path, _of_schema_1())
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        pool.starmap(_append_to_an_old_file, [(tmp_path, n) for n in range(8)])
    contents = Store(tmp_path).accuracy()
    assert (len(contents.rows), contents.faults) == (9, ())
