"""Pickles of images: protocols, bytes and arrays, colour order, and that nothing runs."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from caffezoo.data.pickle_file import PickleDataset
from caffezoo.errors import DataError

RNG = np.random.default_rng(0)
RGB = [RNG.integers(0, 255, (12, 16, 3), dtype=np.uint8) for _ in range(4)]
CODED = [cv2.imencode(".png", image)[1] for image in RGB]
IMAGES: dict[str, Any] = {
    "bytes": [code.tobytes() for code in CODED],
    "arrays": CODED,
    "raw": RGB,
    "one array": np.stack(RGB),
    "planes": np.ascontiguousarray(np.stack(RGB).transpose(0, 3, 1, 2)),
}
LABELS: dict[str, Any] = {"list": [9, 0, 999, 2], "array": np.array([9, 0, 999, 2])}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("images", list(IMAGES))
@pytest.mark.parametrize("labels", list(LABELS))
def test_all_forms(tmp_path: Path, protocol: int, images: str, labels: str) -> None:
    place = tmp_path / "val.pkl"
    place.write_bytes(pickle.dumps({"data": IMAGES[images], "target": LABELS[labels]}, protocol))
    dataset = PickleDataset(str(place))
    assert [sample.label for sample in dataset] == [9, 0, 999, 2]
    found = dataset.read(2)
    if isinstance(found, bytes):
        assert dataset.channel_order == "RGB"
        assert found == CODED[2].tobytes()
    else:
        np.testing.assert_array_equal(found, RGB[2][..., ::-1])
        np.testing.assert_array_equal(PickleDataset(str(place), channel_order="BGR").read(2), RGB[2])


def test_a_pickle_of_python_2(tmp_path: Path) -> None:
    coded = CODED[0].tobytes()

    def text(value: bytes) -> bytes:
        return b"T" + len(value).to_bytes(4, "little") + value

    content = b"\x80\x02}(" + b"U\x04data](" + text(coded) + b"eU\x06target](K\x07eu."
    (tmp_path / "val.pkl").write_bytes(content)
    dataset = PickleDataset(str(tmp_path / "val.pkl"))
    assert (dataset.read(0), dataset[0].label) == (coded, 7)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, ("touch ran",)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"data": [Evil()], "target": [0]}, "its pickle calls .*system: refused, nothing was run"),
        ({"data": [b"x" * 99], "target": [0, 1]}, "holds 1 images and 2 labels"),
        ({"data": [b"x" * 99], "target": ["a"]}, "labels are no whole numbers"),
        ({"data": [3], "target": [0]}, "an image of it is of type int"),
        ({"pictures": [], "target": []}, "none of the keys data, images, x"),
        ([1, 2], "no dict of images and labels"),
        ({"data": np.zeros((2, 3)), "target": [0, 1]}, "array of images is not uint8 of four axes"),
    ],
)
def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: Any, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "val.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(DataError, match=message):
        PickleDataset("val.pkl")
    assert [file.name for file in tmp_path.iterdir()] == ["val.pkl"]


@pytest.mark.parametrize("size", [0, 1, 50, 300])
def test_a_cut_pickle(tmp_path: Path, size: int) -> None:
    content = pickle.dumps({"data": IMAGES["bytes"], "target": LABELS["list"]})
    (tmp_path / "val.pkl").write_bytes(content[:size])
    with pytest.raises(DataError):
        PickleDataset(str(tmp_path / "val.pkl"))
