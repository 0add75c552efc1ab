"""Every kind of data set is recognised, and gives the same bytes in the same order, also pickled and from threads."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from caffezoo.data.base import Dataset
from caffezoo.data.opening import DataOptions, holds_images, open_images
from caffezoo.errors import DataError, UsageError
from tests.data.conftest import FORMS, LABELLED, Pictures


@pytest.mark.parametrize("form", list(FORMS))
def test_the_same_pictures_in_every_form(pictures: Pictures, tmp_path: Path, form: str) -> None:
    place = FORMS[form](pictures, tmp_path / "data")
    assert holds_images(str(place))
    dataset = open_images(str(place))
    assert (dataset.kind, len(dataset)) == (form, 12)
    assert [sample.label for sample in dataset] == ([n for *_, n in pictures] if form in LABELLED else [None] * 12)
    assert bool(dataset.labels_from) == (form in LABELLED)
    again: Dataset = pickle.loads(pickle.dumps(dataset))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(again.read, [*range(12)] * 5))
    assert found == [data for _, data, _ in pictures] * 5
    assert again.fingerprint() == dataset.fingerprint() == open_images(str(place)).fingerprint()
    with pytest.raises(IndexError):
        dataset[12]


@pytest.mark.parametrize("form", ["folder", "tar", "zip"])
def test_class_folders_in_every_container(pictures: Pictures, tmp_path: Path, form: str) -> None:
    wnids = ["n01443537", "n01440764", "n02119789"]
    placed = [(f"val/{wnids[i % 3]}/{name}", data, n) for i, (name, data, n) in enumerate(pictures)]
    if form == "folder":
        for name, data, _ in placed:
            (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "data" / name).write_bytes(data)
        place = tmp_path / "data"
    else:
        place = FORMS[form](placed, tmp_path / "data")
    dataset = open_images(str(place))
    assert {(Path(sample.key).parent.name, sample.label) for sample in dataset} == {
        ("n01440764", 0),
        ("n01443537", 1),
        ("n02119789", 278),
    }
    assert dataset.labels_from == "3 class folders, by wnid"


def test_what_is_no_data_is_said(pictures: Pictures, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="it holds no images"):
        open_images(str(tmp_path / "empty"))
    with pytest.raises(DataError, match="no such folder or file"):
        open_images(str(tmp_path / "nowhere"))
    (tmp_path / "list.txt").write_text("a.jpg 0\n")
    assert not holds_images(str(tmp_path / "list.txt"))
    with pytest.raises(DataError, match="not a tar archive"):
        open_images(str(tmp_path / "list.txt"))
    place = str(FORMS["zip"](pictures, tmp_path / "data"))
    with pytest.raises(UsageError, match="--image-column is for Parquet files"):
        open_images(place, DataOptions(image_column="jpg"))
    with pytest.raises(UsageError, match="--data-channel-order is for pickles"):
        open_images(place, DataOptions(channel_order="BGR"))
