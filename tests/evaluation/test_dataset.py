"""Which images are meant, and how their labels are numbered."""

from pathlib import Path

import numpy as np
import pytest

from caffezoo.data.opening import open_images
from caffezoo.errors import DataError, ImageError, UsageError
from caffezoo.evaluation.dataset import open_dataset
from caffezoo.evaluation.image_objects import as_image
from caffezoo.evaluation.images import decode_image
from caffezoo.evaluation.matching import match_labels
from caffezoo.zoo.synsets import label_permutation, synsets
from tests.data.conftest import FORMS, LABELLED, draw_pictures


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CAFFEZOO_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def encoded():
    """(file name, JPEG, label) of twelve pictures, by name."""
    return draw_pictures()


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
    assert [i.label for i in dataset.images] == [65, 230]
    assert dataset.images[1].path == str(inside / "ILSVRC2012_val_00000003.JPEG")
    assert dataset.notes[0] == "2 of the 50000 validation images are there"
    # The published list of 2015 begins with 489, 360, 170.
    assert [i.label for i in match_labels(dataset, "2015", 1000).images] == [489, 170]


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
    with pytest.raises(DataError, match="it holds no images; give the folder of the images"):
        open_dataset()


def test_contradictions_and_missing_data(folder, tmp_path):
    listed = tmp_path / "val.txt"
    with pytest.raises(DataError, match="nowhere: no such folder or list of images; `--data sample` works"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no labels: .*nothing says what 0.jpg is; give --val-file"):
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


def test_lists_of_other_makes(folder):
    listed = folder.parent / "val.txt"
    listed.write_text("path,label\n0.jpg,3\n1.jpg,4\n")
    assert [i.label for i in open_dataset(folder, val_file=listed).images] == [3, 4]
    listed.write_text("ImageId,PredictionString\n0,n01751748 85 1 4 2 \n1,n01440764 1 1 4 2 \n")
    dataset = open_dataset(folder, val_file=listed)
    assert [(Path(i.path).name, i.label) for i in dataset.images] == [("0.jpg", 65), ("1.jpg", 0)]
    assert (dataset.order, dataset.order_said_by) == ("2012", "WordNet ids in the list")
    listed.write_text("490\n361\n")
    with pytest.raises(DataError, match="a list of numbers alone is for the ILSVRC2012 validation images"):
        open_dataset(folder, val_file=listed)
    for name, number in (("0.jpg", 1), ("1.jpg", 3)):
        (folder / name).rename(folder / f"ILSVRC2012_val_0000000{number}.JPEG")
    listed.write_text("490\n361\n171\n")
    assert [i.label for i in open_dataset(folder, val_file=listed).images] == [65, 230]


CONTAINERS = [form for form in FORMS if form != "folder"]


@pytest.mark.parametrize("form", CONTAINERS)
def test_containers_are_read_in_place_with_a_list(encoded, tmp_path, form):
    place = FORMS[form](encoded, tmp_path / "data")
    names = [open_images(str(place))[i].key for i in range(12)]
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{name}\t{9 - i}\r\n" for i, name in enumerate(names[:8])) + "gone.jpg 3\n")
    dataset = open_dataset(place, val_file=listed)
    assert [image.label for image in dataset.images] == [9, 8, 7, 6, 5, 4, 3, 2, 3]
    *items, missing = dataset.items(range(9))
    wanted = [decode_image(data) for _, data, _ in encoded[:8]]
    if form == "pickle":  # whose channels are exchanged
        wanted = [image[:, :, ::-1] for image in wanted]
    for item, image in zip(items, wanted, strict=True):
        np.testing.assert_array_equal(as_image(item), image)
    with pytest.raises(ImageError, match=r"gone.jpg: no such image"):
        as_image(missing)


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_names_tell_the_labels_of_archives(encoded, tmp_path, form):
    validation = [(f"val/ILSVRC2012_val_{n + 1:08}.JPEG", data, n) for n, (_, data, _) in enumerate(encoded)]
    dataset = open_dataset(FORMS[form](validation, tmp_path / "val"))
    assert [i.label for i in dataset.images][:3] == [65, 970, 230]
    assert (dataset.order, dataset.order_said_by, dataset.listed) == ("2012", "the published labels", False)
    wnids = [("n01440764_tench.JPEG", data, n) for _, data, n in encoded[:1]]
    dataset = open_dataset(FORMS[form](wnids, tmp_path / "names"))
    assert [i.label for i in dataset.images] == [0]
    with pytest.raises(DataError, match=r"no labels: .* nothing says what image 00\.JPEG is"):
        open_dataset(FORMS[form](encoded, tmp_path / "none"))


@pytest.mark.parametrize("form", LABELLED)
def test_databases_and_shards_label_themselves(encoded, tmp_path, form):
    place = FORMS[form]([(name, data, n + 1) for name, data, n in encoded], tmp_path / "data")
    assert [i.label for i in open_dataset(place).images] == [n + 1 for *_, n in encoded]
    dataset = open_dataset(place, labels_from=1, limit=5)
    assert ([i.label for i in dataset.images], dataset.listed) == ([n for *_, n in encoded][:5], True)


def test_imagenet_v2_numbers_its_folders(encoded, tmp_path):
    data = tmp_path / "imagenetv2-top-images"
    for name, picture, n in encoded:
        (data / str(n)).mkdir(parents=True)
        (data / str(n) / name).write_bytes(picture)
    dataset = open_dataset(data)
    assert sorted(i.label for i in dataset.images) == list(range(12))
    assert all(Path(i.path).parent.name == str(i.label) for i in dataset.images)
    assert (dataset.order, dataset.order_said_by) == ("2012", "ImageNet-V2's own")


def test_names_without_their_ending_are_found(folder):
    listed = folder.parent / "val.txt"
    listed.write_text("0 3\n1 4\n")
    dataset = open_dataset(folder, val_file=listed, labels_from=1)
    assert [(Path(i.path).name, i.label) for i in dataset.images] == [("0.jpg", 2), ("1.jpg", 3)]
    listed.write_text("0 0\n")
    with pytest.raises(DataError, match=r"val.txt:1: label 0 is below 1, the first by --labels-from"):
        open_dataset(folder, val_file=listed, labels_from=1)
