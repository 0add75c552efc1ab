"""The order of a label list, from names that betray it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from caffezoo.data.lists import read_list
from caffezoo.evaluation.label_order import evidence, told_wnid
from caffezoo.evaluation.labels import LabelledImage
from caffezoo.zoo.resources import data_path
from caffezoo.zoo.synsets import label_permutation, synsets

VALIDATION = [LabelledImage(i.name, i.label, i.where) for i in read_list(data_path("cls/ILSVRC2012_val.txt")).images]
TO_2015 = label_permutation("2012", "2015")


def order_of(images: Iterable[LabelledImage]) -> str | None:
    return evidence(images).order()


def by_wnid(order: str) -> list[LabelledImage]:
    return [LabelledImage(f"val/{s.wnid}_photo.JPEG", label) for label, s in enumerate(synsets(order))]


@pytest.mark.parametrize("order", ["2012", "2015"])
def test_wordnet_ids_prove_the_order(order: str) -> None:
    assert order_of(by_wnid(order)) == order


def test_the_validation_sets_names_prove_the_order() -> None:
    assert order_of(VALIDATION[:50]) == "2012"
    assert order_of([LabelledImage(i.path, TO_2015[i.label]) for i in VALIDATION[:50]]) == "2015"


def test_names_that_tell_nothing_or_contradict_prove_nothing() -> None:
    assert order_of([LabelledImage("cat.jpg", 281)]) is None
    assert order_of([LabelledImage(i.path, (i.label + 500) % 1000) for i in VALIDATION[:50]]) is None


@pytest.mark.parametrize(
    ("path", "wnid"),
    [
        ("a/n01440764_tench.JPEG", "n01440764"),
        ("val/n01440764/tench.JPEG", "n01440764"),
        ("ILSVRC2012_val_00000001.JPEG", "n01751748"),
        ("ilsvrc2012_VAL_00000001.png", "n01751748"),
        ("n01440764/ILSVRC2012_val_00000001.JPEG", "n01751748"),
        ("ILSVRC2012_val_00050001.JPEG", None),
        ("n00000000_none.JPEG", None),
        ("n014407641.JPEG", None),
        ("cat.jpg", None),
    ],
)
def test_what_a_name_tells(path: str, wnid: str | None) -> None:
    assert told_wnid(path) == wnid


def test_a_contradiction_shows_a_line_and_the_flag_that_is_right() -> None:
    from_one = [LabelledImage(i.path, i.label + 1, f"val.txt:{n}") for n, i in enumerate(VALIDATION[:12], 1)]
    error = evidence(from_one).contradiction("2012")
    assert str(error) == (
        "val.txt:1: label 66 contradicts the name ILSVRC2012_val_00000001.JPEG, which is n01751748: label 65 in the"
        " order of 2012 and 489 in the order of 2015; 12 of 12 labels contradict what names tell; they are counted from"
        " 1: give --labels-from 1 (then they are in the order of 2012)"
    )
    in_2015 = evidence([LabelledImage(i.path, TO_2015[i.label]) for i in VALIDATION[:50]])
    assert "give --label-order 2015" in str(in_2015.contradiction("2012", stated="--label-order"))
    alien = evidence([LabelledImage(i.path, 999 - i.label) for i in VALIDATION[:50]])
    assert alien.is_a_numbering
    assert "--label-order listed" in alien.remedy()
