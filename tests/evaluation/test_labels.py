"""Finding listed images, and what labels may be."""

import os

import pytest

from caffezoo.errors import DataError
from caffezoo.evaluation.labels import LabelledImage, check_labels, images_sha256, locate_images


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
