"""Labels of the validation set: the zoo's list, the two packages, and how they agree."""

from __future__ import annotations

import pytest

from caffezoo.data.label_sets import label_set, published_labels, real_labels, validation_labels, validation_number
from caffezoo.errors import DataError, UnknownNameError
from tests.weights.registry import shared_cache


def test_numbers_of_validation_images() -> None:
    assert validation_number("val/ILSVRC2012_val_00000001.JPEG") == 1
    assert validation_number("ilsvrc2012_val_00050000") == 50000
    assert validation_number("ILSVRC2012_val_00050001.JPEG") is None
    assert validation_number("cat.JPEG") is None


def test_the_published_set_is_numbered_as_the_network_does() -> None:
    known = validation_labels()
    assert label_set("2012", [1, 50000], "2012") == ((known[0],), (known[-1],))
    assert label_set("2012", [1], "2015") != label_set("2012", [1], "2012")
    with pytest.raises(DataError, match="1 of the 2 are not named so"):
        label_set("2012", [1, None], "2012")
    with pytest.raises(UnknownNameError, match="unknown label set 'reel'; did you mean real"):
        label_set("reel", [1], "2012")


@pytest.mark.registry
def test_the_packages_agree_with_the_zoo(tmp_path_factory: pytest.TempPathFactory) -> None:
    shared_cache(tmp_path_factory)
    assert published_labels() == validation_labels()
    real = real_labels()
    assert sum(not labels for labels in real) == 3163
    agreeing = sum(label in labels for label, labels in zip(validation_labels(), real, strict=True))
    assert round(100 * agreeing / 46837, 2) == 90.02
    assert label_set("real", [1, 2], "2012") == real[:2]
