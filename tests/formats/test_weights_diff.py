"""Two files of arrays: what only one has, shapes, and every value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from caffezoo.formats.blobs import Blob, LayerBlobs
from caffezoo.formats.weights_diff import compare_blobs, compare_layers


def layer(name: str, *blobs: object) -> LayerBlobs:
    return LayerBlobs(name, "", tuple(Blob(np.asarray(blob, np.float32), False) for blob in blobs))


def test_layers_blobs_and_values() -> None:
    a = [layer("same", [1, 2]), layer("gone", [1]), layer("more", [1], [2]), layer("off", [4, -8, 0]), layer("relu")]
    b = [layer("same", [1, 2]), layer("new", [1]), layer("more", [1]), layer("off", [4, -7, 0])]
    found = compare_layers(a, b)
    assert (found.only_first, found.only_second, found.counts) == (("gone",), ("new",), (("more", 2, 1),))
    off = {blob.layer: blob for blob in found.blobs}["off"]
    assert (off.largest, off.scale, off.relative, off.differing) == (1, 8, 1 / 8, 1)
    assert not found.same(1)
    assert compare_layers(a, a).same()
    assert compare_layers([a[3]], [b[3]]).same(0.125)
    assert not compare_layers([a[3]], [b[3]]).same(0.12)


@pytest.mark.parametrize(
    ("first", "second", "largest"),
    [
        ([np.nan, 1], [np.nan, 1], 0.0),
        ([np.nan, 1], [2, 1], math.inf),
        ([np.inf, 1], [np.inf, 1], 0.0),
        ([np.inf, 1], [-np.inf, 1], math.inf),
        ([0, 0], [0, 1], 1.0),
        ([1, 2], [1, 2, 3], None),
    ],
)
def test_what_is_no_number(first: list[float], second: list[float], largest: float | None) -> None:
    found = compare_blobs("x", 0, np.array(first), np.array(second))
    assert found.largest == largest
    assert found.within(0) == (largest == 0)


def test_another_shape_of_the_same_values_is_a_difference() -> None:
    found = compare_blobs("x", 0, np.arange(4.0), np.arange(4.0).reshape(2, 2))
    assert (found.largest, found.differing, found.within(1)) == (0, 0, False)


@given(arrays(np.float32, array_shapes(max_dims=3), elements=st.floats(-10, 10, width=32)), st.data())
def test_the_largest_difference_is_numpys(blob: np.ndarray, data: st.DataObject) -> None:
    other = data.draw(arrays(np.float32, blob.shape, elements=st.floats(-10, 10, width=32)))
    found = compare_blobs("x", 0, blob, other)
    off = np.abs(blob.astype(np.float64) - other)
    assert (found.largest, found.differing) == (off.max(), (off > 0).sum())
