"""LMDB of Datum records: encoded and raw, foreign and damaged records."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from caffezoo.data.lmdb_database import LmdbDataset
from caffezoo.errors import DataError, ImageError
from caffezoo.formats.datum import write_datum

lmdb = pytest.importorskip("lmdb")


def write(place: Path, records: dict[str, bytes]) -> str:
    with lmdb.open(str(place), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for key, record in records.items():
            transaction.put(key.encode(), record)
    return str(place)


def test_raw_and_encoded_records(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    png = cv2.imencode(".png", pixels)[1].tobytes()
    planes = pixels.transpose(2, 0, 1).tobytes()
    grey = pixels[..., 0]
    dataset = LmdbDataset(
        write(
            tmp_path / "db",
            {
                "0": write_datum(png, 3),
                "1": write_datum(planes, 4, shape=(3, 5, 7)),
                "2": write_datum(grey.tobytes(), 5, shape=(1, 5, 7)),
                "3": write_datum(png, 6, encoded=False),
            },
        )
    )
    assert [sample.label for sample in dataset] == [3, 4, 5, 6]
    assert dataset.read(0) == dataset.read(3) == png
    np.testing.assert_array_equal(dataset.read(1), pixels)
    np.testing.assert_array_equal(dataset.read(2), grey[..., None])


def test_records_that_are_none(tmp_path: Path) -> None:
    planes = bytes(3 * 5 * 6)
    dataset = LmdbDataset(
        write(
            tmp_path / "db",
            {
                "a": b"\xff" * 30,
                "b": write_datum(planes, 0, shape=(3, 5, 7)),
                "c": write_datum(bytes(70), 0, shape=(2, 5, 7)),
                "d": b"\x28\x01",
            },
        )
    )
    for index, message in enumerate(
        ["no Datum", "holds 90 values, not 3 x 5 x 7", "2 channels are neither", "no data"]
    ):
        with pytest.raises(ImageError, match=message):
            dataset.read(index)


def test_no_database(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "data.mdb").write_bytes(b"no database" * 999)
    with pytest.raises(DataError, match="not an LMDB database"):
        LmdbDataset(str(tmp_path / "db"))
    with pytest.raises(DataError, match="holds no record"):
        LmdbDataset(write(tmp_path / "empty", {}))
