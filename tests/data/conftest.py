"""Twelve small JPEGs, and every form of data set that holds them."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffezoo.formats.datum import write_datum

Pictures = list[tuple[str, bytes, int]]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAFFEZOO_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def pictures() -> Pictures:
    return draw_pictures()


def draw_pictures() -> Pictures:
    """(file name, JPEG, label), by name."""
    rng = np.random.default_rng(5)
    found = []
    for i in range(12):
        pixels = cv2.resize(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8), (40 + i, 30 + 2 * i))
        found.append((f"image {i:02}.JPEG", cv2.imencode(".jpg", pixels)[1].tobytes(), (7 * i) % 12))
    return found


def as_folder(pictures: Pictures, place: Path) -> Path:
    place.mkdir()
    for name, data, _ in pictures:
        (place / name).write_bytes(data)
    return place


def as_tar(pictures: Pictures, place: Path) -> Path:
    place = place.with_suffix(".tar")
    with tarfile.open(place, "w") as archive:
        for name, data, _ in reversed(pictures):
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return place


def as_zip(pictures: Pictures, place: Path) -> Path:
    place = place.with_suffix(".zip")
    with zipfile.ZipFile(place, "w") as archive:
        for name, data, _ in pictures:
            archive.writestr(name, data)
    return place


def as_lmdb(pictures: Pictures, place: Path) -> Path:
    lmdb = pytest.importorskip("lmdb")
    with lmdb.open(str(place), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for i, (name, data, label) in enumerate(pictures):
            transaction.put(f"{i:08}_{name}".encode(), write_datum(data, label))
    return place


def as_parquet(pictures: Pictures, place: Path) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    place = place.with_suffix(".parquet")
    rows = [{"image": {"bytes": data, "path": name}, "label": label} for name, data, label in pictures]
    parquet.write_table(pyarrow.Table.from_pylist(rows), place, row_group_size=5)
    return place


def as_webdataset(pictures: Pictures, place: Path) -> Path:
    place.mkdir()
    for shard in range(2):
        with tarfile.open(place / f"shard-{shard}.tar", "w") as archive:
            for i, (_, data, label) in list(enumerate(pictures))[6 * shard : 6 * shard + 6]:
                for ending, content in (("cls", str(label).encode()), ("jpg", data)):
                    entry = tarfile.TarInfo(f"{i:06}.{ending}")
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))
    return place


def as_pickle(pictures: Pictures, place: Path) -> Path:
    place = place.with_suffix(".pkl")
    place.write_bytes(pickle.dumps({"data": [data for _, data, _ in pictures], "target": [n for *_, n in pictures]}))
    return place


FORMS: dict[str, Callable[[Pictures, Path], Path]] = {
    "folder": as_folder,
    "tar": as_tar,
    "zip": as_zip,
    "lmdb": as_lmdb,
    "parquet": as_parquet,
    "webdataset": as_webdataset,
    "pickle": as_pickle,
}
LABELLED = ("lmdb", "parquet", "webdataset", "pickle")
