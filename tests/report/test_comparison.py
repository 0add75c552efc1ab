"""Measured against measured and against published."""

from __future__ import annotations

from typing import Any

import pytest

from caffezoo.errors import UsageError
from caffezoo.report.comparison import compare_published, compare_rows, settings_that_differ
from caffezoo.report.records import record_rows
from caffezoo.report.rows import Measured
from caffezoo.zoo.index import load_index
from tests.report.measurements import evaluation_record, time_record


def _row(record: dict[str, Any]) -> Measured:
    row = record_rows(record, "test")[0]
    assert isinstance(row, Measured)
    return row


DPN = load_index().record("dpn-92")


def test_equal_to_the_published_error() -> None:
    found = compare_published(_row(evaluation_record()), DPN)
    assert all("soeaver" in d.first_name for d in found)
    assert [(d.quantity, d.first, d.second, d.within) for d in found] == [
        ("top1_error", 20.81, 20.81, True),
        ("top5_error", 5.47, 5.47, True),
    ]


def test_the_tolerance_is_in_points_and_inclusive() -> None:
    worse = _row({**evaluation_record(), "top1_error": 20.91, "top1_interval": [20.5, 21.3]})
    first = compare_published(worse, DPN)[0]
    assert first.difference == pytest.approx(0.1)
    assert first.within
    assert not compare_published(worse, DPN, tolerance=0.05)[0].within


@pytest.mark.parametrize(
    "change",
    [
        {"images": 20},
        {"precision": "bfloat16"},
        {"protocol": {"mean": (0.0, 0.0, 0.0)}},
        {"protocol": {"base_size": 224}},
        {"protocol": {"resize": "squash"}},
        {"protocol": {"resizer": "cv2-area"}},
        {"protocol": {"fully_convolutional": True}},
        {"protocol": {"scales": (256,), "base_size": 224}},
        {"class_subset": 200},
    ],
)
def test_what_was_measured_otherwise_is_not_compared(change: dict[str, Any]) -> None:
    assert compare_published(_row(evaluation_record(**change)), DPN) == []


def test_large_crops_compare_with_the_large_column() -> None:
    row = _row(evaluation_record(protocol={"base_size": 320, "crop_size": 320, "crops": 12}))
    assert [d.first for d in compare_published(row, DPN)] == [18.68, 4.24]


def test_times_compare_in_percent_and_name_the_devices() -> None:
    (found,) = compare_published(_row(time_record()), DPN)
    published = next(t for t in DPN["published"]["time"] if t["crop_size"] == 224)
    assert found.difference == pytest.approx(100 * (75.25 / published["forward_ms"] - 1))
    assert "Titan X" in found.first_name
    assert "CPU" in found.second_name


def test_two_runs() -> None:
    a, b = _row(time_record()), _row(time_record(forward_ms=82.775, threads=4))
    (found,) = compare_rows(a, b)
    assert (round(found.difference, 6), found.within) == (10.0, True)
    assert settings_that_differ(a, b) == [("threads", "2", "4")]
    with pytest.raises(UsageError, match="not comparable"):
        compare_rows(a, _row(evaluation_record()))
