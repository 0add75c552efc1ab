"""Tables of precision.csv: the published layout, pairs, and which study of a network counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from caffezoo.errors import ResultsError
from caffezoo.report.rows import PrecisionRow
from caffezoo.report.store import Store
from caffezoo.report.tables import make_table
from caffezoo.report.zoo_data import ZooData
from caffezoo.zoo.index import load_index

OLD, NEW = "2026-11-30T10:00:00Z", "2026-12-01T10:00:00Z"
PAIRED = {
    **{"top1_difference": 1.5, "top1_difference_low": -1.42, "top1_difference_high": 4.39, "top1_p": 0.453125},
    **{"top5_difference": 0.5, "top5_p": 1.0, "agreement": 96.0},
}


def row(precision: str = "float32", **changes: Any) -> PrecisionRow:
    values: dict[str, Any] = {
        **{"date": NEW, "session": NEW, "network": "resnet50", "precision": precision, "against": "float32"},
        **{"weights": "trained", "top1_error": 25.0, "top1_low": 20.0, "top1_high": 30.0, "top5_error": 8.0},
        **{"agreement": 100.0, "largest_score_difference": 0.0, "images": 200, "protocol": "1 crop 256/224"},
        **{"mean": "104 117 123", "std": "1 1 1", "channel_order": "BGR", "weight_bytes": 102_000_000},
        **{"images_per_second": 60.0, "engine": "openvino", "device": "CPU", "cpu": "Some CPU 9000", "data": "photos"},
        **{"prototxt_sha256": "1" * 64, "weights_sha256": "2" * 64, "images_sha256": "3" * 64},
        **{"versions": "caffezoo=0.1.0 openvino=1.2", "command": "caffezoo precision --record"},
        **changes,
    }
    return PrecisionRow.make(values, "test")


def made(folder: Path, name: str, *rows: PrecisionRow) -> list[dict[str, str]]:
    Store(folder).append(rows)
    table = make_table(name, ZooData(load_index(), Store(folder)))
    titles = [column.title for column in table.columns]
    return [dict(zip(titles, (" ".join(s.text for s in c) for c in line), strict=True)) for line in table.rows]


def int8(**changes: Any) -> PrecisionRow:
    more = {"top1_error": 26.5, "top1_high": 33.0, "top5_error": 8.5, "calibration": "sample", "calibration_images": 20}
    return row("int8", **{**PAIRED, **more, "weight_bytes": 26_000_000, "kept": "conv1, fc", **changes})


def test_the_published_layout_is_of_accuracies(tmp_path: Path) -> None:
    (line,) = made(tmp_path, "precision", row(), int8())
    assert line == {
        "network": "resnet50",
        "data, images": "photos, 200",
        "protocol": "1 crop 256/224",
        "float32": "0.75000/0.92000",
        "int8": "0.73500/0.91500",
        "diff": "-0.01500/-0.00500",
    }


def test_pairs_tell_a_loss_as_below_zero(tmp_path: Path) -> None:
    first, line = made(tmp_path, "precision-differences", row(), int8())
    assert (first["diff (points)"], first["p"], first["same answer %"], first["MB"]) == ("", "", "", "102.00")
    assert (line["diff (points)"], line["95 % interval"], line["p"]) == ("-1.50", "-4.39 .. +1.42", "0.45")
    assert (line["calibrated on"], line["kept in float32"], line["same answer %"]) == (
        "sample 20",
        "conv1, fc",
        "96.00",
    )


def test_nothing_lost_is_no_minus_zero(tmp_path: Path) -> None:
    none = {"top1_difference": 0.0, "top1_difference_low": -0.0, "top1_difference_high": 0.0, "top1_p": 1.0}
    _, line = made(tmp_path, "precision-differences", row(), row("bfloat16", **none))
    assert (line["diff (points)"], line["95 % interval"]) == ("+0.00", "+0.00 .. +0.00")


def test_the_study_of_most_images_counts_and_of_those_the_newest(tmp_path: Path) -> None:
    def study(session: str, images: int, error: float) -> list[PrecisionRow]:
        one = {"session": session, "date": session, "images": images, "top1_error": error}
        return [row(**one), int8(**one)]

    rows = [*study(NEW, 20, 22.0), *study(OLD, 200, 23.0), *study("2026-11-30T12:00:00Z", 200, 24.0)]
    (line,) = made(tmp_path, "precision", *rows)
    assert line["float32"].startswith("0.76000")


def test_seeded_weights_have_agreement_alone(tmp_path: Path) -> None:
    nothing: dict[str, Any] = {"weights": "seeded", **dict.fromkeys(("top1_error", "top1_low", "top1_high"))}
    nothing |= dict.fromkeys(("top5_error", "top5_difference", "top5_p", "top1_difference", "top1_p"))
    nothing |= dict.fromkeys(("top1_difference_low", "top1_difference_high"))
    rows = [row(**nothing), int8(**nothing)]
    assert made(tmp_path / "a", "precision", *rows) == []
    _, line = made(tmp_path / "b", "precision-differences", *rows)
    assert (line["network"], line["diff (points)"], line["same answer %"]) == ("resnet50 (seeded)", "", "96.00")


@pytest.mark.parametrize(
    ("precision", "changes"),
    [
        ("int8", {**PAIRED, "top1_p": None}),
        ("int8", {**PAIRED, "weights": "seeded"}),
        ("float32", {**PAIRED, "agreement": 100.0}),
        ("float32", {"agreement": 99.0}),
        ("int8", {**PAIRED, "top1_p": 1.5}),
    ],
    ids=["half a difference", "seeded with errors", "first with a difference", "first disagrees", "p above 1"],
)
def test_what_cannot_be_is_refused(precision: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ResultsError):
        row(precision, **changes)
