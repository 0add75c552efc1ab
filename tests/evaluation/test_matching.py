"""Labels of a list, numbered as a network's outputs: believed, converted or refused."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.data.lists import read_list
from caffezoo.errors import DataError, UsageError
from caffezoo.evaluation.dataset import Dataset
from caffezoo.evaluation.labels import LabelledImage
from caffezoo.evaluation.matching import match_labels
from caffezoo.zoo.resources import data_path
from caffezoo.zoo.synsets import label_permutation, synsets, wnid_labels

VALIDATION = [
    LabelledImage(i.name, i.label, i.where) for i in read_list(data_path("cls/ILSVRC2012_val.txt"), limit=60).images
]
TO_2015 = label_permutation("2012", "2015")


def listed(labels, names=None, **said):
    names = names or [f"{i}.jpg" for i in range(len(labels))]
    images = (LabelledImage(n, k, f"l:{i}") for i, (n, k) in enumerate(zip(names, labels, strict=True), 1))
    return Dataset("data", tuple(images), "l", listed=True, **said)


def validation(change=lambda label: label, **said):
    return listed([change(i.label) for i in VALIDATION], [i.path for i in VALIDATION], **said)


def labels(dataset, order, classes=1000):
    return [image.label for image in match_labels(dataset, order, classes).images]


TRUE_2012 = [i.label for i in VALIDATION]
TRUE_2015 = [TO_2015[label] for label in TRUE_2012]


@pytest.mark.parametrize(("network", "wanted"), [("2012", TRUE_2012), ("2015", TRUE_2015)])
def test_a_list_that_names_prove_is_converted(network, wanted):
    for dataset in (validation(), validation(lambda label: TO_2015[label])):
        assert labels(dataset, network) == wanted
    (note,) = match_labels(validation(), "2015", 1000).notes
    assert note == "labels are converted from the order of 2012 (file names prove it) to the network's, 2015"
    assert match_labels(validation(), "2012", 1000).notes == ()


def test_a_list_for_a_network_from_a_file_is_believed_as_it_stands():
    assert labels(validation(), "unknown") == TRUE_2012
    own = match_labels(validation(lambda label: TO_2015[label]), "unknown", 1000)
    assert [i.label for i in own.images] == TRUE_2015
    (note,) = own.notes
    assert "taken to be in the order of 2015, as the list does" in note
    unproven = match_labels(listed([0, 999, 281]), "unknown", 1000)
    assert ([i.label for i in unproven.images], unproven.notes) == ([0, 999, 281], ())


def test_data_that_label_themselves_are_taken_in_the_order_of_most_networks_and_it_is_said():
    folders = replace(listed([0, 1]), listed=False, order="2012", order_said_by="folders")
    matched = match_labels(folders, "unknown", 1000)
    assert [i.label for i in matched.images] == [0, 1]
    assert "order of 2012, as nearly all networks do (--network-order says otherwise)" in matched.notes[0]


@pytest.mark.parametrize("order", ["2012", "2015", "unknown"])
@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda label: label + 1, "--labels-from 1"),
        (lambda label: TO_2015[label] + 1, "--labels-from 1 .then they are in the order of 2015"),
        (lambda label: 999 - label, "--label-order FILE"),
    ],
    ids=["from 1", "2015 from 1", "alien"],
)
def test_labels_that_contradict_the_names_are_an_error(order, change, hint):
    for count in (1, 3, 60):
        dataset = validation(change)
        dataset = replace(dataset, images=dataset.images[:count])
        with pytest.raises(DataError, match=rf"^l:1: label .* contradicts the name ILSVRC2012_val_.*{hint}"):
            match_labels(dataset, order, 1000)
    assert labels(replace(validation(change), order="listed"), order) == [change(label) for label in TRUE_2012]


def test_a_wrong_label_order_is_an_error():
    with pytest.raises(DataError, match=r"order of 2015 .--label-order.; they agree in the order of 2012"):
        match_labels(validation(order="2015", order_said_by="--label-order"), "2012", 1000)
    stated = listed([5], order="2015", order_said_by="--label-order")  # no name tells
    assert labels(stated, "2012") == [label_permutation("2015", "2012")[5]]
    assert labels(stated, "unknown") == [5]


def test_a_few_wrong_labels_are_told():
    some = [label if i else label + 1 for i, label in enumerate(TRUE_2012)]
    (note,) = match_labels(listed(some, [i.path for i in VALIDATION]), "2012", 1000).notes
    assert note.startswith("l:1: label 66 contradicts the name ILSVRC2012_val_00000001.JPEG")
    assert "1 of 60 labels" in note


@pytest.mark.parametrize("order", ["unknown", "2012"])
def test_the_number_of_classes_is_compared_both_ways(order):
    with pytest.raises(DataError, match=r"1000 classes, and the network has 1001 outputs; .*give --drop-background"):
        match_labels(validation(), order, 1001)
    with pytest.raises(DataError, match="1000 classes, and the network has 1500 outputs; is it the network of this"):
        match_labels(validation(), order, 1500)
    with pytest.raises(DataError):
        match_labels(validation(), order, 365)


def test_what_looks_like_a_mistake_in_labels_that_nothing_proves_is_said():
    def notes(numbers, classes):
        return " ".join(match_labels(listed(numbers), "unknown", classes).notes)

    assert "if it counts from 1, give --labels-from 1" in notes([1, 2, 3, 9], 10)
    assert "the labels are 0..3, and the network has 5 outputs" in notes([0, 1, 2, 3], 5)
    assert "--drop-background" in notes([0, 1, 2, 3], 5)
    assert "--drop-background" in notes([0, 999], 1001)
    assert not notes([0, 1, 2, 3], 4)
    assert not notes([0, 7, 3], 10)
    with pytest.raises(DataError, match=r"label 10 is out of range: .* if the list counts from 1, give"):
        notes([1, 10], 10)


def test_ten_of_imagenets_classes_may_have_numbers_of_their_own():
    names = [f"{synset.wnid}_{i}.jpg" for i in range(2) for synset in synsets()[100:110]]
    dataset = listed([*range(10), *range(10)], names)
    assert labels(dataset, "unknown", 10) == [*range(10), *range(10)]
    assert labels(dataset, "other", 10) == [*range(10), *range(10)]
    with pytest.raises(DataError, match="contradicts the name"):
        match_labels(dataset, "unknown", 1000)
    with pytest.raises(DataError, match="contradicts the name"):  # one class, two numbers
        match_labels(listed([*range(10), *range(9, -1, -1)], names), "unknown", 10)


@given(st.permutations(range(1000)))
def test_an_order_of_the_networks_own(tmp_path_factory, places):
    """Drawn orders: labels of any published order, or of that order itself, become its outputs."""
    path: Path = tmp_path_factory.mktemp("order") / "order.txt"
    path.write_text("".join(f"{synsets()[place].wnid}\n" for place in places))
    own = wnid_labels(str(path))
    wanted = [own[synsets()[label].wnid] for label in TRUE_2012]
    for dataset in (
        validation(),
        validation(lambda label: TO_2015[label]),
        listed(wanted, [i.path for i in VALIDATION]),
    ):
        assert labels(dataset, str(path)) == wanted
    converted = validation(lambda label: own[synsets()[label].wnid], order=str(path), order_said_by="--label-order")
    assert labels(converted, "2012") == TRUE_2012


def test_an_order_of_a_few_classes(tmp_path):
    path = tmp_path / "order.txt"
    path.write_text("".join(f"{synsets()[label].wnid} name\n" for label in (970, 65)))
    two = replace(validation(), images=validation().images[:2])
    assert labels(two, str(path), 2) == [1, 0]
    with pytest.raises(DataError, match=rf"l:3: label 230 of 2012 is no class of {path}"):
        match_labels(validation(), str(path), 2)
    with pytest.raises(DataError, match=r"in the order of .*order.txt: 2 classes, and the network has 3 outputs"):
        match_labels(two, str(path), 3)


def test_a_list_for_a_network_of_other_classes():
    assert labels(validation(), "other") == TRUE_2012
    with pytest.raises(UsageError, match="its labels are ImageNet's, and this network has other classes"):
        match_labels(validation(order="2012"), "other", 1000)
