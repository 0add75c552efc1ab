"""Lists as people have them: dialects, faults by line, the devkit's numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffezoo.data.label_sets import validation_labels
from caffezoo.data.lists import devkit_labels, read_list
from caffezoo.errors import DataError


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        (b"a b.jpg 0\nc.jpg 1\n", {"a b.jpg": 0, "c.jpg": 1}),
        (b"\xef\xbb\xbfa.jpg\t5\r\n\r\nsub dir/b.jpg\t\t7\r\n", {"a.jpg": 5, "sub dir/b.jpg": 7}),
        (b"/data/x/a.jpg 3", {"/data/x/a.jpg": 3}),
        (b"a.jpg,2\nb.jpg,3\n", {"a.jpg": 2, "b.jpg": 3}),
        (b"file,label\na.jpg,2\nb,c.jpg,3\n", {"a.jpg": 2, "b,c.jpg": 3}),
        (b"a, b.jpg 2\nc, d.jpg 3\n", {"a, b.jpg": 2, "c, d.jpg": 3}),
        (b"a.jpg n01443537\nb.jpg n01440764\n", {"a.jpg": 1, "b.jpg": 0}),
        (
            b"ImageId,PredictionString\nILSVRC2012_val_00048981,n01443537 85 1 499 272 \n"
            b"ILSVRC2012_val_00037956,n01440764 131 0 499 254 n01440764 1 2 3 4 \n",
            {"ILSVRC2012_val_00048981": 1, "ILSVRC2012_val_00037956": 0},
        ),
    ],
    ids=["plain", "tabs", "absolute", "commas", "heading", "commas in paths", "wnids", "kaggle"],
)
def test_dialects(tmp_path: Path, content: bytes, labels: dict[str, int]) -> None:
    (tmp_path / "list").write_bytes(content)
    found = read_list(tmp_path / "list")
    assert {image.name: image.label for image in found.images} == labels


def test_labels_from_one(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("a.jpg 1\nb.jpg 3\n")
    assert [image.label for image in read_list(tmp_path / "list", labels_from=1).images] == [0, 2]
    assert read_list(tmp_path / "list").lowest == 1
    (tmp_path / "list").write_text("a.jpg 1\nb.jpg 0\n")
    with pytest.raises(DataError, match="list:2: label 0 is below 1, the first by --labels-from"):
        read_list(tmp_path / "list", labels_from=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no image"),
        ("a.jpg\nb.jpg 1", ":1: 'a.jpg' is not a 'path label' line"),
        ("a.jpg 1.5", ":1: label '1.5' is not a whole number"),
        ("a.jpg 1\nb.jpg -1", ":2: label '-1' is not a whole number from 0"),
        ("a.jpg 1\nb.jpg 2\na.jpg 1", ":3: 'a.jpg' is listed twice, first in line 1"),
        ("a.jpg n01440764\nb.jpg 2", "some labels are numbers and some WordNet ids"),
        ("a.jpg n00000001", "'n00000001' is none of ImageNet's 1000 classes"),
    ],
)
def test_faults_are_named_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list").write_text(text)
    with pytest.raises(DataError) as caught:
        read_list(tmp_path / "list")
    assert message in str(caught.value)


def test_the_devkits_numbers_are_proved(tmp_path: Path) -> None:
    known = validation_labels()
    shuffled = {label: 1 + (label * 377) % 1000 for label in range(1000)}
    numbers = [shuffled[label] for label in known]
    (tmp_path / "truth.txt").write_text("\n".join(map(str, numbers)))
    found = read_list(tmp_path / "truth.txt")
    assert (found.images, list(found.numbers)) == ((), numbers)
    assert devkit_labels(found.numbers, known, "truth.txt") == known
    assert devkit_labels(found.numbers[:700], known, "truth.txt") == known[:700]
    numbers[30000] = 1 + numbers[30000] % 1000
    with pytest.raises(DataError, match=r"truth.txt:30001: number \d+ stands for class \d+ in line \d+"):
        devkit_labels(numbers, known, "truth.txt")
    with pytest.raises(DataError, match="two of its numbers stand for one class"):
        devkit_labels([1, 2], [7, 7], "truth.txt")
