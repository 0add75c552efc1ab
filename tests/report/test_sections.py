"""Sections between markers: found, filled, and nothing else touched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import FormatError, UnknownNameError
from caffezoo.report.sections import fill_sections, find_sections, stale_sections

KNOWN = ("accuracy", "cost")
TEXT = "# title\n\n<!-- table:accuracy -->\nold\n<!-- /table -->\nbetween\n  <!--table:cost-->\n<!-- /table -->\nend\n"


def _content(name: str) -> str:
    return f"| {name} |\n"


def test_sections_have_lines_and_text() -> None:
    found = find_sections(TEXT, KNOWN, "R")
    assert [(s.name, s.first, s.last, s.text) for s in found] == [("accuracy", 3, 5, "old"), ("cost", 7, 8, "")]


def test_filling_changes_only_sections_and_is_stable() -> None:
    filled = fill_sections(TEXT, find_sections(TEXT, KNOWN, "R"), _content)
    assert filled == (
        "# title\n\n<!-- table:accuracy -->\n\n| accuracy |\n\n<!-- /table -->\nbetween\n"
        "  <!--table:cost-->\n\n| cost |\n\n<!-- /table -->\nend\n"
    )
    sections = find_sections(filled, KNOWN, "R")
    assert stale_sections(sections, _content) == []
    assert fill_sections(filled, sections, _content) == filled


def test_one_changed_cell_is_stale() -> None:
    filled = fill_sections(TEXT, find_sections(TEXT, KNOWN, "R"), _content).replace("| cost |", "| coast |")
    assert [s.name for s in stale_sections(find_sections(filled, KNOWN, "R"), _content)] == ["cost"]


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("<!-- table:accuracy -->\n", FormatError, "R:1: table 'accuracy' has no end"),
        ("a\n<!-- /table -->\n", FormatError, "R:2: the end of a table that has not begun"),
        ("<!-- table:accuracy -->\n<!-- table:cost -->\n", FormatError, "R:2: a table begins inside"),
        ("a <!-- table:cost -->\n", FormatError, "R:1: a table's marker must be alone"),
        ("<!-- table:costs -->\n", UnknownNameError, "R:1: unknown table 'costs'; did you mean cost"),
        ("<!-- table: -->\n", UnknownNameError, "R:1: unknown table ''"),
    ],
)
def test_markers_that_cannot_be(text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        find_sections(text, KNOWN, "R")
    assert str(caught.value).startswith(said)


@given(st.lists(st.text(st.characters(exclude_characters="<\n"), max_size=20), max_size=6))
def test_text_around_sections_is_kept(lines: list[str]) -> None:
    around = "\n".join(lines)
    text = f"{around}\n<!-- table:cost -->\n<!-- /table -->\n{around}"
    filled = fill_sections(text, find_sections(text, KNOWN, "R"), _content)
    assert filled == f"{around}\n<!-- table:cost -->\n\n| cost |\n\n<!-- /table -->\n{around}"
