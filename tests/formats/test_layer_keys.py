"""Keys of layers: the name where it is the first of its kind, unique everywhere, and what writers make of twins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffezoo.errors import WeightsFileError
from caffezoo.formats.caffemodel import read_weights, write_caffemodel
from caffezoo.formats.hdf5 import write_hdf5
from caffezoo.formats.layer_keys import layer_keys
from caffezoo.formats.prototxt import parse_prototxt

TWINS = parse_prototxt('layer { name: "fc" type: "InnerProduct" } layer { name: "fc" type: "ReLU" }').net


@pytest.mark.parametrize("names", [[], [""], ["", ""], ["a", "a", "a#2"], ["a#2", "a", "a", "a"], ["x", "y"]])
def test_keys_are_unique_and_the_first_layer_keeps_its_name(names: list[str]) -> None:
    keys = layer_keys(names)
    assert len(set(keys)) == len(keys) == len(names)
    assert all(key == name for i, (key, name) in enumerate(zip(keys, names, strict=True)) if name not in names[:i])


def test_a_twin_without_blobs_is_left_out_of_a_caffemodel(tmp_path: Path) -> None:
    blobs = [np.ones((2, 3), np.float32)]
    write_caffemodel(tmp_path / "w.caffemodel", TWINS, {"fc": blobs})
    assert [(layer.name, len(layer.blobs)) for layer in read_weights(tmp_path / "w.caffemodel").layers] == [("fc", 1)]
    write_caffemodel(tmp_path / "w.caffemodel", TWINS, {"fc": blobs, "fc#2": blobs})  # shared: the first has them


def test_twins_with_blobs_of_their_own_are_not_written(tmp_path: Path) -> None:
    blobs = {"fc": [np.ones(3, np.float32)], "fc#2": [np.zeros(3, np.float32)]}
    with pytest.raises(WeightsFileError, match=r"two layers are named 'fc'.*rename one"):
        write_caffemodel(tmp_path / "w.caffemodel", TWINS, blobs)
    with pytest.raises(WeightsFileError, match=r"a later layer is named 'fc' too.*rename one"):
        write_hdf5(tmp_path / "w.caffemodel.h5", TWINS, blobs)
    assert list(tmp_path.glob("*.caffemodel")) == []
