"""The command data inspect, on real containers."""

import json

import pytest

from caffezoo.cli.main import main
from tests.data.conftest import FORMS, as_folder, as_tar, draw_pictures


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CAFFEZOO_CACHE", str(tmp_path_factory.mktemp("cache")))


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        main(["data", "inspect", *(str(a) for a in arguments)])
    out, err = capsys.readouterr()
    return caught.value.code or 0, out, err


@pytest.mark.parametrize("form", ["lmdb", "parquet", "webdataset", "pickle"])
def test_what_labels_itself(capsys, tmp_path, form):
    pictures = [(name, data, label + 1) for name, data, label in draw_pictures()]
    place = FORMS[form](pictures, tmp_path / "data")
    status, out, err = run(capsys, place, "--json")
    found = json.loads(out)
    assert (status, found["images"], found["classes"], found["lowest"], found["highest"]) == (0, 12, 12, 1, 12)
    assert (found["order"], found["sizes"]) == ("", [[40, 30], [46, 42], [51, 52]])
    assert "no image has label 0: if the labels count from 1, give --labels-from 1" in err
    assert found["command"] == f"caffezoo evaluate --net NET --data {place}"


def test_what_names_tell_and_what_cannot_be_read(capsys, tmp_path):
    names = [f"ILSVRC2012_val_{i + 1:08}.JPEG" for i in range(12)]
    pictures = [(name, data, 0) for name, (_, data, _) in zip(names, draw_pictures(), strict=True)]
    pictures[3] = (names[3], pictures[3][1][:200], 0)
    status, out, err = run(capsys, as_tar(pictures, tmp_path / "val"))
    assert status == 1
    assert "a tar, read in place, 12 images" in out
    assert "order       2012: the published labels" in out
    assert "unreadable  1 of the 12 images looked at" in out
    assert f"{names[3]}: a JPEG that is truncated or damaged (200 bytes)" in err
    status, out, _ = run(capsys, tmp_path / "val.tar", "--look-at", "2")
    assert (status, "unreadable  0 of the 2 images" in out) == (0, True)


def test_images_without_labels_and_no_data(capsys, tmp_path):
    folder = as_folder(draw_pictures(), tmp_path / "images")
    status, out, err = run(capsys, folder)
    assert (status, "labels      none" in out) == (0, True)
    assert f"run         caffezoo evaluate --net NET --data {folder} --val-file LIST" in out
    assert "give --val-file with lines of 'path label'" in err
    for damage in (b"", b"\0" * 700):
        (tmp_path / "half.tar").write_bytes(damage)
        status, out, err = run(capsys, tmp_path / "half.tar")
        assert (status, out, err.count("\n")) == (1, "", 1)
