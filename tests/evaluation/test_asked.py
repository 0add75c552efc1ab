"""What is asked of preprocessing, put together with what is known."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import UsageError
from caffezoo.evaluation.asked import Asked, doubts, parse_levels, put_together
from caffezoo.formats.data_layer import data_layer
from caffezoo.formats.mean_file import MeanImage
from caffezoo.formats.preprocessing import Preprocessing
from caffezoo.formats.prototxt import parse_prototxt

KNOWN = Preprocessing((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), "256", "224", "squash", "RGB")  # type: ignore[arg-type]
levels = st.tuples(*[st.floats(0, 255)] * 3)


@given(levels, st.floats(0.001, 4), st.sampled_from([1.0, 255.0, 2.0]), st.integers(0, 255))
def test_scales_are_those_of_caffes_transformer(mean, scale, raw_scale, pixel):
    """``caffe.io.Transformer.preprocess``: of an image of 0..1, times raw_scale, minus mean, times input_scale."""
    found = put_together(Asked(mean=mean, scale=scale, raw_scale=raw_scale), channels=3).preprocessing
    wanted = (pixel / 255 * raw_scale - np.array(mean)) * scale
    np.testing.assert_allclose((pixel - np.array(found.mean)) / found.std, wanted, rtol=1e-9, atol=1e-9)


def test_nothing_asked_is_what_is_known():
    found = put_together(Asked(), channels=3, known=KNOWN)
    assert found.preprocessing == KNOWN
    assert not found.notes
    assert not found.warnings


def test_each_thing_asked_replaces_that_thing_alone():
    found = put_together(Asked(std=(2.0,), resize="short"), channels=3, known=KNOWN).preprocessing
    assert (found.mean, found.std, found.resize, found.channel_order) == (KNOWN.mean, (2.0,) * 3, "short", "RGB")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "does not say what was subtracted"),
        ({"mean": (1.0, 2.0, 3.0), "std": (1.0,), "scale": 1.0}, "--std and --scale say the same"),
        ({"mean": (1.0, float("nan"), 3.0)}, "--mean .* not finite"),
        ({"mean": (1.0,), "std": (0.0,)}, "--std 0 .* not above 0"),
        ({"mean": (1.0,), "scale": -1.0}, "--scale -1 .* not above 0"),
        ({"mean": (1.0,), "raw_scale": 0.0}, "--raw-scale 0 .* not above 0"),
        ({"mean": (1.0,), "channel_order": "grey"}, "channel order grey is not for a network whose images have 3"),
        ({"mean": (1.0,), "channel_order": "GBR"}, "channel order 'GBR' is unknown"),
        ({"mean": (1.0,), "resize": "long"}, "resize mode 'long'"),
        ({"mean": MeanImage.of(np.zeros((1, 4, 4), np.float32))}, "the mean has 1 channels"),
    ],
)
def test_what_cannot_be(asked, message):
    with pytest.raises(UsageError, match=message):
        put_together(Asked(**asked), channels=3)


def test_three_means_are_not_for_one_channel():
    assert put_together(Asked(mean=(0.0, 0.0, 0.0)), channels=1).preprocessing.mean == (0.0,)
    with pytest.raises(UsageError, match="--mean 1 2 3 is 3 numbers, and the network's images have 1"):
        put_together(Asked(mean=(1.0, 2.0, 3.0)), channels=1)


def test_a_mean_image_is_in_the_networks_order():
    values = np.arange(3, dtype=np.float32).repeat(4).reshape(3, 2, 2)
    for order, wanted in (("BGR", (0.0, 1.0, 2.0)), ("RGB", (2.0, 1.0, 0.0))):
        found = put_together(Asked(mean=MeanImage.of(values), channel_order=order), channels=3).preprocessing
        assert found.mean == wanted
        assert found.mean_image is not None
        np.testing.assert_array_equal(found.mean_image.values, values)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            Asked(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
            "red, green, blue.*--mean 103.53 116.28 123.675 --std 57.375 57.12 58.395",
        ),
        (Asked(mean=(0.406, 0.456, 0.485), std=(0.225, 0.224, 0.229)), "--mean 103.53 116.28 123.675"),
        (Asked(mean=(0.5,), std=(0.5,)), "--mean 127.5 --std 127.5"),
        (Asked(mean=(104.0, 117.0, 123.0), std=(0.017,)), r"is it a scale\? Then give --scale 0.017 \(std 58.8235\)"),
        (Asked(mean=(104.0, 117.0, 123.0), scale=58.8), "is it a standard deviation"),
        (Asked(mean=(123.68, 116.78, 103.94)), "in the order red, green, blue; .*--mean 103.94 116.78 123.68"),
    ],
)
def test_numbers_that_look_like_a_mistake_are_told_with_those_probably_meant(asked, words):
    (warning,) = doubts(asked)
    assert re.search(words, warning), warning


@pytest.mark.parametrize(
    "asked",
    [
        Asked(),
        Asked(mean=(0.0,), std=(1.0,)),
        Asked(mean=(0.0,)),
        Asked(mean=(103.94, 116.78, 123.68)),
        Asked(mean=(123.68, 116.78, 103.94), channel_order="RGB"),
        Asked(mean=(127.5,), std=(127.5,)),
        Asked(mean=(104.0, 117.0, 123.0), scale=0.017),
        Asked(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), raw_scale=1.0),
        Asked(mean=(33.3,), scale=1 / 255),
    ],
)
def test_usual_numbers_are_not_doubted(asked):
    assert doubts(asked) == []


def test_no_network_of_the_zoo_is_doubted():
    from caffezoo.zoo.index import load_index

    for entry in load_index().list():
        p = entry.preset()
        assert not doubts(Asked(mean=p.mean, std=p.std, channel_order=p.channel_order)), entry.name


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("104 117 123", (104.0, 117.0, 123.0)),
        ("104,117,123", (104.0, 117.0, 123.0)),
        ("33.3", (33.3,)),
        ("mean.npy", Path("mean.npy")),
    ],
)
def test_numbers_or_a_path(text, wanted):
    assert parse_levels(text, "--mean") == wanted


def test_two_numbers_are_an_error():
    with pytest.raises(UsageError, match="is 2 numbers"):
        parse_levels("1 2", "--mean")


@pytest.mark.parametrize("kind", ["Input", "DummyData", "HDF5Data"])
def test_only_layers_that_transform_images_say_something(kind):
    net = parse_prototxt(f'layer {{ name: "d" type: "{kind}" top: "data" transform_param {{ scale: 2 }} }}').net
    assert data_layer(net) is None
