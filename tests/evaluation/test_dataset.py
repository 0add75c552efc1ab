"""Which images are meant, and how their labels are numbered."""

from pathlib import Path

import pytest

from caffezoo.errors import DataError, UsageError
from caffezoo.evaluation.dataset import open_dataset
from caffezoo.evaluation.matching import match_labels
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


def test_class_folders_label_themselves(tmp_path):
    for name in ("n01443537/b.JPEG", "n01443537/a.png", "n01440764/c.jpg", "n01440764/notes.txt", "other/d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    dataset = open_dataset(tmp_path)
    assert [(Path(i.path).name, i.label) for i in dataset.images] == [("c.jpg", 0), ("a.png", 1), ("b.JPEG", 1)]
    labels = [i.label for i in match_labels(open_dataset(tmp_path), "2015", 1000).images]
    assert [synsets("2015")[label].wnid for label in labels] == ["n01440764", "n01443537", "n01443537"]


@pytest.mark.parametrize("subfolder", ["val", "ILSVRC/Data/CLS-LOC/val"])
def test_class_folders_are_found_where_archives_have_them(tmp_path, subfolder):
    (tmp_path / subfolder / "n01443537").mkdir(parents=True)
    (tmp_path / subfolder / "n01443537" / "b.JPEG").touch()
    (image,) = open_dataset(tmp_path).images
    assert (image.path, image.label) == (str(tmp_path / subfolder / "n01443537" / "b.JPEG"), 1)


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
    assert [i.label for i in match_labels(dataset, "2015", 1000).images] == [489, 360, 170]


def test_the_sample_is_in_2012_order():
    sample = lambda: [(Path("a.jpg"), 0), (Path("b.jpg"), 1)]  # noqa: E731
    assert [i.label for i in open_dataset("sample", sample=sample).images] == [0, 1]
    assert [i.label for i in open_dataset("sample", sample=sample, limit=1).images] == [0]
    there = label_permutation("2012", "2015")
    dataset = open_dataset("sample", sample=sample)
    assert [i.label for i in match_labels(dataset, "2015", 1000).images] == list(there[:2])
    with pytest.raises(
        UsageError, match="--data sample: its labels are ImageNet's, and this network has other classes"
    ):
        match_labels(dataset, "other", 2)


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
    with pytest.raises(UsageError, match="--labels-from is the first label of a list"):
        open_dataset(folder, labels_from=1)
    listed.write_text("0.jpg 1000\n")
    with pytest.raises(DataError, match=r"val.txt:1: label 1000 is out of range: ImageNet has 1000 classes"):
        match_labels(open_dataset(folder, val_file=listed, list_order="2015"), "2012", 1000)
    (folder / "n01440764").mkdir()
    with pytest.raises(DataError, match="its 1 class folders hold no images"):
        open_dataset(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("490\n361\n", "'490' is not a 'path label' line; mere labels, as ILSVRC2012_validation_ground_truth.txt"),
        (
            "ImageId,PredictionString\nILSVRC2012_val_00000001,n01751748 85 1 4 2 \n",
            "Kaggle's LOC_val_solution.csv",
        ),
        ("ILSVRC2012_val_00000001,n01751748 85 1 499 x272\n", "Kaggle's LOC_val_solution.csv"),
        ("a.jpg,3\n", "a table of commas: write lines of 'path label'"),
    ],
)
def test_lists_of_other_makes_are_told_what_to_do(folder, tmp_path, text, message):
    (tmp_path / "val.txt").write_text(text)
    with pytest.raises(DataError) as caught:
        open_dataset(folder, val_file=tmp_path / "val.txt")
    assert message in str(caught.value)


@pytest.mark.parametrize(("head", "kind"), [(b"\x1f\x8b\x08", "gzip"), (b"PK\x03\x04\xff", "zip")])
def test_an_archive_as_data_is_told_to_be_unpacked(tmp_path, head, kind):
    (tmp_path / "val.bin").write_bytes(head + b"\xff" * 600)
    with pytest.raises(DataError, match=f"it is a {kind} archive: unpack it and give the folder"):
        open_dataset(tmp_path / "val.bin")
    (tmp_path / "val.tar").write_bytes(b"a.jpg".ljust(257, b"\0") + b"ustar\0" + b"\xff" * 600)
    with pytest.raises(DataError, match="it is a tar archive: unpack it"):
        open_dataset(tmp_path / "val.tar")


def test_names_without_their_ending_are_found(folder):
    listed = folder.parent / "val.txt"
    listed.write_text("0 3\n1 4\n")
    dataset = open_dataset(folder, val_file=listed, labels_from=1)
    assert [(Path(i.path).name, i.label) for i in dataset.images] == [("0.jpg", 2), ("1.jpg", 3)]
    listed.write_text("0 0\n")
    with pytest.raises(DataError, match=r"val.txt:1: label 0 is below 1, which --labels-from says is the first"):
        open_dataset(folder, val_file=listed, labels_from=1)
