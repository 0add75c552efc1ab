"""Images into databases and their mean: records as Caffe's tools write them."""

from __future__ import annotations

import os
import subprocess

import cv2
import numpy as np
import pytest

from caffezoo.data.lmdb_database import LmdbDataset
from caffezoo.errors import DataError, ImageError
from caffezoo.formats.binaryproto import read_binaryproto, write_binaryproto
from caffezoo.training.imageset import Conversion, class_folders, compute_mean, convert_imageset, read_list
from tests.oracle import oracle_python, requires_caffe

pytest.importorskip("lmdb")


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for label, name in enumerate(("cats", "dogs")):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(3):
            image = rng.integers(0, 256, (6 + label, 8, 3), np.uint8)
            cv2.imwrite(str(tmp_path / "images" / name / f"{i}.png"), image)
    return tmp_path / "images"


def records(database):
    data = LmdbDataset(str(database))
    return [(sample.key, data.datum(i)) for i, sample in enumerate(data)]


def test_class_folders_are_counted_by_name(folder):
    images, names = class_folders(str(folder))
    assert names == ["cats", "dogs"]
    assert images[0] == ("cats/0.png", 0)
    assert images[-1] == ("dogs/2.png", 1)


def test_raw_records_hold_blue_green_red_planes(folder, tmp_path):
    done = convert_imageset(str(folder), class_folders(str(folder))[0], str(tmp_path / "db"))
    assert (done.records, done.skipped) == (6, [])
    found = records(tmp_path / "db")
    assert [key for key, _ in found][:2] == ["00000000_cats/0.png", "00000001_cats/1.png"]
    assert [datum.label for _, datum in found] == [0, 0, 0, 1, 1, 1]
    image = cv2.imread(str(folder / "dogs" / "1.png"))
    datum = found[4][1]
    assert (datum.channels, datum.height, datum.width, datum.encoded) == (3, 7, 8, False)
    np.testing.assert_array_equal(np.frombuffer(datum.data, np.uint8).reshape(3, 7, 8), image.transpose(2, 0, 1))


def test_encoded_records_hold_the_files_bytes_unless_they_change(folder, tmp_path):
    images = class_folders(str(folder))[0]
    convert_imageset(str(folder), images, str(tmp_path / "same"), Conversion(encoded=True))
    assert records(tmp_path / "same")[0][1].data == (folder / "cats" / "0.png").read_bytes()
    how = Conversion(encoded=True, encode_type="png", resize=(5, 4), gray=True)
    convert_imageset(str(folder), images, str(tmp_path / "other"), how)
    image = cv2.imdecode(np.frombuffer(records(tmp_path / "other")[0][1].data, np.uint8), -1)
    wanted = cv2.resize(cv2.imread(str(folder / "cats" / "0.png"), 0), (4, 5))
    np.testing.assert_array_equal(image, wanted)


def test_shuffling_keeps_every_image_once(folder, tmp_path):
    images = class_folders(str(folder))[0]
    for seed in (1, 2):
        convert_imageset(str(folder), images, str(tmp_path / f"db{seed}"), Conversion(shuffle=True, seed=seed))
    one, two = ([key.partition("_")[2] for key, _ in records(tmp_path / f"db{seed}")] for seed in (1, 2))
    assert sorted(one) == sorted(two) == sorted(name for name, _ in images)
    assert one != two


