"""The 1000 classes of ImageNet, their two orders and their names."""

import pytest

from caffezoo.errors import DataError, UnknownNameError
from caffezoo.zoo.synsets import class_name, label_permutation, read_synsets, synsets


def test_the_orders_hold_the_same_1000_classes():
    old, new = synsets("2012"), synsets("2015")
    assert len(old) == len(new) == 1000
    assert (old[0].wnid, old[0].names) == ("n01440764", "tench, Tinca tinca")
    assert [s.wnid for s in old] == sorted(s.wnid for s in new)
    there, back = label_permutation("2012", "2015"), label_permutation("2015", "2012")
    assert [new[i] for i in there] == list(old)
    assert [there[i] for i in back] == list(range(1000))
    # ILSVRC2012_val_00000001 is 65 in the published list of 2012 and 489 in that of 2015.
    assert there[65] == 489
    with pytest.raises(UnknownNameError, match="unknown label order '2013'"):
        synsets("2013")


def test_synset_files_are_checked(tmp_path):
    (tmp_path / "list.txt").write_text("n1 a\nn2\n")
    with pytest.raises(DataError, match=r"list.txt:2: not a 'wnid name' line"):
        read_synsets(tmp_path / "list.txt")
    with pytest.raises(DataError, match="cannot be read"):
        read_synsets(tmp_path)


@pytest.mark.parametrize(
    ("order", "classes", "names", "said"),
    [
        ("2012", 1000, None, "tench, Tinca tinca"),
        ("2015", 1000, None, synsets("2015")[0].names),
        ("other", 2, ("cat", "dog"), "cat"),
        ("other", 3, ("cat", "dog"), "class 0"),
        ("2012", 10, None, "class 0"),
    ],
)
def test_names_of_outputs(order, classes, names, said):
    assert class_name(0, classes, order, names) == said
