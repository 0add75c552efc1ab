"""Files of predictions: written as the original's, read back, counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffezoo.errors import DataError
from caffezoo.evaluation.predictions import Disagreement, best, disagreements, prediction_lines, read_predictions

ONE = [
    "n00005787_1    : [T]  42=0.500000   7=0.250000 999=0.125000   1=0.062500   0=0.031250",
    "                 [G]   7=0.500000  42=0.250000 999=0.125000   1=0.062500   0=0.031250",
    "                 [O]   7=0.500000   8=0.250000 999=0.125000   1=0.062500   0=0.031250",
]


def test_lines_are_the_originals() -> None:
    t = ((42, 0.5), (7, 0.25), (999, 0.125), (1, 0.0625), (0, 0.03125))
    g = ((7, 0.5), (42, 0.25), *t[2:])
    o = ((7, 0.5), (8, 0.25), *t[2:])
    assert prediction_lines("n00005787_1", [t, g, o]) == ONE


def test_read_back_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "p.txt"
    same = [ONE[0], *(f"{'':17}[{m}] {ONE[0].split('] ')[1]}" for m in "GO")]
    file.write_text("\n".join([*ONE, *same]) + "\n")
    found = read_predictions(file)
    assert [name for name, _ in found] == ["n00005787_1", "n00005787_1"]
    assert list(disagreements(found)) == [Disagreement("G", 2, 1, 0), Disagreement("O", 2, 1, 1)]


def test_equal_scores_are_in_the_order_of_classes() -> None:
    assert best(np.array([0.1, 0.3, 0.3, 0.1, 0.1, 0.1]))[:3] == ((1, 0.3), (2, 0.3), (0, 0.1))


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        (["nonsense"], ":1"),
        (ONE[1:], ":1"),
        ([ONE[0], ONE[2]], ":2"),
        ([ONE[0].replace("42=", "x=")], ":1"),
        ([ONE[0].rsplit(maxsplit=1)[0]], ":1"),
        (ONE[:2], ""),
        ([], ""),
    ],
    ids=["no line", "no first", "no second", "no number", "four entries", "half", "empty"],
)
def test_what_is_none_is_named_by_line(tmp_path: Path, lines: list[str], number: str) -> None:
    file = tmp_path / "p.txt"
    file.write_text("\n".join(lines))
    with pytest.raises(DataError) as caught:
        read_predictions(file)
    assert caught.value.where == f"{file}{number}"
