"""Data layers whose sources are on this disk: databases, HDF5 files and lists of images tell the shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffezoo.errors import FormatError, ShapeError
from caffezoo.formats.datum import write_datum
from caffezoo.net.graph import Network


def database(folder: Path, record: bytes | None) -> Path:
    lmdb = pytest.importorskip("lmdb")
    with lmdb.open(str(folder), map_size=1 << 20) as environment, environment.begin(write=True) as transaction:
        if record is not None:
            transaction.put(b"00000000", record)
    return folder


def picture(height: int, width: int) -> bytes:
    import cv2

    return cv2.imencode(".png", np.zeros((height, width, 3), np.uint8))[1].tobytes()


def shapes(text: str, folder: Path) -> dict[str, tuple[int, ...]]:
    file = folder / "net.prototxt"
    file.write_text(text)
    return dict(Network.load(file).inputs)


def data_layer(source: str, more: str = "") -> str:
    param = f'data_param {{ source: "{source}" batch_size: 4 backend: LMDB }} {more}'
    return f'layer {{ name: "d" type: "Data" top: "data" top: "label" {param} }}'


def test_a_database_of_raw_records(tmp_path: Path) -> None:
    database(tmp_path / "db", write_datum(bytes(28 * 20), 3, shape=(1, 28, 20)))
    assert shapes(data_layer("db"), tmp_path) == {"data": (4, 1, 28, 20), "label": (4,)}
    assert shapes(data_layer("db", "transform_param { crop_size: 16 }"), tmp_path)["data"] == (4, 1, 16, 16)
    assert shapes(data_layer("db", "transform_param { force_color: true }"), tmp_path)["data"] == (4, 3, 28, 20)


def test_a_database_of_encoded_images(tmp_path: Path) -> None:
    database(tmp_path / "db", write_datum(picture(17, 31), 3))
    assert shapes(data_layer("db"), tmp_path)["data"] == (4, 3, 17, 31)


def test_a_database_that_is_not_here_is_named(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"source 'elsewhere' is not here; say it: --shape data="):
        shapes(data_layer("elsewhere"), tmp_path)


@pytest.mark.parametrize(
    ("record", "message"),
    [(None, "holds no record"), (b"\x00\x01", "no Datum"), (write_datum(b"no image", 0), "cannot be decoded")],
    ids=["empty", "no datum", "no image"],
)
def test_a_database_that_is_none(tmp_path: Path, record: bytes | None, message: str) -> None:
    database(tmp_path / "db", record)
    with pytest.raises(FormatError, match=message):
        shapes(data_layer("db"), tmp_path)


HDF5 = """layer { name: "d" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param { source: "list.txt" batch_size: 5 } }"""


def test_hdf5_files(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    (tmp_path / "list.txt").write_text("train.h5\n")
    with pytest.raises(FormatError, match=r"names train.h5, which is not here"):
        shapes(HDF5, tmp_path)
    (tmp_path / "train.h5").write_bytes(b"no such file")
    with pytest.raises(FormatError, match="no HDF5 file"):
        shapes(HDF5, tmp_path)
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file["data"] = np.zeros((9, 3, 8, 6), np.float32)
    with pytest.raises(FormatError, match="no data set 'label'"):
        shapes(HDF5, tmp_path)
    with h5py.File(tmp_path / "train.h5", "a") as file:
        file["label"] = np.zeros((9, 2), np.float32)
    assert shapes(HDF5, tmp_path) == {"data": (5, 3, 8, 6), "label": (5, 2)}


def test_a_list_of_images(tmp_path: Path) -> None:
    text = """layer { name: "d" type: "ImageData" top: "data" top: "label"
      image_data_param { source: "list.txt" batch_size: 2 root_folder: "images/" } }"""
    (tmp_path / "list.txt").write_text("a b.png 3\n")
    with pytest.raises(FormatError, match=r"names images/a b.png, which is not here"):
        shapes(text, tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a b.png").write_bytes(picture(12, 10))
    assert shapes(text, tmp_path) == {"data": (2, 3, 12, 10), "label": (2,)}
    (tmp_path / "list.txt").write_text("")
    with pytest.raises(FormatError, match="names no file"):
        shapes(text, tmp_path)
