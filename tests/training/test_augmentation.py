"""Augmentations: the same for the same random numbers, within their limits, and in training batches alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from caffezoo.errors import UnknownNameError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.training.augmentation import AUGMENTATIONS, augmentation, lit, turned
from caffezoo.training.feeds.base import FeedOptions, make_feed
from tests.oracle import layer_proto

IMAGE = np.random.default_rng(0).integers(40, 200, (20, 24, 3), np.uint8)


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if name != "none"])
def test_they_keep_shape_and_type_and_follow_their_random_numbers(name):
    change = augmentation(name)
    for image in (IMAGE, IMAGE[:, :, :1]):
        first, same, other = (change(image, np.random.default_rng(seed)) for seed in (1, 1, 2))
        assert (first.shape, first.dtype) == (image.shape, np.uint8)
        np.testing.assert_array_equal(first, same)
        assert (first != other).any()


def test_a_turn_keeps_one_colour_and_light_keeps_grey_grey():
    flat = np.full((9, 9, 3), 77, np.uint8)
    assert (turned(flat, np.random.default_rng(3)) == 77).all()
    grey = np.repeat(IMAGE[:, :, :1], 3, 2)
    found = lit(grey, np.random.default_rng(3)).astype(int)
    assert np.abs(found - found[:, :, :1]).max() <= 1
    assert abs(found.mean() / grey.mean() - 1) < 0.41


def test_batches_are_changed_at_train_only(tmp_path):
    for i in range(4):
        cv2.imwrite(str(tmp_path / f"{i}.png"), IMAGE)
    (tmp_path / "list").write_text("".join(f"{i}.png {i}\n" for i in range(4)))
    text = f'name: "d" type: "ImageData" top: "a" top: "b" image_data_param {{ source: "{tmp_path}/list" '
    proto = layer_proto(text + f'root_folder: "{tmp_path}/" batch_size: 4 }}')
    plain = IMAGE.transpose(2, 0, 1)
    batches = {}
    for phase in (pb.TRAIN, pb.TEST):
        for threads in (1, 2):
            options = FeedOptions(threads=threads, augment=augmentation("strong"))
            batches[phase, threads] = make_feed(proto, phase, "n", options).read(0)[0]
    np.testing.assert_array_equal(batches[pb.TEST, 1][0], plain)
    np.testing.assert_array_equal(batches[pb.TRAIN, 1], batches[pb.TRAIN, 2])
    assert len({image.tobytes() for image in batches[pb.TRAIN, 1]}) == 4


def test_unknown_names():
    with pytest.raises(UnknownNameError, match="unknown augmentation 'strnog'; did you mean strong"):
        augmentation("strnog")
