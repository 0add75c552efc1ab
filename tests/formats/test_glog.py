"""When a line was logged."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from caffezoo.formats.glog import PREFIX, moment

WRITTEN = datetime(2019, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("stamp", "found"),
    [
        ("I20261122 12:49:42.142449", datetime(2026, 11, 22, 12, 49, 42, tzinfo=UTC)),
        ("W1122 1:02:03.4", datetime(2019, 11, 22, 1, 2, 3, tzinfo=UTC)),
        ("E0230 12:00:00", WRITTEN),
        ("F1122 99:99", WRITTEN),
    ],
)
def test_moments(stamp: str, found: datetime) -> None:
    match = PREFIX.match(f"{stamp} 17372 solver.cpp:414]   text] more")
    assert match is not None
    assert match["level"] == stamp[0]
    assert match["text"] == "  text] more"
    assert moment(match, "", WRITTEN) == found


@pytest.mark.parametrize("line", ["", "I1122", "text", "D1122 1:2:3 4 a.cpp:5] x", "I1122 1:2:3 4 a.cpp] x"])
def test_other_lines_have_no_prefix(line: str) -> None:
    assert PREFIX.match(line) is None
