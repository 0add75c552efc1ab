"""The journal's file: what comes back from it, whole, cut anywhere, altered, locked, or not writable."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.evaluation.journal import Journal, Outcome

IDENTITY = {"network": "a/b net", "images": 6, "classes": 10, "engine": "x"}
OUTCOMES = [Outcome(0, 3), Outcome(4, 9), Outcome(reason="no such image"), Outcome(1, 0)]


def opened(folder: Path, resume: bool = True) -> Journal:
    journal = Journal.open(folder, IDENTITY, resume=resume)
    assert journal is not None
    return journal


def written(folder: Path) -> Path:
    journal = opened(folder)
    assert journal.outcomes == []
    for second, outcome in enumerate(OUTCOMES, 1):
        journal.add(outcome, float(second))
    journal.close()
    return journal.path


def test_outcomes_come_back(tmp_path: Path) -> None:
    path = written(tmp_path / "new" / "folder")
    assert path.name.startswith("a_b_net-")
    again = opened(path.parent)
    assert (again.outcomes, again.seconds, again.path) == (OUTCOMES, 4.0, path)
    again.add(Outcome(0, 1), 5.0)
    again.close()
    assert len(opened(path.parent).outcomes) == 5


def test_not_resumed_begins_anew(tmp_path: Path) -> None:
    written(tmp_path)
    assert opened(tmp_path, resume=False).outcomes == []
    assert opened(tmp_path).outcomes == []


@given(st.integers(0, 400), st.binary(max_size=20))
def test_a_file_that_is_cut_or_spoilt_gives_a_beginning(
    tmp_path_factory: pytest.TempPathFactory, end: int, more: bytes
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    path = written(folder)
    content = path.read_bytes()
    path.write_bytes(content[:end] + more)
    journal = opened(folder)
    whole_lines = len((content[:end] + more).splitlines()) - 1
    assert len(journal.outcomes) <= max(0, whole_lines)
    kept = journal.outcomes[: len(OUTCOMES)]
    if end < len(content):
        kept = journal.outcomes[: content[:end].count(b"\n") - 1] if content[:end].count(b"\n") else []
    assert kept == OUTCOMES[: len(kept)]
    journal.add(Outcome(2, 2), 9.0)
    journal.close()
    assert opened(folder).outcomes == [*journal.outcomes, Outcome(2, 2)][:6]


@pytest.mark.parametrize(
    "line", ["[1]", "[0, 10, 1]", "[10, 0, 1]", "[-1, 0, 1]", "[true, 0, 1]", "{}", "3", "[" * 9999]
)
def test_a_line_that_cannot_be_ends_it(tmp_path: Path, line: str) -> None:
    path = written(tmp_path)
    head, first, *_ = path.read_text().splitlines()
    path.write_text("\n".join([head, first, line, first]) + "\n")
    assert opened(tmp_path).outcomes == OUTCOMES[:1]


def test_no_more_outcomes_than_images(tmp_path: Path) -> None:
    path = written(tmp_path)
    head, *lines = path.read_text().splitlines()
    path.write_text("\n".join([head, *lines, *lines]) + "\n")
    assert len(opened(tmp_path).outcomes) == 6


def test_a_second_run_at_the_same_time_keeps_none(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    first = opened(tmp_path)
    first.add(OUTCOMES[0], 1.0)
    assert Journal.open(tmp_path, IDENTITY) is None
    first.close()
    assert opened(tmp_path).outcomes == OUTCOMES[:1]


def test_where_nothing_can_be_written_there_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert Journal.open(tmp_path / "file", IDENTITY) is None


def test_a_full_disk_ends_the_journal_only() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    journal = Journal(Path("/dev/full"), open("/dev/full", "ab"), [], 0.0)  # noqa: SIM115
    journal.add(OUTCOMES[0], 1.0)
    journal.add(OUTCOMES[1], 2.0)
    journal.close()