def test_a_database_grows_beyond_its_first_size(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("caffezoo.training.imageset.FIRST_MAP_BYTES", 1 << 15)
    images = class_folders(str(folder))[0] * 300
    assert convert_imageset(str(folder), images, str(tmp_path / "db")).records == 1800
    assert len(LmdbDataset(str(tmp_path / "db"))) == 1800


def test_damaged_images_are_left_out_and_told(folder, tmp_path):
    (folder / "cats" / "1.png").write_bytes(b"no image")
    images = class_folders(str(folder))[0]
    done = convert_imageset(str(folder), images, str(tmp_path / "db"))
    assert done.records == 5
    assert len(done.skipped) == 1
    assert "cats/1.png" in done.skipped[0]
    with pytest.raises(ImageError, match=r"1\.png"):
        convert_imageset(str(folder), images, str(tmp_path / "strict"), Conversion(strict=True))
    assert not os.path.exists(tmp_path / "strict")
    assert not list(tmp_path.glob("*.part"))


def test_what_cannot_be_converted(folder, tmp_path):
    images = class_folders(str(folder))[0]
    with pytest.raises(DataError, match="first 8x6 px"):
        convert_imageset(str(folder), images, str(tmp_path / "db"), Conversion(check_size=True))
    with pytest.raises(DataError, match="exists already"):
        convert_imageset(str(folder), images, str(folder))
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="class 'empty' holds no image"):
        class_folders(str(folder))
    with pytest.raises(DataError, match="no class folders"):
        class_folders(str(folder / "cats"))
    (tmp_path / "list.txt").write_text("a b.png 3\nc.png x\n")
    with pytest.raises(DataError, match=r"list\.txt:2"):
        read_list(str(tmp_path / "list.txt"))
    (tmp_path / "list.txt").write_text("a b.png 3\n\n")
    assert read_list(str(tmp_path / "list.txt")) == [("a b.png", 3)]


def test_the_mean_image(folder, tmp_path):
    images = [image for image in class_folders(str(folder))[0] if image[1] == 0]
    convert_imageset(str(folder), images, str(tmp_path / "db"), Conversion(encoded=True))
    mean = compute_mean(str(tmp_path / "db"), str(tmp_path / "mean.binaryproto"))
    wanted = np.mean([cv2.imread(str(folder / name)).transpose(2, 0, 1) for name, _ in images], 0)
    np.testing.assert_allclose(mean, wanted)
    np.testing.assert_allclose(read_binaryproto(tmp_path / "mean.binaryproto")[0], wanted, rtol=1e-6)
    convert_imageset(str(folder), class_folders(str(folder))[0], str(tmp_path / "mixed"))
    with pytest.raises(DataError, match="record 3 has shape"):
        compute_mean(str(tmp_path / "mixed"))


@requires_caffe
def test_real_caffes_datums_and_means_are_read_here_and_ours_there(folder, tmp_path):
    import lmdb

    script = """
import sys, numpy, caffe
array = numpy.arange(24, dtype=numpy.uint8).reshape(2, 3, 4)
open(sys.argv[1] + '/datum', 'wb').write(caffe.io.array_to_datum(array, 5).SerializeToString())
open(sys.argv[1] + '/mean', 'wb').write(caffe.io.array_to_blobproto(array[None] / 2.0).SerializeToString())
blob = caffe.proto.caffe_pb2.BlobProto.FromString(open(sys.argv[1] + '/ours', 'rb').read())
numpy.save(sys.argv[1] + '/ours.npy', caffe.io.blobproto_to_array(blob))
"""
    write_binaryproto(tmp_path / "ours", np.arange(24.0).reshape(2, 3, 4))
    subprocess.run([str(oracle_python()), "-c", script, str(tmp_path)], check=True, capture_output=True)
    with lmdb.open(str(tmp_path / "db")) as environment, environment.begin(write=True) as write:
        write.put(b"0", (tmp_path / "datum").read_bytes())
    datum = LmdbDataset(str(tmp_path / "db")).datum(0)
    assert datum.label == 5
    np.testing.assert_array_equal(datum.pixels(), np.arange(24).reshape(2, 3, 4).transpose(1, 2, 0))
    np.testing.assert_allclose(read_binaryproto(tmp_path / "mean")[0], np.arange(24).reshape(2, 3, 4) / 2)
    np.testing.assert_array_equal(np.load(tmp_path / "ours.npy")[0], np.arange(24).reshape(2, 3, 4))
