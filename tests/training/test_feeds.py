"""Data layers: what each batch holds, and that it depends on nothing but its number."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from caffezoo.errors import DataError, TrainingError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.binaryproto import write_binaryproto
from caffezoo.training.feeds.base import FeedOptions, Prefetcher, make_feed
from caffezoo.training.feeds.transform import Transform
from tests.oracle import layer_proto

IMAGE = np.arange(6 * 7 * 3, dtype=np.uint8).reshape(6, 7, 3)
MIDDLE, LOW, HIGH = np.array([0.5, 0.5, 0.9]), np.zeros(3), np.array([0.999, 0.999, 0.9])


def feed(text: str, phase: int = pb.TRAIN, **options):
    return make_feed(layer_proto(f'name: "d" top: "data" top: "label" {text}'), phase, "n:1", FeedOptions(**options))


@pytest.fixture
def images(tmp_path):
    for i in range(5):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((4, 6, 3), 10 * i, np.uint8))
    (tmp_path / "list.txt").write_text("".join(f"{i}.png {i}\n" for i in range(5)))
    return f'type: "ImageData" image_data_param {{ root_folder: "{tmp_path}/" source: "{tmp_path}/list.txt" %s }}'


def transform(text: str, phase: int = pb.TRAIN) -> Transform:
    return Transform(layer_proto(f"transform_param {{ {text} }}").transform_param, phase, "n:1")


def test_mean_comes_before_scale_and_crops_lie_in_the_middle_at_test():
    found = transform("crop_size: 4 mean_value: 1 mean_value: 2 mean_value: 3 scale: 0.5", pb.TEST)(IMAGE, HIGH)
    wanted = (IMAGE[1:5, 1:5].astype(np.float32) - [1, 2, 3]) * 0.5
    np.testing.assert_array_equal(found, wanted.transpose(2, 0, 1))


def test_crops_reach_every_place_at_train():
    cut = transform("crop_size: 4")
    np.testing.assert_array_equal(cut(IMAGE, LOW), IMAGE[:4, :4].transpose(2, 0, 1))
    np.testing.assert_array_equal(cut(IMAGE, HIGH), IMAGE[2:, 3:].transpose(2, 0, 1))


def test_mirroring_happens_at_either_phase():
    for phase in (pb.TRAIN, pb.TEST):
        turn = transform("mirror: true", phase)
        np.testing.assert_array_equal(turn(IMAGE, LOW), IMAGE[:, ::-1].transpose(2, 0, 1))
        np.testing.assert_array_equal(turn(IMAGE, MIDDLE), IMAGE.transpose(2, 0, 1))


def test_a_mean_image_is_subtracted_where_the_pixel_was(tmp_path):
    mean = np.random.default_rng(0).normal(size=(3, 6, 7)).astype(np.float32)
    write_binaryproto(tmp_path / "m", mean)
    found = transform(f'mean_file: "{tmp_path}/m" crop_size: 3')(IMAGE, HIGH)
    np.testing.assert_allclose(found, IMAGE[3:, 4:].transpose(2, 0, 1) - mean[:, 3:, 4:], rtol=1e-6)
    with pytest.raises(DataError, match="mean_file holds 3 x 6 x 7"):
        transform(f'mean_file: "{tmp_path}/m"')(IMAGE[:4], LOW)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("mean_file: 'a' mean_value: 1", TrainingError),
        ("force_color: true force_gray: true", TrainingError),
        ("resize_param { height: 3 }", TrainingError),
    ],
)
def test_transformations_that_cannot_be(text, error):
    with pytest.raises(error):
        transform(text)


def test_an_image_below_the_crop_is_refused():
    with pytest.raises(DataError, match="smaller than crop_size 9"):
        transform("crop_size: 9")(IMAGE, LOW)


def test_a_list_goes_round_and_a_shuffle_takes_all_of_every_pass(images):
    plain = feed(images % "batch_size: 3")
    assert [list(plain.read(n)[1]) for n in range(3)] == [[0, 1, 2], [3, 4, 0], [1, 2, 3]]
    assert plain.read(1)[0][1].max() == 40
    mixed = feed(images % "batch_size: 5 shuffle: true", seed=3)
    passes = [list(mixed.read(n)[1]) for n in range(4)]
    assert all(sorted(labels) == [0, 1, 2, 3, 4] for labels in passes)
    assert len(set(map(tuple, passes))) > 1
    again = feed(images % "batch_size: 5 shuffle: true", seed=3, threads=1)
    assert [list(again.read(n)[1]) for n in (3, 2, 1, 0)] == passes[::-1]


def test_new_sizes_and_grey(images):
    found = feed(images % "batch_size: 2 new_height: 8 new_width: 3 is_color: false")
    assert found.shapes == ((2, 1, 8, 3), (2,))


def test_damaged_images_are_left_out_counted_and_stop_a_strict_training(images, tmp_path):
    (tmp_path / "1.png").write_bytes(b"nothing")
    found = feed(images % "batch_size: 5")
    assert list(found.read(0)[1]) == [0, 2, 2, 3, 4]
    assert len(found.options.skipped) == 1
    assert "1.png" in found.options.skipped[0]
    with pytest.raises(DataError, match=r"1\.png"):
        feed(images % "batch_size: 5", strict=True).read(0)


def test_images_of_two_sizes_need_a_crop(images, tmp_path):
    cv2.imwrite(str(tmp_path / "2.png"), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(DataError, match="among images of"):
        feed(images % "batch_size: 5").read(0)


def test_reading_ahead_gives_the_same_batches_and_seeks(images):
    source = feed(images % "batch_size: 2 shuffle: true")
    ahead = Prefetcher(source)
    found = [ahead.next() for _ in range(6)]
    ahead.seek(2)
    for number in (2, 3, 4):
        for a, b in zip(ahead.next(), found[number], strict=True):
            np.testing.assert_array_equal(a, b)
    assert ahead.position == 5
    ahead.close()


def test_hdf5_rows_cross_files_and_a_shuffle_takes_each_once(tmp_path):
    h5py = pytest.importorskip("h5py")
    for part, rows in enumerate(([0, 1, 2], [3, 4, 5, 6])):
        with h5py.File(tmp_path / f"{part}.h5", "w") as file:
            file["data"], file["label"] = np.array(rows, np.float32)[:, None], np.array(rows, np.float32)
    (tmp_path / "list").write_text(f"{tmp_path}/0.h5\n{tmp_path}/1.h5\n")
    text = f'type: "HDF5Data" hdf5_data_param {{ source: "{tmp_path}/list" batch_size: 7 %s }}'
    plain, mixed = feed(text % ""), feed(text % "shuffle: true")
    assert plain.shapes == ((7, 1), (7,))
    assert list(plain.read(1)[1]) == [0, 1, 2, 3, 4, 5, 6]
    orders = [list(mixed.read(n)[1]) for n in range(3)]
    assert all(sorted(order) == [0, 1, 2, 3, 4, 5, 6] for order in orders)
    assert len(set(map(tuple, orders))) == 3
    with h5py.File(tmp_path / "1.h5", "a") as file:
        del file["label"]
    with pytest.raises(DataError, match=r"1\.h5"):
        feed(text % "")


def test_memory_data_are_handed_over():
    text = 'type: "MemoryData" memory_data_param { batch_size: 2 channels: 1 height: 1 width: 1 }'
    found = feed(text)
    with pytest.raises(DataError, match="has no data"):
        found.read(0)
    found.set_arrays(np.arange(4).reshape(4, 1, 1, 1), range(4))
    assert [list(found.read(n)[1]) for n in range(3)] == [[0, 1], [2, 3], [0, 1]]
    for shape, labels, message in (
        ((3, 1, 1, 1), 3, "multiple"),
        ((4, 2, 1, 1), 4, "shape"),
        ((4, 1, 1, 1), 3, "3 lab"),
    ):
        with pytest.raises(DataError, match=message):
            found.set_arrays(np.zeros(shape), np.zeros(labels))


def test_dummies_are_drawn_anew_unless_constant():
    found = feed(
        'type: "DummyData" dummy_data_param { shape { dim: 50 } '
        'data_filler { type: "gaussian" } data_filler { value: 3 } }'
    )
    first, second = found.read(0), found.read(1)
    assert (first[0] != second[0]).all()
    assert (second[1] == 3).all()
    np.testing.assert_array_equal(found.read(0)[0], first[0])
