"""Listed images are found by path, by file name, and without ending."""

from __future__ import annotations

import pytest

from caffezoo.data.base import Sample
from caffezoo.data.folder import FolderDataset
from caffezoo.data.lists import ListedImage
from caffezoo.data.matching import match
from caffezoo.errors import DataError

DATA = FolderDataset("d", [Sample(key, None, key) for key in ("d/a.JPEG", "d/x/b.jpg", "d/y/b.jpg", "d/x/v.0001.png")])


def listed(*names: str) -> list[ListedImage]:
    return [ListedImage(name, 0, f"list:{i}") for i, name in enumerate(names, 1)]


def test_ways_to_find() -> None:
    assert match(listed("d/x/b.jpg", "/other/place/a.jpeg", "v.0001", "none.jpg"), DATA) == (1, 0, 3, None)
    assert match(listed("A", "x.jpg"), DATA) == (0, None)


def test_a_name_that_occurs_twice_finds_nothing() -> None:
    assert match(listed("b.jpg", "a"), DATA) == (None, 0)


def test_faults() -> None:
    with pytest.raises(DataError, match=r"list:2: the same image as in list:1: d/a\.JPEG"):
        match(listed("a.JPEG", "d/a.JPEG"), DATA)
    with pytest.raises(DataError, match=r"none of the 2 listed images is there, not even 'q'"):
        match(listed("q", "r"), DATA)
