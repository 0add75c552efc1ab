"""The order of a label list, from names that betray it."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffezoo.evaluation.dataset import open_dataset
from caffezoo.evaluation.label_order import recognise_order
from caffezoo.evaluation.labels import LabelledImage, read_label_list
from caffezoo.zoo.resources import data_path
from caffezoo.zoo.synsets import label_permutation, synsets

VALIDATION = read_label_list(data_path("cls/ILSVRC2012_val.txt"))
TO_2015 = label_permutation("2012", "2015")


def by_wnid(order: str) -> list[LabelledImage]:
    return [LabelledImage(f"val/{s.wnid}_photo.JPEG", label) for label, s in enumerate(synsets(order))]


@pytest.mark.parametrize("order", ["2012", "2015"])
def test_wordnet_ids_prove_the_order(order: str) -> None:
    assert recognise_order(by_wnid(order)) == order


def test_the_validation_sets_names_prove_the_order() -> None:
    assert recognise_order(VALIDATION[:50]) == "2012"
    assert recognise_order([LabelledImage(i.path, TO_2015[i.label]) for i in VALIDATION[:50]]) == "2015"


def test_names_that_tell_nothing_or_contradict_prove_nothing() -> None:
    assert recognise_order([LabelledImage("cat.jpg", 281)]) is None
    assert recognise_order([LabelledImage(i.path, (i.label + 500) % 1000) for i in VALIDATION[:50]]) is None


@pytest.mark.parametrize("listed", ["2012", "2015"])
@pytest.mark.parametrize("network", ["2012", "2015"])
def test_a_list_is_renumbered_for_the_network_without_being_asked(listed: str, network: str, tmp_path: Path) -> None:
    lines = []
    for label in (0, 281, 999):
        name = f"{synsets(listed)[label].wnid}_x.JPEG"
        (tmp_path / name).touch()
        lines.append(f"{name} {label}\n")
    (tmp_path / "list.txt").write_text("".join(lines))
    dataset = open_dataset(tmp_path, val_file=tmp_path / "list.txt", network_order=network)
    wanted = label_permutation(listed, network)
    assert [i.label for i in dataset.images] == [wanted[label] for label in (0, 281, 999)]
