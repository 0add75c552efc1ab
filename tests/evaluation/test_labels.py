"""Label lists, and finding their images."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import DataError
from caffezoo.evaluation.labels import LabelledImage, check_labels, images_sha256, locate_images, read_label_list
from caffezoo.zoo.resources import data_path


def write(tmp_path, text):
    path = tmp_path / "list.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_list_with_blanks_prefixes_and_spaces(tmp_path):
    path = write(tmp_path, "\ufeff/Data/CLS-LOC/val/a.JPEG 3 \r\n\n  my dog.jpg\t0\nsub/c.png 999")
    images = read_label_list(path)
    assert [(i.path, i.label, i.where) for i in images] == [
        ("/Data/CLS-LOC/val/a.JPEG", 3, f"{path}:1"),
        ("my dog.jpg", 0, f"{path}:3"),
        ("sub/c.png", 999, f"{path}:4"),
    ]
    assert read_label_list(path, limit=2) == images[:2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the list holds no image; it wants lines of 'path label'"),
        ("\n \n", "the list holds no image"),
        ("a.jpg 1\nb.jpg\n", "list.txt:2: 'b.jpg' is not a 'path label' line"),
        ("a.jpg one\n", "list.txt:1: label 'one' is not a whole number from 0"),
        ("a.jpg -1\n", "label '-1' is not a whole number from 0"),
        ("a.jpg 1.0\n", "label '1.0' is not"),
        ("a.jpg ٣\n", "is not a whole number"),
        ("a.jpg " + "9" * 5000, "is not a whole number"),
        ("a.jpg 1\nb.jpg 2\na.jpg 1\n", "list.txt:3: 'a.jpg' is listed twice, first in line 1"),
        (b"\xff\xd8\xff\xe0 1", "not a text file"),
    ],
)
def test_faults_are_named_with_their_line(tmp_path, text, message):
    with pytest.raises(DataError) as caught:
        read_label_list(write(tmp_path, text))
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_missing_list_or_a_folder(tmp_path):
    with pytest.raises(DataError, match="no such label list"):
        read_label_list(tmp_path / "none.txt")
    with pytest.raises(DataError, match="cannot be read"):
        read_label_list(tmp_path)


names = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1, max_size=12)


@given(st.dictionaries(names, st.integers(0, 10**9 - 1), min_size=1, max_size=8))
def test_what_is_written_is_read(tmp_path_factory, labels):
    path = write(tmp_path_factory.mktemp("l"), "".join(f"{name} {label}\n" for name, label in labels.items()))
    assert {i.path: i.label for i in read_label_list(path)} == labels


def test_images_are_found_by_path_then_by_name(tmp_path):
    for name in ("a.jpg", "sub/b.jpg", "deep/er/c.jpg", "x/d.jpg", "y/d.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    wanted = ["/Data/val/a.jpg", "sub/b.jpg", "else/c.jpg", "x/d.jpg", "z/d.jpg", "none.jpg"]
    located = locate_images([LabelledImage(name, 0, f"l:{i}") for i, name in enumerate(wanted)], [tmp_path])
    assert [os.path.relpath(i.path, tmp_path) for i in located] == [
        "a.jpg",
        "sub/b.jpg",
        "deep/er/c.jpg",
        "x/d.jpg",
        "z/d.jpg",  # two files bear the name: neither is taken
        "none.jpg",
    ]
    (absolute,) = locate_images([LabelledImage(str(tmp_path / "y/d.jpg"), 1)], [tmp_path / "x"])
    assert absolute.path == str(tmp_path / "y/d.jpg")


def test_no_image_found_and_one_file_twice_are_errors(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(DataError, match=r"none of the 2 listed images is there, not even 'n\.jpg'"):
        locate_images([LabelledImage("n.jpg", 0), LabelledImage("m.jpg", 0)], [tmp_path])
    with pytest.raises(DataError, match="l:2: the same file as in l:1"):
        locate_images([LabelledImage("p/a.jpg", 0, "l:1"), LabelledImage("q/a.jpg", 0, "l:2")], [tmp_path])


def test_labels_beyond_the_network_are_named():
    images = [LabelledImage("a", 1, "l:1"), LabelledImage("b", 2, "l:2")]
    check_labels(images, 3)
    with pytest.raises(DataError, match=r"l:2: label 2 is out of range: the network has 2 classes, 0\.\.1"):
        check_labels(images, 2)


def test_the_hash_says_which_images_and_labels_in_which_order():
    a, b = LabelledImage("x/a.jpg", 1), LabelledImage("x/b.jpg", 2)
    assert images_sha256([a, b]) == images_sha256([LabelledImage("y/a.jpg", 1), b])
    assert len({images_sha256(i) for i in ([a, b], [b, a], [a], [LabelledImage("a.jpg", 2), b])}) == 4


def test_the_committed_list_is_the_validation_set():
    images = read_label_list(data_path("cls/ILSVRC2012_val.txt"))
    assert len(images) == 50000
    assert all(image.label < 1000 for image in images)
    assert sorted(i.path for i in images)[::49999] == ["ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00050000.JPEG"]
