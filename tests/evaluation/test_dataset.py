"""Which images are meant, and how their labels are numbered."""

from pathlib import Path

import pytest

from caffezoo.errors import DataError, UsageError
from caffezoo.evaluation.dataset import open_dataset
from caffezoo.zoo.synsets import label_permutation, synsets


@pytest.fixture
def folder(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for i in range(4):
        (images / f"{i}.jpg").touch()
    (tmp_path / "val.txt").write_text("".join(f"x/{i}.jpg {i * 100}\n" for i in range(4)))
    return images


def test_a_folder_with_a_list(folder):
    listed = folder.parent / "val.txt"
    dataset = open_dataset(folder, val_file=listed, limit=3)
    assert [(Path(i.path).name, i.label) for i in dataset.images] == [("0.jpg", 0), ("1.jpg", 100), ("2.jpg", 200)]
    assert (dataset.name, dataset.label_list) == (str(folder), str(listed))
    assert len(dataset.label_list_sha256) == len(dataset.images_sha256) == 64


def test_a_list_beside_its_images(folder):
    listed = folder / "list.txt"
    listed.write_text("1.jpg 7\n")
    (image,) = open_dataset(listed).images
    assert (image.path, image.label) == (str(folder / "1.jpg"), 7)


def test_a_list_in_the_other_order_is_renumbered(folder):
    listed = folder.parent / "val.txt"
    there = label_permutation("2012", "2015")
    images = open_dataset(folder, val_file=listed, network_order="2015", list_order="2012").images
    assert [i.label for i in images] == [there[i * 100] for i in range(4)]
    images = open_dataset(folder, val_file=listed, network_order="2015").images
    assert [i.label for i in images] == [0, 100, 200, 300]  # taken as the network's own


def test_class_folders_label_themselves(tmp_path):
    for name in ("n01443537/b.JPEG", "n01443537/a.png", "n01440764/c.jpg", "n01440764/notes.txt", "other/d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    dataset = open_dataset(tmp_path)
    assert [(Path(i.path).name, i.label) for i in dataset.images] == [("c.jpg", 0), ("a.png", 1), ("b.JPEG", 1)]
    labels = [i.label for i in open_dataset(tmp_path, network_order="2015").images]
    assert [synsets("2015")[label].wnid for label in labels] == ["n01440764", "n01443537", "n01443537"]


@pytest.mark.parametrize("subfolder", ["", "val", "Data/CLS-LOC/val"])
def test_the_validation_set_is_known(tmp_path, monkeypatch, subfolder):
    inside = tmp_path / subfolder
    inside.mkdir(parents=True, exist_ok=True)
    for i in (1, 3):
        (inside / f"ILSVRC2012_val_0000000{i}.JPEG").touch()
    monkeypatch.setenv("CAFFEZOO_DATA", str(tmp_path))
    dataset = open_dataset(limit=3)
    assert [i.label for i in dataset.images] == [65, 970, 230]
    assert dataset.images[2].path == str(inside / "ILSVRC2012_val_00000003.JPEG")
    # The published list of 2015 begins with 489, 360, 170.
    assert [i.label for i in open_dataset(limit=3, network_order="2015").images] == [489, 360, 170]


def test_the_sample_is_in_2012_order():
    sample = lambda: [(Path("a.jpg"), 0), (Path("b.jpg"), 1)]  # noqa: E731
    assert [i.label for i in open_dataset("sample", sample=sample).images] == [0, 1]
    assert [i.label for i in open_dataset("sample", sample=sample, limit=1).images] == [0]
    there = label_permutation("2012", "2015")
    assert [i.label for i in open_dataset("sample", sample=sample, network_order="2015").images] == list(there[:2])
    with pytest.raises(
        UsageError, match="--data sample: its labels are ImageNet's, and this network has other classes"
    ):
        open_dataset("sample", sample=sample, network_order="other")


def test_without_data_the_line_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.delenv("CAFFEZOO_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UsageError) as caught:
        open_dataset()
    assert "`--data sample` works now" in str(caught.value)
    assert "ILSVRC2012_img_val.tar" in str(caught.value)
    (tmp_path / "Database/ILSVRC2012").mkdir(parents=True)
    with pytest.raises(DataError, match="no labels: neither"):
        open_dataset()


def test_contradictions_and_missing_data(folder, tmp_path):
    listed = tmp_path / "val.txt"
    with pytest.raises(DataError, match="nowhere: no such folder or list of images; `--data sample` works"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no labels: .*give --val-file"):
        open_dataset(folder)
    with pytest.raises(UsageError, match="is a list with labels"):
        open_dataset(listed, val_file=listed)
    with pytest.raises(UsageError, match="sample has its own labels"):
        open_dataset("sample", val_file=listed)
    with pytest.raises(UsageError, match="limit 0 is below 1"):
        open_dataset(folder, val_file=listed, limit=0)
    with pytest.raises(UsageError, match="--label-order is the order of a list"):
        open_dataset(folder, list_order="2015")
    with pytest.raises(UsageError, match="unknown label order '2013'"):
        open_dataset(folder, val_file=listed, list_order="2013")
    listed.write_text("0.jpg 1000\n")
    with pytest.raises(DataError, match=r"val.txt:1: label 1000 is out of range: ImageNet has 1000 classes"):
        open_dataset(folder, val_file=listed, list_order="2015")
    (folder / "n01440764").mkdir()
    with pytest.raises(DataError, match="its 1 class folders hold no images"):
        open_dataset(folder)
