"""Tables of speed.csv: ratios of one session, the machine's name, what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from caffezoo.report.rows import SpeedRow
from caffezoo.report.speed_tables import CHECK, COLD, STEADY
from caffezoo.report.store import Store
from caffezoo.report.table import Table, to_markdown
from caffezoo.report.tables import make_table
from caffezoo.report.zoo_data import ZooData
from caffezoo.zoo.index import load_index

OLD, NEW = "2026-11-30T10:00:00Z", "2026-12-01T10:00:00Z"


def row(what: str, engine: str, ms: float, **changes: Any) -> SpeedRow:
    values: dict[str, Any] = {
        "date": NEW,
        "session": NEW,
        "benchmark": "engines",
        "network": "resnet50",
        "what": what,
        "engine": engine,
        "precision": "float32",
        "milliseconds": ms,
        "crop_size": 224,
        "batch_size": 1,
        "calls": 30,
        "blocks": 7,
        "threads": 2,
        "device": "CPU",
        "cpu": "Some CPU 9000",
        "cores": 2,
        "instructions": "avx2 avx512f",
        "prototxt_sha256": "1" * 64,
        "versions": f"caffezoo=0.1.0 {engine}=1.2",
        "command": "python benchmarks/engines.py --record",
        **changes,
    }
    return SpeedRow.make(values, "test")


def made(folder: Path, name: str, rows: list[SpeedRow]) -> Table:
    Store(folder).append(rows)
    return make_table(name, ZooData(load_index(), Store(folder)))


def texts(table: Table) -> list[list[str]]:
    return [[" ".join(span.text for span in cell) for cell in line] for line in table.rows]


@pytest.mark.parametrize("name", ["speed", "speed-all", "speed-precision"])
def test_nothing_measured_yet_is_said_with_the_command(tmp_path: Path, name: str) -> None:
    table = made(tmp_path, name, [])
    assert "python benchmarks/" in table.caption
    assert table.rows == ()
    assert "Nothing measured yet" in to_markdown(table)


def test_a_line_has_steady_cold_and_checked_times_and_the_ratio(tmp_path: Path) -> None:
    rows = [row(STEADY, "openvino", 20.0), row(STEADY, "torch", 60.0), row(STEADY, "caffe", 110.0)]
    rows += [row(COLD, "openvino", 26.0), row(CHECK, "openvino", 20.5)]
    table = made(tmp_path, "speed", rows)
    assert texts(table) == [["resnet50", "20.0", "", "60.0", "110", "5.5x", "26.0", "20.5"]]
    (note,) = (span.text for cell in table.notes for span in cell)
    assert "2 cores of Some CPU 9000 (avx2 avx512f), 2026-12-01" in note
    assert "caffe=1.2 caffezoo=0.1.0 openvino=1.2 torch=1.2" in note


def test_ratios_are_of_one_session_the_newest(tmp_path: Path) -> None:
    old = [row(STEADY, engine, ms, session=OLD, date=OLD) for engine, ms in (("openvino", 1.0), ("caffe", 900.0))]
    table = made(tmp_path, "speed", [row(STEADY, "openvino", 20.0), *old])
    assert texts(table) == [["resnet50", "20.0", "", "", "", "", "", ""]]


def test_all_networks_say_where_the_default_engine_is_not_the_fastest(tmp_path: Path) -> None:
    def of(network: str, **ms: float) -> list[SpeedRow]:
        return [row(STEADY, engine, t, network=network, benchmark="all") for engine, t in ms.items()]

    rows = of("resnet50", openvino=20.0, onnxruntime=30.0) + of("vgg16", openvino=103.0, onnxruntime=100.0)
    rows += of("alexnet", openvino=21.6, torch=20.0)
    table = made(tmp_path, "speed-all", rows)
    assert {line[0]: line[-1] for line in texts(table)} == {
        "resnet50": "+0.0%",
        "vgg16": "+3.0%",
        "alexnet": "+8.0%",
    }
    said = table.notes[0][0].text
    assert "fastest on 1 of 3 networks" in said
    assert "more than 6 % slower than the fastest on 1" in said
    assert "at most 8.0% slower (alexnet)" in said


def test_precisions_are_held_against_caffe_and_our_float32_at_the_same_batch(tmp_path: Path) -> None:
    rows = []
    for batch, caffe, plain, small in ((1, 100.0, 20.0, 5.0), (8, 800.0, 160.0, 20.0)):
        how: dict[str, Any] = {"benchmark": "precision", "batch_size": batch}
        rows += [row(STEADY, "caffe", caffe, **how), row(STEADY, "openvino", plain, **how)]
        rows += [row(STEADY, "openvino", small, precision="int8", **how)]
    rows.append(
        row("quantise, 300 images", "nncf", 9e4, benchmark="precision", precision="int8", memory_peak_bytes=2**30)
    )
    found = [line[1:7] for line in texts(made(tmp_path, "speed-precision", rows))]
    assert ["1", "openvino", "int8", "5.00", "20.0x", "4.0x"] in found
    assert ["8", "openvino", "int8", "20.0", "40.0x", "8.0x"] in found
    assert ["8", "openvino", "float32", "160", "5.0x", ""] in found
    assert ["1", "nncf", "int8, quantise, 300 images", "90000", "", ""] in found
