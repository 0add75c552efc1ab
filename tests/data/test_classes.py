"""Folders say which class they are by wnid, number or name, and never by their place."""

from __future__ import annotations

import pytest

from caffezoo.data.classes import folder_classes, imagenet_names
from caffezoo.errors import DataError


def test_numbers_are_numbers() -> None:
    found = folder_classes(["10", "2", "1"])
    assert found is not None
    assert (found.by, found.labels) == ("number", {"10": 10, "2": 2, "1": 1})
    assert folder_classes(["10", "2", "1"], labels_from=1).labels["10"] == 9  # type: ignore[union-attr]
    with pytest.raises(DataError, match="'0' is below 1"):
        folder_classes(["0", "1"], labels_from=1)
    with pytest.raises(DataError, match="two class folders have one number"):
        folder_classes(["01", "1"])
    assert folder_classes(["224"]) is None


def test_names() -> None:
    found = folder_classes(["great_white_shark", "Tench"], names=imagenet_names())
    assert found is not None
    assert (found.by, found.labels) == ("name", {"great_white_shark": 2, "Tench": 0})
    assert folder_classes(["crane"], names=imagenet_names()) is None  # a bird and a machine
    assert folder_classes(["images", "val"], names=imagenet_names()) is None
    with pytest.raises(DataError, match="1 of its 2 folders are names of classes, and 'zebrafish' is not"):
        folder_classes(["tench", "zebrafish"], names=imagenet_names())


def test_wnids() -> None:
    found = folder_classes(["n01443537", "n01440764", "extra"])
    assert found is not None
    assert (found.is_imagenet, found.labels) == (True, {"n01440764": 0, "n01443537": 1})
    with pytest.raises(DataError, match="none of ImageNet's 1000 classes"):
        folder_classes(["n00000001"])
