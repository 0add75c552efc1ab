"""Parquet: columns by flag, shards, bytes without struct, faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffezoo.data.parquet import ParquetDataset
from caffezoo.errors import DataError, ImageError

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def test_columns_and_shards(tmp_path: Path) -> None:
    for shard in range(2):
        rows = [{"picture": bytes([shard, i]), "truth": 10 * shard + i} for i in range(7)]
        parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / f"{shard}.parquet", row_group_size=2)
    dataset = ParquetDataset(str(tmp_path), image_column="picture", label_column="truth")
    assert [sample.label for sample in dataset] == [*range(7), *range(10, 17)]
    assert dataset.read(9) == bytes([1, 2])
    with pytest.raises(DataError, match=r"none of its columns \(picture, truth\) is known to hold the image"):
        ParquetDataset(str(tmp_path))
    with pytest.raises(DataError, match="no column 'pic'; there are picture, truth"):
        ParquetDataset(str(tmp_path), image_column="pic")


def test_what_cannot_be(tmp_path: Path) -> None:
    rows = [{"image": None, "label": 0}, {"image": b"x", "label": 1}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    with pytest.raises(ImageError, match="holds no image bytes"):
        ParquetDataset(str(tmp_path / "a.parquet")).read(0)
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(content[:-9])
    with pytest.raises(DataError, match="not a Parquet file, or one that was cut off"):
        ParquetDataset(str(tmp_path / "b.parquet"))
    parquet.write_table(pyarrow.table({"image": [b"x"], "label": ["dog"]}), tmp_path / "c.parquet")
    with pytest.raises(DataError, match="label 'dog' is not a whole number"):
        ParquetDataset(str(tmp_path / "c.parquet"))
