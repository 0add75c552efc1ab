"""Tars in place: the index, tars in tars, damaged and cut archives."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from caffezoo.data.tar_archive import TarDataset, TarFile
from caffezoo.errors import DataError, ImageError
from caffezoo.zoo.resources import cache_dir
from tests.data.conftest import Pictures, as_tar


def test_the_index_is_kept_and_belongs_to_the_file(pictures: Pictures, tmp_path: Path) -> None:
    place = as_tar(pictures, tmp_path / "data")
    found = TarFile(str(place)).members()
    (note,) = (cache_dir() / "tar-indexes").iterdir()
    identity, rows = json.loads(note.read_text())
    rows[0][0] = "known from the index.JPEG"
    note.write_text(json.dumps([identity, rows]))
    assert TarFile(str(place)).members()[0].name == "known from the index.JPEG"
    note.write_text("{")
    assert TarFile(str(place)).members() == found
    as_tar(pictures[:3], tmp_path / "data")
    assert len(TarFile(str(place)).members()) == 3


def test_tars_in_a_tar_are_class_folders(pictures: Pictures, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "train.tar", "w") as outer:
        for wnid, part in (("n01440764", pictures[:5]), ("n01443537", pictures[5:])):
            inner = as_tar(part, tmp_path / wnid).read_bytes()
            entry = tarfile.TarInfo(f"{wnid}.tar")
            entry.size = len(inner)
            outer.addfile(entry, io.BytesIO(inner))
    dataset = TarDataset(str(tmp_path / "train.tar"))
    assert dataset[0].key == "n01440764/image 00.JPEG"
    assert [dataset.read(i) for i in range(12)] == [data for _, data, _ in pictures]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_cut_archive_is_no_archive(pictures: Pictures, tmp_path: Path, share: float) -> None:
    place = as_tar(pictures, tmp_path / "data")
    content = place.read_bytes()
    place.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=r"cut off|no end behind"):
        TarDataset(str(place))


def test_an_archive_cut_between_members(pictures: Pictures, tmp_path: Path) -> None:
    place = as_tar(pictures, tmp_path / "data")
    last = TarFile(str(place)).members()[-1]
    end = last.offset_bytes + -(-last.size_bytes // 512) * 512
    place.write_bytes(place.read_bytes()[:end])
    with pytest.raises(DataError, match="no end behind its 12 members: it was cut off"):
        TarDataset(str(place))


def test_an_archive_that_shrinks_later(pictures: Pictures, tmp_path: Path) -> None:
    place = as_tar(pictures, tmp_path / "data")
    dataset = TarDataset(str(place))
    place.write_bytes(place.read_bytes()[:2000])
    with pytest.raises(ImageError, match="the archive ends inside it"):
        dataset.read(3)


def test_what_is_no_tar(pictures: Pictures, tmp_path: Path) -> None:
    place = as_tar(pictures, tmp_path / "data")
    (tmp_path / "a.tar").write_bytes(gzip.compress(place.read_bytes()))
    with pytest.raises(DataError, match="a tar compressed with gzip cannot be read in place"):
        TarDataset(str(tmp_path / "a.tar"))
    (tmp_path / "b.tar").write_bytes(b"")
    with pytest.raises(DataError, match="an empty file"):
        TarDataset(str(tmp_path / "b.tar"))
    (tmp_path / "c.tar").write_bytes(b"no tar" * 500)
    with pytest.raises(DataError, match="not a tar archive"):
        TarDataset(str(tmp_path / "c.tar"))
    (tmp_path / "d.tar").write_bytes(bytes(10240))
    with pytest.raises(DataError, match="the archive holds nothing"):
        TarDataset(str(tmp_path / "d.tar"))
