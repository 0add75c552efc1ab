"""The matrix of what was taken for what."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import DataError
from caffezoo.evaluation.metrics import ErrorRate
from caffezoo.report.confusion_plot import confusion_figure, confusion_matrix
from caffezoo.report.details import ConfusionRow
from caffezoo.report.records import record_rows
from caffezoo.report.store import Store
from caffezoo.report.zoo_data import ZooData
from caffezoo.zoo.index import load_index
from tests.report.measurements import evaluation_record

RUN = "0123456789ab"


def rows(*counts: tuple[int, int, int]) -> list[ConfusionRow]:
    return [ConfusionRow(run=RUN, label=label, guess=guess, images=n) for label, guess, n in counts]


def test_all_classes_where_they_are_few() -> None:
    found = confusion_matrix(rows((3, 3, 5), (3, 9, 1), (9, 9, 2)))
    assert (found.classes, found.all_classes) == ((3, 9), True)
    assert found.counts.tolist() == [[5, 1, 0], [0, 2, 0]]


def test_the_pairs_that_are_confused_most_where_they_are_many() -> None:
    found = confusion_matrix(rows((0, 0, 50), (1, 2, 3), (3, 4, 9), (3, 1, 1), (5, 6, 1)), limit=4)
    assert (found.classes, found.all_classes) == ((1, 2, 3, 4), False)
    assert found.counts.tolist() == [[0, 3, 0, 0, 0], [0] * 5, [1, 0, 0, 9, 0], [0] * 5]


@given(
    st.dictionaries(st.tuples(st.integers(0, 40), st.integers(0, 40)), st.integers(1, 99), min_size=1),
    st.integers(2, 9),
)
def test_rows_add_up(taken: dict[tuple[int, int], int], limit: int) -> None:
    found = confusion_matrix(rows(*((label, guess, n) for (label, guess), n in taken.items())), limit)
    assert len(found.classes) <= limit
    for label, line in zip(found.classes, found.counts.tolist(), strict=True):
        assert sum(line) == sum(n for (true, _), n in taken.items() if true == label)


def test_the_figure_names_classes_and_run(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    store = Store(tmp_path)
    rate = {"images": 10, "top1": ErrorRate(3, 10), "top5": ErrorRate(0, 10)}
    store.append(record_rows(evaluation_record(**rate, confusion=((0, 0, 7), (134, 517, 3))), "test"))
    data = ZooData(load_index(), store)
    figure = confusion_figure(data, "dpn92")
    labels = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert labels == ["tench", "crane (134)", "crane (517)", "other classes"]
    run = store.accuracy().rows[0].run
    assert run in figure.get_suptitle()
    assert "top-1 error 30.00 %" in figure.get_suptitle()
    assert {text.get_text() for text in figure.axes[0].texts} == {"7", "3"}
    with pytest.raises(DataError, match="no run 'ffff' with what was taken for what"):
        confusion_figure(data, "dpn-92", "ffff")
    with pytest.raises(DataError, match="network 'senet'"):
        confusion_figure(data, "senet")
